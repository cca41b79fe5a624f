"""The runtimes manifest: which kinds there are and what runs them (spec: container.md §1, entities.md §10)."""

import msgspec
from msgspec import UNSET, UnsetType

from upcall.model.images import ANY_TAG, Image, parse_image, refusal
from upcall.model.sizes import MB, parse_size


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
        if self.megabytes <= 0:
            raise ValueError(f"stemCells: memory must be 1 MB or more, and is {self.memory}")

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

    def __post_init__(self) -> None:
        if not self.kind.strip():
            raise ValueError("kind: it is empty")
        if why := refusal(str(self.image)):
            raise ValueError(f"image of {self.kind}: {why}")


class Manifest(msgspec.Struct, frozen=True):
    """All kinds by family. Build it with `parse_manifest`, which checks the defaults."""

    runtimes: dict[str, list[Runtime]]
    blackboxes: list[Image] = msgspec.field(default_factory=list)
    image_prefix: str = msgspec.field(default="", name="defaultImagePrefix")
    """Of images that name none, as their tag: manifests of 2017 say it once."""
    image_tag: str = msgspec.field(default="", name="defaultImageTag")

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

    def is_native(self, image: Image, local_prefix: str | None = None) -> bool:
        """Whether it is one of the trusted ones, or has the prefix of those that are there: it is not fetched before
        it is run, and what it prints ends with sentinels (spec: store.md §3.1)."""
        local = bool(local_prefix) and image.prefix == local_prefix
        return local or any(image.is_same(native) for native in self.blackboxes)

    def is_pulled(self, image: str, local_prefix: str | None = None) -> bool:
        """Whether an action's own image is fetched before it is run."""
        return not self.is_native(parse_image(image), local_prefix)

    @property
    def kinds(self) -> list[str]:
        return [runtime.kind for runtime in self.all]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Where images are, and what stands for some of them."""

    registry: str = ""
    """Of managed and native images that name none: `host[:port][/path]` (`runtimes-registry`)."""
    users_registry: str = ""
    """Of all others (`user-images-registry`)."""
    local_prefix: str | None = None
    """Images with it are there, and never fetched (`bypass-pull-for-local-images`); None: there are no such ones."""
    plays: tuple[tuple[Image, Image], ...] = ()
    """Native images, and what is run in their place."""

    def managed(self, image: Image) -> Image:
        """In full, with the registry (spec: container.md §1)."""
        return image.at(self.registry)

    def native(self, image: Image) -> Image:
        return next((own for named, own in self.plays if image.is_same(named)), image).at(self.registry)

    def foreign(self, image: Image) -> Image:
        return image.at(self.users_registry)


def parse_manifest(text: str | bytes) -> Manifest:
    """Raises ValueError that names what is wrong."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the runtimes manifest cannot be read: {error}") from error
    for number, image in enumerate(manifest.blackboxes):
        named = msgspec.structs.replace(image, tag="") if image.tag == ANY_TAG else image
        if why := refusal(str(named)):
            raise ValueError(f"the runtimes manifest cannot be read: {why} - at `$.blackboxes[{number}]`")
    return with_defaults(_whole(manifest))


def _whole(manifest: Manifest) -> Manifest:
    """With the default prefix and tag in the images that lack them."""
    if not manifest.image_prefix and not manifest.image_tag:
        return manifest

    def filled(image: Image) -> Image:
        tag = image.tag or ("" if image.digest else manifest.image_tag)
        return msgspec.structs.replace(image, prefix=image.prefix or manifest.image_prefix, tag=tag)

    families = {
        family: [msgspec.structs.replace(runtime, image=filled(runtime.image)) for runtime in versions]
        for family, versions in manifest.runtimes.items()
    }
    return Manifest(families, [*map(filled, manifest.blackboxes)])


def with_defaults(manifest: Manifest) -> Manifest:
    """A family of one is its own default; of several exactly one must say so. Raises ValueError."""
    families = {}
    for family, given in manifest.runtimes.items():
        versions = [msgspec.structs.replace(runtime, kind=runtime.kind.strip().lower()) for runtime in given]
        defaults = [runtime.kind for runtime in versions if runtime.default]
        if len(versions) == 1:
            versions = [msgspec.structs.replace(versions[0], default=True)]
        elif versions and not defaults:
            raise ValueError(f"{family} has multiple versions, but no default.")
        elif len(defaults) > 1:
            raise ValueError(f"Found more than one default for {family}: {', '.join(defaults)}")
        families[family] = versions
    return Manifest(families, manifest.blackboxes)
