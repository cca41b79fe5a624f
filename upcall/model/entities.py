"""Documents of the entity and subject databases: actions, packages, triggers, rules, subjects, limits, identities
(spec: entities.md, triggers-rules.md).

Each struct is the document as REST returns it; a store adds `_id`, `_rev` and `entityType`. Reading is tolerant:
unknown members are dropped, members that old documents lack get their defaults. Members that are left out rather than
null are `UNSET`.
"""

from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from upcall.model.documents import KeyValue
from upcall.model.names import FIRST_VERSION, FullyQualifiedName, Json

SEQUENCE, BLACKBOX = "sequence", "blackbox"


class Exec(msgspec.Struct):
    """What an action runs. `code` is source text, or base64 where `binary`; a sequence has `components` alone."""

    kind: str
    code: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    main: str | UnsetType = UNSET
    binary: bool | UnsetType = UNSET
    components: list[str] | UnsetType = UNSET


class Parameter(msgspec.Struct):
    """A default argument; with `init` it goes to /init as environment (spec: entities.md §3)."""

    key: str
    value: Raw
    init: bool | UnsetType = UNSET
    encryption: str | UnsetType = UNSET


class ActionLimits(msgspec.Struct):
    """timeout in ms, memory and logs in MB, concurrency per container."""

    timeout: int
    memory: int
    logs: int = 10
    concurrency: int = 1
    instances: int | UnsetType = UNSET


class Action(msgspec.Struct):
    """`namespace` is `namespace[/package]`; `updated` is epoch ms."""

    entity_type: ClassVar[str] = "action"

    namespace: str
    name: str
    exec: Exec
    limits: ActionLimits
    version: str = FIRST_VERSION
    publish: bool = False
    parameters: list[Parameter] = msgspec.field(default_factory=list)
    annotations: list[KeyValue] = msgspec.field(default_factory=list)
    updated: int = 0

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    def annotation(self, key: str, default: Json = None) -> Json:
        """The value under `key`; the last one where a document has the key twice."""
        return next((entry.value for entry in reversed(self.annotations) if entry.key == key), default)


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The package that a package stands for; `{}` in one that has its own actions (spec: entities.md §4)."""

    namespace: str = ""
    name: str = ""


class Package(msgspec.Struct):
    """`namespace` is one name; `publish` shares it. The actions in it are found by their own namespace."""

    entity_type: ClassVar[str] = "package"

    namespace: str
    name: str
    version: str = FIRST_VERSION
    publish: bool = False
    binding: Binding = Binding()
    parameters: list[Parameter] = msgspec.field(default_factory=list)
    annotations: list[KeyValue] = msgspec.field(default_factory=list)
    updated: int = 0
    other: dict[str, Json] | UnsetType = UNSET
    """Members that a copied document has and this release does not know (`upcall.transfer`)."""

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"


class RuleLink(msgspec.Struct, frozen=True):
    """What a trigger knows of a rule: its action, and whether it is `active` or `inactive`."""

    action: FullyQualifiedName
    status: str


class Trigger(msgspec.Struct):
    """`rules` by `namespace/rule`; a rule's state is nowhere else (spec: triggers-rules.md §2)."""

    entity_type: ClassVar[str] = "trigger"

    namespace: str
    name: str
    version: str = FIRST_VERSION
    publish: bool = False
    parameters: list[Parameter] = msgspec.field(default_factory=list)
    annotations: list[KeyValue] = msgspec.field(default_factory=list)
    limits: dict[str, Json] = msgspec.field(default_factory=dict)
    rules: dict[str, RuleLink] | UnsetType = UNSET
    updated: int = 0
    other: dict[str, Json] | UnsetType = UNSET
    """As a package's."""

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"


class Rule(msgspec.Struct):
    """Which action a trigger's firing calls (spec: triggers-rules.md §4)."""

    entity_type: ClassVar[str] = "rule"

    namespace: str
    name: str
    trigger: FullyQualifiedName
    action: FullyQualifiedName
    version: str = FIRST_VERSION
    publish: bool = False
    annotations: list[KeyValue] = msgspec.field(default_factory=list)
    updated: int = 0
    other: dict[str, Json] | UnsetType = UNSET
    """As a package's."""

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"


class NamespaceKey(msgspec.Struct):
    """One namespace of a subject, with the credentials that choose it: `uuid:key`."""

    name: str
    uuid: str
    key: str


class Subject(msgspec.Struct):
    """An account (spec: entities.md §7)."""

    entity_type: ClassVar[str] = "subject"

    subject: str
    namespaces: list[NamespaceKey] = msgspec.field(default_factory=list)
    blocked: bool = False

    @property
    def id(self) -> str:
        return self.subject


class UserLimits(msgspec.Struct, rename="camel"):
    """A namespace's own limits; what is unset falls back to the system's (spec: entities.md §7)."""

    invocations_per_minute: int | UnsetType | None = UNSET
    concurrent_invocations: int | UnsetType | None = UNSET
    fires_per_minute: int | UnsetType | None = UNSET
    allowed_kinds: list[str] | UnsetType | None = UNSET
    store_activations: bool | UnsetType | None = UNSET
    min_action_memory: int | UnsetType | None = UNSET
    max_action_memory: int | UnsetType | None = UNSET
    min_action_logs: int | UnsetType | None = UNSET
    max_action_logs: int | UnsetType | None = UNSET
    min_action_timeout: int | UnsetType | None = UNSET
    max_action_timeout: int | UnsetType | None = UNSET
    min_action_concurrency: int | UnsetType | None = UNSET
    max_action_concurrency: int | UnsetType | None = UNSET
    max_action_instances: int | UnsetType | None = UNSET
    max_parameter_size: str | UnsetType | None = UNSET
    max_payload_size: str | UnsetType | None = UNSET
    truncation_size: str | UnsetType | None = UNSET
    warmed_container_keeping_count: int | UnsetType | None = UNSET
    warmed_container_keeping_timeout: str | UnsetType | None = UNSET


class Limits(msgspec.Struct):
    """The document `<namespace>/limits`; in the store its members lie beside `_id`."""

    entity_type: ClassVar[str] = "limits"

    namespace: str
    limits: UserLimits

    @property
    def id(self) -> str:
        return f"{self.namespace}/limits"


class NamespaceId(msgspec.Struct, frozen=True):
    """A namespace as identities carry it."""

    name: str
    uuid: str


class Identity(msgspec.Struct):
    """Who calls (spec: bus.md §6.3). All members of `authkey` are handed to the action."""

    subject: str
    namespace: NamespaceId
    authkey: dict[str, Json]
    rights: list[str] = msgspec.field(default_factory=list)
    limits: UserLimits = msgspec.field(default_factory=UserLimits)


RIGHTS = ["READ", "PUT", "DELETE", "ACTIVATE"]


def identity_of(subject: Subject, namespace: NamespaceKey, limits: UserLimits) -> Identity:
    """The identity that a subject's credentials for one of its namespaces stand for."""
    return Identity(
        subject=subject.subject,
        namespace=NamespaceId(namespace.name, namespace.uuid),
        authkey={"api_key": f"{namespace.uuid}:{namespace.key}"},
        rights=RIGHTS,
        limits=limits,
    )
