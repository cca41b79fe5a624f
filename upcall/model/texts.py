"""Every text that a user can see, equal to upstream's: clients and test suites compare them (spec: rest-api.md §1.2,
invoker.md §7, logs.md §4). Misspellings are upstream's and stay."""

import msgspec

# --- names (rest-api.md §2)
NAME_ILLEGAL = "The name of the entity contains illegal characters."
NAMESPACE_ILLEGAL = "The namespace contains illegal characters."
ACTIVATION_ID_ILLEGAL = "The activation id is not valid."


def name_too_long(length: int, limit: int) -> str:
    return f"Name segement longer than allowed: {length} > {limit}."


def namespace_too_long(length: int, limit: int) -> str:
    return f"Namespace longer than allowed: {length} > {limit}."


def activation_id_length(length: int) -> str:
    return f"Activation id length is {length} but must be 32."


# --- default text of each status (rest-api.md §1.2)
DEFAULTS = {
    401: "Authentication is possible but has failed or not yet been provided.",
    403: "The supplied authentication is not authorized to access this resource.",
    404: "The requested resource does not exist.",
    409: "The request could not be processed because of conflict in the request, such as an edit conflict.",
    413: "The request content is larger than the server is willing or able to process.",
    500: "There was an internal server error.",
    503: "The server is currently unavailable (because it is overloaded or down for maintenance).",
}
NO_CREDENTIALS = "The resource requires authentication, which was not supplied with the request"
BAD_CREDENTIALS = "The supplied authentication is invalid"
AMBIGUOUS_CREDENTIALS = "The supplied authentication stands for more than one namespace: ask the operator for another."
"""Ours, with 500."""
OPERATOR_REFUSED = "The supplied authentication is invalid."
"""Of the operator's routes (invoker.md §8)."""
CONTROLLER_REFUSED = "username or password are wrong."
CONTROLLER_DISABLED = "controller is disabled"
"""Of the controller's (rest-api.md §14)."""
UNKNOWN_PATH = "The requested resource could not be found."
ENTITY_EXPECTED = "Request entity expected but not supplied"
CONFORMANCE = "Resource by this name exists but is not in this collection."
CORRUPTED = "Resource is corrupted and cannot be read."
CONCURRENT_UPDATE = "Concurrent modification to resource detected."
EXISTS = "resource already exists"
FINAL_PARAMETERS = "Request defines parameters that are not allowed (e.g., reserved properties)."
OBJECT_EXPECTED = "JSON object expected"
TIMEOUT_PARAMETER = "Timeout must be number of milliseconds up to 60000."
DOCS_WITH_COUNT = "The parameter 'docs' is not permitted with 'count'."
INNER_LIMITS = "Inner entity level routes for limits are not yet implemented."


def store_silent(why: str) -> str:
    return f"The server is currently unavailable (its store cannot be asked: {why}). Try again later."


def store_refuses(why: str) -> str:
    return f"The server is currently unavailable (its store takes no writes: {why}). Try again later."


BODIES_FULL = "The server is currently unavailable (too many large requests arrive at once). Try again later."


def journal_full(count: int) -> str:
    return f"The server is currently unavailable ({count} accepted activations have not ended). Try again later."


def list_too_large(count: int, limit: int) -> str:
    return f"The list is too large: its first {count} records have nearly {limit} bytes. Ask for fewer with 'limit'."


def arguments_full(size: int) -> str:
    return (
        f"The server is currently unavailable ({size} bytes of arguments belong to activations that have not ended). "
        "Try again later."
    )


def no_invoker_holds(memory: int, largest: int) -> str:
    return (
        f"The server is currently unavailable (the action needs {memory} MB of memory; the largest Invoker that is up "
        f"has {largest} MB in all)."
    )


def malformed_content(detail: str) -> str:
    return f"The request content was malformed:\n{detail}"


def malformed_query(name: str, detail: str) -> str:
    return f"The query parameter '{name}' was malformed:\n{detail}"


def unsupported_type(content_type: str) -> str:
    return f"The request's Content-Type [{content_type}] is not supported. Expected:\napplication/json"


def method_not_allowed(methods: str) -> str:
    return f"HTTP method not allowed, supported methods: {methods}"


def not_authorized(resources: str) -> str:
    return f"The supplied authentication is not authorized to access {resources}."


def request_too_large(size: int, limit: int) -> str:
    return f"Request larger than allowed: {size} > {limit} bytes."


def larger_than_allowed(what: str, size: int, limit: int) -> str:
    return f"{what} larger than allowed: {size} > {limit} bytes."


# --- actions (rest-api.md §6.1)
EXEC_UNDEFINED = "exec undefined"
KIND_NOT_STRING = "'kind' must be a string defined in 'exec'"
IMAGE_NOT_STRING = "'image' must be a string defined in 'exec' for 'blackbox' actions"
IMAGE_ILLEGAL = "could not parse image name"
PARAMETERS_MALFORMED = "parameters malformed!"
VERSION_MALFORMED = "semantic version malformed"


def unknown_kind(kind: str, valid: list[str]) -> str:
    values = "', '".join(valid)
    return f"The specified runtime '{kind}' is not supported by this platform. Valid values are: '{values}'."


INSTALL = {"nodejs": " It takes Node.js 16 or later on the platform's host (apt-get install nodejs) and a new start."}
"""Ours, after upstream's text: what a family takes of which nothing runs here."""


def code_not_string(kind: str) -> str:
    return f"'code' must be a string or attachment object defined in 'exec' for '{kind}' actions"


def main_missing(kind: str) -> str:
    return f"'main' must be a string defined in 'exec' for '{kind}' actions"


def main_not_string(kind: str) -> str:
    return f"if defined, 'main' be a string in 'exec' for '{kind}' actions"


def runtime_deprecated(kind: str) -> str:
    return f"The '{kind}' runtime is no longer supported. You may read and delete but not update or invoke this action."


def object_in_field(name: str) -> str:
    return f"Object expected in field '{name}'"


def limit_not_whole(what: str) -> str:
    """`what` is `time limit` and its like."""
    return f"requirement failed: {what} must be whole number"


def limit_malformed(what: str) -> str:
    return f"{what} malformed"


def expected(what: str, value: object) -> str:
    """`what` is a JSON type in upstream's words: `JsBoolean`, `Array`, `String`."""
    return f"Expected {what}, but got {value}"


def instances_exceeded(limit: int) -> str:
    return f"Max action instance concurrency must not exceed your namespace concurrency of {limit}."


# --- packages (rest-api.md §7)
BINDING_TO_NOTHING = "Binding references a package that does not exist."
BINDING_TO_OTHER = "Cannot bind to a resource that is not a package."
BINDING_TO_BINDING = "Cannot bind to another package binding."
PACKAGE_NO_BINDING = "Resource is a package and cannot be converted into a binding."
NOT_ON_BINDING = "Operation not permitted on package binding."


def package_reserved(name: str) -> str:
    return f"Package name '{name}' is reserved."


def package_missing(id: str) -> str:
    return f"The requested resource '{id}' does not exist."


def circular_binding(id: str) -> str:
    return f"Package binding '{id}' contains a circular reference."


def package_not_empty(count: int) -> str:
    contents = f"{count} entity" if count == 1 else f"{count} entities"
    return f"Package not empty (contains {contents}). Set force param or delete package contents."


def shared_package(id: str) -> str:
    return f"GET not permitted for '{id}' since it's a shared package"


def bound_package(name: str) -> str:
    return f"GET not permitted since {name} is a binding of a shared package"


def shared_action(package: str) -> str:
    return f"GET not permitted for '{package}' since it's an action in a shared package"


def bound_action(id: str) -> str:
    return f"GET not permitted for '{id}'. Resource does not exist or is an action in a shared package binding."


def member_missing(name: str) -> str:
    return f"Object is missing required member '{name}'"


# --- sequences and conductors (sequences-conductors.md)
COMPONENTS_NOT_ARRAY = "'components' must be an array"
COMPONENTS_MISSING = "'components' must be defined for sequence kind"
SEQUENCE_EMPTY = "No component specified for the sequence."
SEQUENCE_LONG = "Too many actions in the sequence."
SEQUENCE_CYCLIC = "Sequence may not refer to itself."
COMPONENT_MISSING = "Sequence component does not exist."
SEQUENCE_FAILED = "Sequence failed."
COMPOSITION_LONG = "Too many actions in the composition."
COMPOSITION_FAILED = "Activation failure during composition."


def sequence_late(id: str) -> str:
    return f"Timeout reached when retrieving activation {id} for sequence component."


def composition_late(id: str) -> str:
    return f"Timeout reached when retrieving activation {id} during composition."


def component_unnamed(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return f"Failed to parse action name from json value {text} during composition."


def component_unresolved(id: str) -> str:
    return f"Failed to resolve action with name '{id}' during composition."


def component_refused(id: str) -> str:
    return f"Failed entitlement check for action with name '{id}' during composition."


# --- triggers and rules (triggers-rules.md)
FEED_NAME = "Feed name is not valid"
RULE_INCOMPLETE = "rule requires a valid trigger and a valid action"
TRIGGER_GONE = "Only rules with existing triggers can be activated"
REFERENCE_SHORT = (
    "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name of "
    "the entity."
)
REFERENCE_MALFORMED = "fully qualified name malformed"


def part_missing(what: str, id: str) -> str:
    """`what` is `trigger` or `action`."""
    return f"{what} /{id} does not exist"


def rule_state(state: object) -> str:
    return f"{state} is not a recognized rule state"


def rule_inactive(rule: str, action: str) -> str:
    return f"Rule '{rule}' is inactive, action '{action}' was not activated."


# --- queries of lists (rest-api.md §5, §10)
def not_an_integer(value: str, collection: str) -> str:
    return f"The value '{value}' is not an integer for {collection}."


def not_in_range(value: int, limit: int, collection: str) -> str:
    return f"The value '{value}' is not in the range of 0 to {limit} for {collection}."


def not_positive(value: int, collection: str) -> str:
    return f"The value '{value}' is not greater than or equal to 0 for {collection}."


def not_a_boolean(value: str) -> str:
    return f"'{value}' is not a valid Boolean value"


def not_a_name_filter(value: str) -> str:
    return f"Parameter may be a 'simple' name or 'package-name/simple' name: {value}"


def not_a_time(value: str) -> str:
    return f"Parameter is not a valid value for epoch seconds: {value}"


# --- throttles (rest-api.md §13)
def too_many_requests(count: int, allowed: int) -> str:
    return f"Too many requests in the last minute (count: {count}, allowed: {allowed})."


def too_many_concurrent(count: int, allowed: int) -> str:
    return f"Too many concurrent requests in flight (count: {count}, allowed: {allowed})."


# --- limits of actions (invoker.md §6)
def limit_exceeded(what: str, value: int, allowed: int) -> str:
    """`what` is one of `duration`, `memory size`, `concurrency`, `log size`."""
    unit = _LIMIT_UNITS[what]
    return f"{what} {value}{unit} exceeds allowed threshold of {allowed}{unit}"


def limit_undercut(what: str, value: int, allowed: int) -> str:
    unit = _LIMIT_UNITS[what]
    return f"{what} {value}{unit} below allowed threshold of {allowed}{unit}"


_LIMIT_UNITS = {"duration": " milliseconds", "memory size": " MB", "concurrency": "", "log size": " MB"}

# --- outcomes of activations (invoker.md §7)
NAMESPACE_BLOCKED = "The action was not invoked due to a blacklisted namespace."
ACTION_REMOVED = "Action could not be found or may have been deleted."
ACTION_MISMATCH = "Action version is not compatible and cannot be invoked."
ACTION_FETCH = "Action could not be fetched."
INIT_DIED = "The action did not initialize and exited unexpectedly."
RUN_DIED = "The action did not produce a valid response and exited unexpectedly."
MEMORY_EXHAUSTED = "The action exhausted its memory and was aborted."
PROVISION = "Failed to provision resources to run the action."
STOPPING = "The platform is stopping and takes no new work."
"""Ours, with 503: what begins to arrive after the signal."""
SHUTDOWN = "The action was not run to its end because the platform is shutting down."
INTERRUPTED = "The platform stopped while the action ran, and does not run it twice. How far it came is not known."


def init_failed(body: str) -> str:
    return f"The action failed during initialization: {body}" if body else "The action failed during initialization."


def init_timeout(ms: int) -> str:
    return f"The action exceeded its time limits of {ms} milliseconds during initialization."


def run_timeout(ms: int) -> str:
    return f"The action exceeded its time limits of {ms} milliseconds."


def run_invalid(body: str) -> str:
    text = "The action did not produce a valid JSON or JSON Array response"
    return f"{text}: {body}" if body else f"{text}."


def response_truncated(length: int, limit: int, prefix: str) -> str:
    return (
        f"The action produced a response that exceeded the allowed length: {length} > {limit} bytes. "
        f"The truncated response was: {prefix}"
    )


def memory_unavailable(memory: int) -> str:
    return f"The action needs {memory} MB of memory, which is more than all that its Invoker has."


def pull_failed(image: str) -> str:
    return f"Failed to pull container image '{image}'."


def executable_missing(image: str) -> str:
    return f"executable file not found in image {image}"


# --- arguments that came encrypted (container.md §2.4); ours, upstream gives no answer at all
def parameter_sealed(name: str, algorithm: str) -> str:
    return (
        f"The value of the parameter '{name}' cannot be decrypted ({algorithm}): it is damaged, or was encrypted with "
        "another key. Set the parameter again."
    )


def parameter_keyless(name: str, algorithm: str) -> str:
    return (
        f"The value of the parameter '{name}' is encrypted, and the platform has no key for {algorithm}: "
        "ask its operator, or set the parameter again."
    )


# --- logs (logs.md §4)
LOGS_MISSING = "There was an issue while collecting your logs. Data might be missing."
LOGS_DEVELOPER = "The action did not initialize or run as expected. Log data might be missing."
LOGS_ELSEWHERE = "Logs are not available."
"""What a controller says where logs are left to Docker's log driver (logs.md §6)."""


def logs_truncated(limit: int) -> str:
    return f"Logs were truncated because the total bytes size exceeds the limit of {limit} bytes."
