"""The metrics: names, labels and meaning (spec: metrics.md §2, §3).

Names of OpenWhisk's are as its exporter writes them; what it has no name for begins with `upcall_`. Of OpenWhisk's
those are missing whose subject is not here: the commands of runc and kubernetes.
`docs/reference/metrics.md` is made from this table.
"""

from upcall.measures import counter, gauge, histogram

# --- the API
HTTP_ANSWERS = counter(
    "counter_http_{method}_counter", "Answers of the API.", ("statusCode",), "counter_http_{method}_{0}_counter"
)
HTTP_TIMES = histogram(
    "histogram_http_{method}_counter_seconds",
    "From a whole request to its answer.",
    ("statusCode",),
    "histogram_http_{method}_{0}_counter_seconds",
)
BLOCKING_WAITS = histogram(
    "histogram_controller_blockingActivation_finish_seconds", "From a blocking call to its result."
)
IN_FLIGHT = gauge("upcall_activations_in_flight", "Activations sent, and not yet ended.")
INVOKERS = gauge("upcall_invokers", "Invokers by state.", ("state",))
COMPLETIONS = counter(
    "upcall_completions",
    "How activations ended for the controller: regular, forced (too late), probe, or late (nobody waits for it).",
    ("how",),
)

# --- Invokers as a controller sees them
INVOKER_MOVES = counter(
    "counter_loadbalancer_invokerState_counter",
    "Changes of Invokers' states.",
    ("state",),
    "counter_loadbalancer_invokerState_{0}_counter",
)
OVERLOADS = counter("upcall_balancer_overloads", "Activations that a full Invoker got, as all were full.")
SHARES = gauge("upcall_balancer_share_bytes", "Memory of an Invoker that this controller may use.", ("invoker",))
PERMITS = gauge("upcall_balancer_free_bytes", "What is left of it; below zero in overload.", ("invoker",))
PROBES = counter("upcall_probes_sent", "Test actions sent to Invokers.")

# --- other controllers
CONTROLLERS = gauge("upcall_controllers", "Controllers on the bus, with this one.")
HELD = counter("upcall_throttle_held", "Attempts that waited until other controllers had told what they count.")

# --- activations
ACTIVATIONS = counter("counter_invoker_activation_start", "Messages taken.")
INITS = counter("counter_invoker_activationInit_start", "Calls of /init.")
INIT_TIMES = histogram("histogram_invoker_activationInit_finish_seconds", "Calls of /init that went well.")
INIT_ERRORS = counter("counter_invoker_activationInit_error", "Calls of /init that failed.")
INIT_ERROR_TIMES = histogram("histogram_invoker_activationInit_error_seconds", "Calls of /init that failed.")
RUNS = counter("counter_invoker_activationRun_start", "Calls of /run.")
RUN_TIMES = histogram("histogram_invoker_activationRun_finish_seconds", "Calls of /run that were answered.")
RUN_ERRORS = counter("counter_invoker_activationRun_error", "Calls of /run without an answer.")
RUN_ERROR_TIMES = histogram("histogram_invoker_activationRun_error_seconds", "Calls of /run without an answer.")
COLLECTIONS = counter("counter_invoker_collectLogs_start", "Collections of logs.")
COLLECT_TIMES = histogram("histogram_invoker_collectLogs_finish_seconds", "Collections of logs that went well.")
COLLECT_ERRORS = counter("counter_invoker_collectLogs_error", "Collections of logs that failed.")
COLLECT_ERROR_TIMES = histogram("histogram_invoker_collectLogs_error_seconds", "Collections of logs that failed.")
STARTS = counter(
    "counter_invoker_containerStart_counter",
    "How activations got their container.",
    ("containerState", "initiator", "namespace", "action"),
    "counter_invoker_containerStart_{0}_counter",
)
HEALTH_FAILED = counter(
    "counter_invoker_containerHealthFailed_counter",
    "Containers that died by themselves.",
    ("containerState",),
    "counter_invoker_containerHealthFailed_{0}_counter",
)
RETRIES = counter("counter_containerClient_retries_counter", "Connections to containers tried again.")
ENDED = counter("upcall_activations_ended", "What ran or tried to, by status.", ("status",))
WAITS = histogram("upcall_activation_wait_seconds", "From acceptance to the container: what waitTime says.")
REFUSED = counter("upcall_activations_refused", "Ended before the pool saw them.")
ABORTED = counter("upcall_activations_aborted", "Ended in the pool without having run.")
RETURNED = counter("upcall_activations_returned", "Given back by a container that would not take them.")

# --- the pool
BUFFERED = counter("counter_containerPool_rescheduledActivation_counter", "Activations that had to wait for memory.")
BUFFER_COUNT = gauge("gauge_containerPool_runBufferCount_counter", "Activations that wait.")
BUFFER_SIZE = gauge("gauge_containerPool_runBufferSize_counter_bytes", "Activations that wait: their memory.")
ACTIVE_COUNT = gauge("gauge_containerPool_activeCount_counter", "Containers with work.")
ACTIVE_SIZE = gauge("gauge_containerPool_activeSize_counter_bytes", "Containers with work: their memory.")
IDLES_COUNT = gauge("gauge_containerPool_idlesCount_counter", "Warm containers without work.")
IDLES_SIZE = gauge("gauge_containerPool_idlesSize_counter_bytes", "Warm containers without work: their memory.")
PREWARM_COUNT = gauge("gauge_containerPool_prewarmCount_counter", "Stem cells, ready or starting.")
PREWARM_SIZE = gauge("gauge_containerPool_prewarmSize_counter_bytes", "Stem cells: their memory.")
COLDSTARTS = counter(
    "counter_containerPool_prewarmColdstart_counter",
    "Cold starts that a stem cell could have spared.",
    ("memory", "kind"),
    "counter_containerPool_prewarmColdstart_counter",
)
EXPIRED = counter(
    "counter_containerPool_prewarmExpired_counter",
    "Stem cells that grew too old.",
    ("memory", "kind"),
    "counter_containerPool_prewarmExpired_counter",
)
CONTAINERS = gauge("upcall_containers", "Containers by state.", ("state",))
CONTAINER_TIMES = histogram(
    "upcall_container_seconds", "What containers were told: create, claim, pause, resume, remove.", ("operation",)
)
COMMANDS = counter(
    "counter_invoker_docker_start",
    "What Docker's engine was told: run (create and start), rm, ps, inspect, pull, pause, unpause.",
    ("cmd",),
    "counter_invoker_docker_{0}_start",
)
COMMAND_TIMES = histogram(
    "histogram_invoker_docker_finish_seconds",
    "What Docker's engine did as it was told.",
    ("cmd",),
    "histogram_invoker_docker_{0}_finish_seconds",
)
COMMAND_ERRORS = counter(
    "counter_invoker_docker_error",
    "What it refused, or was not done in time.",
    ("cmd",),
    "counter_invoker_docker_{0}_error",
)
COMMAND_ERROR_TIMES = histogram(
    "histogram_invoker_docker_error_seconds",
    "What it refused, or was not done in time.",
    ("cmd",),
    "histogram_invoker_docker_{0}_error_seconds",
)
CONTAINER_FAILURES = counter("upcall_container_failures", "Containers that did not do as they were told.")
POOL_LIMIT = gauge("upcall_pool_limit_bytes", "Memory that containers may have together.")
POOL_PROMISED = gauge("upcall_pool_promised_bytes", "Memory that containers were promised.")
POOL_REMOVING = gauge("upcall_pool_removing_bytes", "Memory of containers that are being removed.")
POOL_RESERVE = gauge("upcall_pool_reserve_bytes", "Memory above the limit, of the one container that a probe may have.")
POOL_FREE = gauge("upcall_pool_free_bytes", "Memory that no container has.")
POOL_USED = gauge("upcall_pool_used_bytes", "Memory that containers use now, as the kernel counts it.")
CONTAINERS_TROUBLE = gauge("upcall_containers_trouble", "1 while no container can be made, as Docker's engine is away.")

# --- the bus
QUEUE = gauge(
    "gauge_kafka_topic_counter", "Messages in Kafka that have not been taken.", ("topic",), "gauge_kafka_{0}_counter"
)
DELAYS = histogram(
    "histogram_kafka_topic_delay_start_seconds",
    "From a message's sending to its arrival.",
    ("topic",),
    "histogram_kafka_{0}_delay_start_seconds",
)

# --- what is kept
CACHE_HITS = counter("counter_database_cacheHit_counter", "Actions that were at hand.")
CACHE_MISSES = counter("counter_database_cacheMiss_counter", "Actions that had to be read.")
CALLS = counter("counter_database_{call}_start", "Calls of CouchDB, by what was asked.")
CALL_TIMES = histogram("histogram_database_{call}_finish_seconds", "Calls of CouchDB that it answered.")
CALL_ERRORS = counter("counter_database_{call}_error", "Calls of CouchDB that it refused or left without an answer.")
CALL_ERROR_TIMES = histogram("histogram_database_{call}_error_seconds", "The same.")
BATCHES = histogram("histogram_database_batchSize_counter", "Records in one call of CouchDB.")
JOURNAL_ROWS = gauge("upcall_journal_activations", "Accepted activations that have not ended.")
JOURNAL_BYTES = gauge("upcall_journal_bytes", "Their messages.")
RECORDS_PENDING = gauge("upcall_records_pending", "Activation records that are not durable yet.")
STORE_TROUBLE = gauge("upcall_store_trouble", "1 while the store refuses writes.")

# --- the process
LAG = histogram("upcall_loop_lag_seconds", "How late turns of the event loop came, asked four times a second.")
