/* The floor under all runtimes: answers each request with the same small JSON object, one thread, TCP or a unix socket.
 *
 *   responder unix PATH     or     responder tcp IPV4 PORT        (port 0: any; it is printed)
 *
 * Requests have a Content-Length. "ready" and the port go to stdout; it runs until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LARGEST = 1 << 16, EVENTS = 256 };
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"n\":1}";

struct connection {
    int fd;
    size_t held, wanted; /* bytes of the request so far and in all; wanted 0: its head is not whole */
    char data[LARGEST];
};

static void fail(const char *what) {
    fprintf(stderr, "responder: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listening(char **words) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct sockaddr_in on = {.sin_family = AF_INET};
    int unix_ = !strcmp(words[1], "unix");
    socklen_t length = sizeof on;
    int fd = socket(unix_ ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (unix_) {
        strncpy(at.sun_path, words[2], sizeof at.sun_path - 1);
    } else {
        on.sin_port = htons((uint16_t)atoi(words[3]));
        if (inet_pton(AF_INET, words[2], &on.sin_addr) != 1) fail("not an address");
    }
    if (bind(fd, unix_ ? (struct sockaddr *)&at : (struct sockaddr *)&on, unix_ ? sizeof at : sizeof on)) fail("bind");
    if (listen(fd, 1024)) fail("listen");
    if (!unix_) getsockname(fd, (struct sockaddr *)&on, &length);
    printf("ready %d\n", unix_ ? 0 : ntohs(on.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_one(int poller, int listener) {
    int one = 1;
    struct connection *c = calloc(1, sizeof *c);
    if (!c || (c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) fail("accept");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
}

/* Head and body of the request that is held; 0 while the head is not whole. */
static size_t whole(const struct connection *c) {
    const char *end = memmem(c->data, c->held, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *length = strcasestr(c->data, "\r\ncontent-length:");
    return (size_t)(end + 4 - c->data) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

static void exchange(struct connection *c) {
    ssize_t got = recv(c->fd, c->data + c->held, LARGEST - 1 - c->held, 0);
    if (got <= 0) {
        close(c->fd);
        free(c);
        return;
    }
    c->held += (size_t)got;
    c->data[c->held] = 0;
    if (!c->wanted) c->wanted = whole(c);
    if (!c->wanted || c->held < c->wanted) return;
    c->held = c->wanted = 0;
    if (send(c->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) fail("send");
}

int main(int count, char **words) {
    if (count < 3 || count != (strcmp(words[1], "unix") ? 4 : 3)) {
        fputs("usage: responder unix PATH | tcp IPV4 PORT\n", stderr);
        return 2;
    }
    int listener = listening(words), poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event)) fail("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr) exchange(events[i].data.ptr);
            else accept_one(poller, listener);
        }
    }
}
