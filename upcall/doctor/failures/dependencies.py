"""What can be wrong with what an Invoker depends on, and with its settings (spec: kubernetes.md §10: DEP, CFG)."""

from upcall.doctor.finding import Failure

DEPENDENCIES = (
    Failure(
        id="DEP-01",
        severity="error",
        symptom="Kafka is connected to, and then nothing comes",
        cause="Kafka says that it is at {broker}, which cannot be reached from here (advertised.listeners).",
        fix="Set advertised.listeners (KAFKA_ADVERTISED_HOST_NAME) to a name that Invokers and controllers resolve.",
        words={"broker": "another address"},
        sources=("dependency", "text"),
        patterns=(
            r"connection to node \d+ \((?P<broker>[^)\s]+)\) could not be established",
            r"(?<!/bootstrap: )failed to resolve '(?P<broker>[^']+)'",
            r"(?P<broker>[^\s/]+:\d+)/\d+: (?:connect to \S+ failed|connection setup timed out)",
            r"error connecting to node (?P<broker>\S+) \(id: \d",
        ),
    ),
    Failure(
        id="DEP-02",
        severity="error",
        symptom="CouchDB answers 401 or 404",
        cause="CouchDB does not let this user in, or has no such database: {what}.",
        fix="See to name and password (CONFIG_whisk_couchdb_username, …_password) and the databases' names "
        "(…_databases_WhiskEntity and the others); `upcall serve --store couchdb://…` makes missing databases.",
        words={"what": "see its answer"},
        sources=("dependency", "text"),
        patterns=(
            r"(?P<what>name or password is incorrect)",
            r"\"error\": ?\"not_found\", ?\"reason\": ?\"(?P<what>no_db_file|database does not exist\.?)\"",
            r"(?P<what>you are not authorized to access this db|you are not a server admin)",
            r"cannot be used: (?P<what>the database refuses the user '[^']*')",
        ),
    ),
    Failure(
        id="DEP-03",
        severity="error",
        symptom="CouchDB: require_valid_user; _users and _replicator are missing",
        cause="CouchDB's set-up has not been finished: {what}.",
        fix="Finish it as a single node: POST /_cluster_setup with action enable_single_node (or single_node=true). "
        "Where it asks each request for a user (require_valid_user), name one to all that ask, probes too.",
        words={"what": "its system databases are missing, or it asks for users that it has not"},
        sources=("dependency", "text"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/553",),
        patterns=(
            r"(?P<what>_users database does not exist|database '\S*_users' does not exist)",
            r"database_does_not_exist[^\n]*(?P<what>load_shards_from_db)",
            r"\"error\": ?\"unauthorized\", ?\"reason\": ?\"(?P<what>authentication required)",
        ),
    ),
    Failure(
        id="DEP-04",
        severity="warning",
        symptom="RecordTooLargeException; Broker: Message size too large",
        cause="Kafka takes messages of {there} bytes at most, and activations may be larger ({wanted}).",
        fix="Set max.message.bytes of the topics (and message.max.bytes, replica.fetch.max.bytes of brokers) to 4 MB.",
        words={"there": "fewer", "wanted": "1 MB of arguments and what goes with them"},
        sources=("dependency", "text"),
        patterns=(
            r"the message is (?P<wanted>\d+) bytes when serialized which is larger than (?P<there>\d+)",
            r"message size is (?P<wanted>\d+) bytes which exceeds the maximum [a-z ]+ of (?P<there>\d+)",
            r"recordtoolargeexception|messagesizetoolarge|message size too large",
            r"message larger than the max message size the server will accept",
        ),
    ),
    Failure(
        id="DEP-05",
        severity="error",
        symptom="Connect to ipv4#… failed: Connection refused; the database does not answer",
        cause="{place} does not answer from here.",
        fix="See that it runs, that its name is known here (getent hosts NAME), that host and port of the settings are "
        "right, and that no NetworkPolicy or firewall is between.",
        words={"place": "Kafka, ZooKeeper or the database"},
        sources=("dependency", "text"),
        patterns=(
            r"(?P<place>\S+)/bootstrap: (?:connect to \S+ failed|failed to resolve)",
            r"connection to node -\d+ \((?P<place>[^)\s]+)\) could not be established",
            r"couldn't resolve server (?P<place>\S+) from bootstrap\.servers|no resolvable bootstrap urls",
            r"error connecting to node (?P<place>\S+) \(id: -",
            r"the store (?P<place>\S+) cannot be used: [^\n]*look whether the server runs",
            r"connection to server at \"(?P<place>[^\"\\]+)\", port \d+ failed: (?:connection ref|timeout|no route)",
            r"clientcnxn: [^\n]*server (?P<place>[^\s,]+),? [^\n]*connection refused",
        ),
    ),
    Failure(
        id="CFG-01",
        severity="error",
        symptom="Bad configuration, cannot start.",
        cause="Settings are missing or wrong: {keys}.",
        fix="Set them; each has two spellings, that of 2017 and CONFIG_whisk_…: `upcall config --role ROLE` shows all "
        "settings and where they come from.",
        words={"keys": "those that the lines before name"},
        sources=("configuration", "text"),
        patterns=(
            r"bad configuration, cannot start",
            r"required property (?P<keys>[\w.]+) (?:still )?not set",
            r"no configuration setting found for key '(?P<keys>[^']+)'",
            r"cannot convert configuration to a value of type [^\n]*key not found: '(?P<keys>[^']+)'",
            r"\d+ settings are wrong or missing|needs brokers: name them by",
        ),
    ),
    Failure(
        id="CFG-02",
        severity="error",
        symptom="invalid runtimes manifest",
        cause="RUNTIMES_MANIFEST is not what it should be: {what}.",
        fix="Give it as JSON with runtimes, by kind lists of objects with kind and image, one of them default: true.",
        words={"what": "no JSON, or without a default kind"},
        sources=("configuration", "text"),
        patterns=(
            r"invalid runtimes? manifest[^\n:]*:? ?(?P<what>[^\n]+)?",
            r"runtimes manifest[^\n]*(?:is no json|cannot be (?:read|parsed)|malformed)",
            r"(?P<what>\w+ has multiple versions, but no default|found more than one default for [^\n]+)",
        ),
    ),
)
