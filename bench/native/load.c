/* A load client: kept-alive connections, a request each at a time, over TCP and unix sockets.
 *
 *   load PLAN CONNECTIONS COUNT SECONDS
 *
 * Ends after COUNT requests or SECONDS, whichever is first; 0 is no bound. All connections are made before the clock
 * starts; connection i goes to address i modulo their number. PLAN is a file of
 *
 *   address unix PATH            or   address tcp IPV4 PORT        one or more
 *   request LENGTH\n<LENGTH bytes>\n                               one or more
 *   order N N N …                                                  optional: numbers of requests, taken in turns
 *
 * Answers have a Content-Length or are chunked. One JSON object goes to stdout: answers, those whose status is not 2xx
 * (`bad`; the first of them goes to stderr), connections that the server closed (`lost`: they are not made again),
 * bytes of bodies, seconds, CPU seconds of this process, and the latencies as [ns, count], each at most 1.6 % too high.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_HEAD = 8192, AT_ONCE = 1 << 18, EVENTS = 256, PATIENCE_MS = 60000, FINE = 64, BUCKETS = 64 * FINE };

struct request { const char *bytes; size_t length; };
union address { struct sockaddr any; struct sockaddr_in tcp; struct sockaddr_un unix_; };
/* What of an answer comes next. */
enum state { HEAD, BODY, SIZE, CHUNK, TRAILER };

struct connection {
    int fd;
    uint32_t watched; /* what the poller looks for */
    const struct request *request; /* NULL: none is under way */
    size_t sent;
    uint64_t began;
    enum state state;
    int status;
    uint64_t left; /* bytes of the body or chunk */
    uint64_t line; /* characters of a trailer's line */
    size_t held;
    char head[LONGEST_HEAD + 1];
};

static union address *addresses;
static struct request *requests;
static uint32_t *order;
static size_t address_count, request_count, order_count, next_in_order;
static int poller;
static uint64_t count_bound, deadline, sent_count, answered, bad, lost, in_flight, body_bytes, ended;
static uint64_t histogram[BUCKETS];

static void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    exit(1);
}

static void *room(void *old, size_t count, size_t size) {
    void *made = realloc(old, count * size);
    if (!made) fail("out of memory");
    return made;
}

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) < 0) fail("%s: %s", path, strerror(errno));
    char *text = room(NULL, (size_t)found.st_size + 1, 1);
    for (*size = 0; *size < (size_t)found.st_size;) {
        ssize_t got = read(fd, text + *size, (size_t)found.st_size - *size);
        if (got <= 0) fail("%s: cannot be read", path);
        *size += (size_t)got;
    }
    text[*size] = 0;
    close(fd);
    return text;
}

static void add_address(const char *line) {
    union address made = {0};
    char text[sizeof made.unix_.sun_path];
    unsigned port;
    if (sscanf(line, "address unix %107[^\n]", text) == 1) {
        made.unix_.sun_family = AF_UNIX;
        strcpy(made.unix_.sun_path, text);
    } else if (sscanf(line, "address tcp %63s %u", text, &port) == 2 && inet_pton(AF_INET, text, &made.tcp.sin_addr)) {
        made.tcp.sin_family = AF_INET;
        made.tcp.sin_port = htons((uint16_t)port);
    } else {
        fail("what is: %.60s", line);
    }
    addresses = room(addresses, address_count + 1, sizeof *addresses);
    addresses[address_count++] = made;
}

static void add_order(char *line) {
    for (char *at = line + strlen("order"), *end;; at = end) {
        unsigned long number = strtoul(at, &end, 10);
        if (end == at) return;
        if (number >= request_count) fail("there is no request %lu", number);
        if (order_count % 4096 == 0) order = room(order, order_count + 4096, sizeof *order);
        order[order_count++] = (uint32_t)number;
    }
}

static void read_plan(const char *path) {
    size_t size, length;
    char *text = read_file(path, &size), *end = text + size;
    for (char *line = text, *next; line < end; line = next) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline) fail("the plan's last line has no end");
        *newline = 0;
        next = newline + 1;
        if (sscanf(line, "request %zu", &length) == 1) {
            if (length >= (size_t)(end - next)) fail("a request is cut off");
            requests = room(requests, request_count + 1, sizeof *requests);
            requests[request_count++] = (struct request){next, length};
            next += length + 1;
        } else if (!strncmp(line, "order", 5)) {
            add_order(line);
        } else {
            add_address(line);
        }
    }
    if (!address_count || !request_count) fail("a plan has an address and a request");
}

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = c->watched = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event) < 0) fail("epoll: %s", strerror(errno));
}

static void lose(struct connection *c) {
    if (c->request) in_flight--;
    lost++;
    close(c->fd);
    c->fd = -1;
    c->request = NULL;
}

static void send_more(struct connection *c) {
    ssize_t sent = send(c->fd, c->request->bytes + c->sent, c->request->length - c->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        lose(c);
        return;
    }
    c->sent += sent > 0 ? (size_t)sent : 0;
    uint32_t wanted = c->sent < c->request->length ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (wanted != c->watched) watch(c, EPOLL_CTL_MOD, wanted);
}

static void begin(struct connection *c, uint64_t at) {
    if ((count_bound && sent_count >= count_bound) || (deadline && at >= deadline)) return;
    size_t which = order_count ? order[next_in_order] : next_in_order;
    next_in_order = (next_in_order + 1) % (order_count ? order_count : request_count);
    c->request = &requests[which];
    c->sent = 0;
    c->state = HEAD;
    c->held = 0;
    c->began = at;
    sent_count++;
    in_flight++;
    send_more(c);
}

static void note(uint64_t ns) {
    int power = 63 - __builtin_clzll(ns | FINE);
    histogram[(uint64_t)(power - 5) * FINE + (ns >> (power - 6)) - FINE]++;
}

static uint64_t top_of(uint64_t bucket) {
    int shift = (int)(bucket / FINE) - 1;
    return shift < 0 ? bucket : (FINE + bucket % FINE + 1) << shift;
}

static void end(struct connection *c) {
    ended = now();
    note(ended - c->began);
    answered++;
    in_flight--;
    if ((c->status < 200 || c->status > 299) && !bad++) fprintf(stderr, "the first bad answer:\n%s\n", c->head);
    c->request = NULL;
    begin(c, ended);
}

static void understand(struct connection *c) {
    int length_known = 0;
    c->left = 0;
    c->state = BODY;
    if (sscanf(c->head, "HTTP/1.%*d %d", &c->status) != 1) fail("this is no answer: %.200s", c->head);
    for (char *line = strchr(c->head, '\n') + 1; *line && *line != '\r'; line = strchr(line, '\n') + 1) {
        if (!strncasecmp(line, "content-length:", 15)) {
            c->left = strtoull(line + 15, NULL, 10);
            length_known = 1;
        } else if (!strncasecmp(line, "transfer-encoding:", 18)) {
            c->state = SIZE;
            length_known = 1;
        }
    }
    if (!length_known && c->status != 204) fail("an answer without a length: %.200s", c->head);
}

/* Take from `data` what belongs to the head; how much that is. */
static size_t take_head(struct connection *c, const char *data, size_t size) {
    size_t before = c->held, taken = size < LONGEST_HEAD - before ? size : LONGEST_HEAD - before;
    memcpy(c->head + before, data, taken);
    c->held += taken;
    char *found = memmem(c->head, c->held, "\r\n\r\n", 4);
    if (!found) {
        if (c->held == LONGEST_HEAD) fail("the head of an answer is over %d bytes", LONGEST_HEAD);
        return taken;
    }
    c->head[c->held] = 0;
    understand(c);
    return (size_t)(found + 4 - c->head) - before;
}

/* One character between chunks; true at the very end. */
static int take_mark(struct connection *c, char mark) {
    if (c->state == TRAILER) {
        if (mark != '\n') c->line += mark != '\r';
        else if (!c->line) return 1;
        else c->line = 0;
    } else if (mark == '\n') {
        c->line = 0;
        c->state = c->left ? CHUNK : TRAILER;
        body_bytes += c->left;
        c->left += 2; /* its own end of line */
    } else if (mark != '\r') {
        int digit = mark <= '9' ? mark - '0' : (mark | 32) - 'a' + 10;
        if (digit < 0 || digit > 15) fail("the size of a chunk has '%c'", mark);
        c->left = c->left * 16 + (uint64_t)digit;
    }
    return 0;
}

/* True when the answer is whole. */
static int take(struct connection *c, const char *data, size_t size) {
    for (size_t at = 0; at < size || (c->state == BODY && !c->left);) {
        if (c->state == HEAD) {
            at += take_head(c, data, size);
        } else if (c->state == BODY || c->state == CHUNK) {
            size_t part = size - at < c->left ? size - at : (size_t)c->left;
            at += part;
            c->left -= part;
            if (c->state == BODY) body_bytes += part;
            if (c->left) return 0;
            if (c->state == CHUNK) c->state = SIZE;
            else if (at < size) fail("there is more behind an answer's end");
            else return 1;
        } else if (take_mark(c, data[at++])) {
            return 1;
        }
    }
    return 0;
}

static void receive(struct connection *c) {
    static char data[AT_ONCE];
    ssize_t got = recv(c->fd, data, sizeof data, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) lose(c);
    else if (!c->request) fail("an answer that nobody asked for");
    else if (take(c, data, (size_t)got)) end(c);
}

static void open_connection(struct connection *c, const union address *to) {
    int one = 1, unix_ = to->any.sa_family == AF_UNIX;
    c->fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, &to->any, unix_ ? sizeof to->unix_ : sizeof to->tcp) < 0)
        fail("cannot connect: %s", strerror(errno));
    if (!unix_) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void run(struct connection *connections, size_t count) {
    struct epoll_event events[EVENTS];
    for (size_t i = 0; i < count; i++) begin(&connections[i], now());
    while (in_flight) {
        int ready = epoll_wait(poller, events, EVENTS, PATIENCE_MS);
        if (ready == 0) fail("no answer in %d s; %lu are missing", PATIENCE_MS / 1000, in_flight);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT && c->request && c->sent < c->request->length) send_more(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT && c->fd >= 0) receive(c);
        }
    }
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void report(double seconds, double spent) {
    const char *comma = "";
    printf("{\"answered\":%lu,\"bad\":%lu,\"lost\":%lu,\"body_bytes\":%lu,", answered, bad, lost, body_bytes);
    printf("\"seconds\":%.9f,\"cpu\":%.6f,\"latencies\":[", seconds, spent);
    for (uint64_t i = 0; i < BUCKETS; i++) {
        if (!histogram[i]) continue;
        printf("%s[%lu,%lu]", comma, top_of(i), histogram[i]);
        comma = ",";
    }
    puts("]}");
}

int main(int count, char **words) {
    if (count != 5) fail("usage: load PLAN CONNECTIONS COUNT SECONDS");
    size_t size = strtoul(words[2], NULL, 10);
    count_bound = strtoull(words[3], NULL, 10);
    double seconds = strtod(words[4], NULL);
    if (!size || (!count_bound && seconds <= 0)) fail("connections, and a count or seconds");
    read_plan(words[1]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc(size, sizeof *connections);
    if (!connections) fail("out of memory");
    for (size_t i = 0; i < size; i++) open_connection(&connections[i], &addresses[i % address_count]);
    double spent = cpu();
    uint64_t began = ended = now();
    if (seconds > 0) deadline = began + (uint64_t)(seconds * 1e9);
    run(connections, size);
    report((double)(ended - began) / 1e9, cpu() - spent);
    return 0;
}
