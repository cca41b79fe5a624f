"""The runtimes manifest: which kinds there are and what runs them (spec: container.md §1, entities.md §10)."""

import msgspec
from msgspec import UNSET, UnsetType

from upcall.model.sizes import MB, parse_size

ANY_TAG = "*"
"""Of an image that is the same whatever its tag; no tag of Docker's."""


class Image(msgspec.Struct, frozen=True):
    """`[registry/][prefix/]name[:tag]`; a missing tag equals `latest` when compared."""

    name: str
    prefix: str = ""
    tag: str = ""
    registry: str = ""

    def __str__(self) -> str:
        """As `docker run` takes it, without the deployment's registry."""
        registry = self.registry if not self.registry or self.registry.endswith("/") else f"{self.registry}/"
        prefix = f"{self.prefix}/" if self.prefix else ""
        return f"{registry}{prefix}{self.name}{':' if self.tag else ''}{self.tag}"

    def is_same(self, other: "Image") -> bool:
        """Whatever registry they come from."""
        if ANY_TAG not in (self.tag, other.tag) and (self.tag or "latest") != (other.tag or "latest"):
            return False
        return (self.prefix, self.name) == (other.prefix, other.name)


def parse_image(text: str) -> Image:
    """`registry:5000/prefix/name:tag`; what has a dot, a colon or `localhost` before the first slash is a registry."""
    name, _, digest = text.partition("@")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    *parts, last = path.split("/")
    registry = parts.pop(0) if parts and (parts[0] == "localhost" or set(".:") & set(parts[0])) else ""
    return Image(last, "/".join(parts), digest or tag, registry)


class Reactive(msgspec.Struct, frozen=True, rename="camel"):
    """How a stem cell's count follows cold starts; `ttl` is a duration text."""

    min_count: int
    max_count: int
    ttl: str
    threshold: int
    increment: int

    def __post_init__(self) -> None:
        if not (0 <= self.min_count <= self.max_count and self.max_count > 0 and self.threshold > 0):
            raise ValueError("reactive: 0 <= minCount <= maxCount, maxCount > 0 and threshold > 0 must hold")
        if not 1 <= self.increment <= self.max_count:
            raise ValueError("reactive: 1 <= increment <= maxCount must hold")


class StemCell(msgspec.Struct, frozen=True, rename="camel"):
    """Containers kept started for a kind; `memory` is a size text."""

    memory: str
    initial_count: int = 0
    count: int = 0
    reactive: Reactive | None = None

    def __post_init__(self) -> None:
        if self.wanted <= 0:
            raise ValueError("stemCells: initialCount must be greater than 0")
        parse_size(self.memory)

    @property
    def wanted(self) -> int:
        """The count at start; `count` is its older name."""
        return self.initial_count or self.count

    @property
    def megabytes(self) -> int:
        return parse_size(self.memory) // MB


class Attached(msgspec.Struct, frozen=True, rename="camel"):
    """The code of such a kind is stored as an attachment."""

    attachment_name: str
    attachment_type: str


class Runtime(msgspec.Struct, frozen=True, rename="camel"):
    """One kind."""

    kind: str
    image: Image
    default: bool = False
    deprecated: bool = False
    require_main: bool = False
    sentinelled_logs: bool = True
    attached: Attached | UnsetType | None = UNSET
    stem_cells: list[StemCell] = msgspec.field(default_factory=list)


class Manifest(msgspec.Struct, frozen=True):
    """All kinds by family. Build it with `parse_manifest`, which checks the defaults."""

    runtimes: dict[str, list[Runtime]]
    blackboxes: list[Image] = msgspec.field(default_factory=list)

    def runtime(self, kind: str) -> Runtime | None:
        """The runtime of a kind; `family:default` is the family's default. Blanks and case do not count."""
        kind = kind.strip().lower()
        family, _, version = kind.partition(":")
        if version == "default":
            return next((runtime for runtime in self.runtimes.get(family, ()) if runtime.default), None)
        return next((runtime for runtime in self.all if runtime.kind == kind), None)

    @property
    def all(self) -> list[Runtime]:
        """Of every family."""
        return [runtime for versions in self.runtimes.values() for runtime in versions]

    def is_pulled(self, image: str, local_prefix: str | None = None) -> bool:
        """Whether an action's own image is fetched before it is run: not if it is one of the trusted ones, nor if it
        has the prefix of those that are there (spec: store.md §3.1)."""
        own = parse_image(image)
        return own.prefix != local_prefix and not any(own.is_same(native) for native in self.blackboxes)

    @property
    def kinds(self) -> list[str]:
        return [runtime.kind for runtime in self.all]


def parse_manifest(text: str | bytes) -> Manifest:
    """Raises ValueError that names what is wrong."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the runtimes manifest cannot be read: {error}") from error
    return with_defaults(manifest)


def with_defaults(manifest: Manifest) -> Manifest:
    """A family of one is its own default; of several exactly one must say so. Raises ValueError."""
    families = {}
    for family, versions in manifest.runtimes.items():
        defaults = [runtime.kind for runtime in versions if runtime.default]
        if len(versions) == 1:
            versions = [msgspec.structs.replace(versions[0], default=True)]  # noqa: PLW2901
        elif not defaults:
            raise ValueError(f"{family} has multiple versions, but no default.")
        elif len(defaults) > 1:
            raise ValueError(f"Found more than one default for {family}: {', '.join(defaults)}")
        families[family] = versions
    return Manifest(families, manifest.blackboxes)
