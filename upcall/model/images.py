"""Names of images: read, checked and completed (spec: container.md §1).

    [host[:port]/][prefix/]name[:tag][@digest]

An engine takes more for an image than its name: a digest, an id, the first digits of one. Whoever can name those can
run what was brought here for somebody else, so `refusal` lets pass only what is a name and nothing besides. An image
without a host belongs to Docker Hub, where a name without prefix is one of `library/`.
"""

import re

import msgspec

ANY_TAG = "*"
"""Of an image that is the same whatever its tag; no tag of Docker's."""
HUB = "docker.io"
_LONGEST = 255
_SHOWN = 100
_HOST = re.compile(
    r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?", re.ASCII
)
_PART = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}")
_ALGORITHMS = ("sha256", "sha384", "sha512")


class Image(msgspec.Struct, frozen=True):
    """`[registry/][prefix/]name[:tag]`; a missing tag equals `latest` when compared."""

    name: str
    prefix: str = ""
    tag: str = ""
    registry: str = ""
    digest: str = ""
    """`sha256:…`"""

    def __str__(self) -> str:
        """As `docker run` takes it."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{_closed(self.registry)}{self._path}{tag}{digest}"

    @property
    def _path(self) -> str:
        return f"{self.prefix}/{self.name}" if self.prefix else self.name

    def is_same(self, other: "Image") -> bool:
        """Whatever registry they come from."""
        if (self.prefix, self.name) != (other.prefix, other.name):
            return False
        return ANY_TAG in (self.tag, other.tag) or self._version == other._version

    @property
    def _version(self) -> str:
        return self.digest or self.tag or "latest"

    @property
    def floats(self) -> bool:
        """Whether what it names is whatever its registry has last."""
        return self._version == "latest"

    def at(self, registry: str) -> "Image":
        """The same in a deployment's registry, `host[:port][/path]`, unless it names its own."""
        return self if self.registry or not registry else msgspec.structs.replace(self, registry=registry)

    @property
    def host(self) -> str:
        """Of its registry, as Docker's configuration files name it; a deployment's may go on with a path."""
        own = parse_image(str(self)).registry
        return HUB if own in ("", f"index.{HUB}") else own

    @property
    def full(self) -> str:
        """With host and tag: what an engine fetches, and nothing else by this name."""
        own = parse_image(str(self))
        prefix = own.prefix or ("library" if self.host == HUB else "")
        tag = "" if self.digest else own.tag or "latest"
        return str(Image(own.name, prefix, tag, self.host, self.digest))


def parse_image(text: str) -> Image:
    """`registry:5000/prefix/name:tag`; what has a dot, a colon or `localhost` before the first slash is a registry."""
    name, _, digest = text.partition("@")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    *parts, last = path.split("/")
    registry = parts.pop(0) if parts and (parts[0] == "localhost" or set(".:") & set(parts[0])) else ""
    return Image(last, "/".join(parts), tag, registry, digest)


def refusal(text: str) -> str | None:
    """Why it is no name of an image; None where it is one."""
    image = parse_image(text)
    parts = [*image.prefix.split("/"), image.name] if image.prefix else [image.name]
    path, _, digest = text.partition("@")
    if len(path) > _LONGEST:
        return f"Names of images have {_LONGEST} characters at most, and this one has {len(path)}."
    if image.registry and not _HOST.fullmatch(image.registry):
        return f"{_cut(image.registry)} is no host of a registry."
    for part in parts:
        if not _PART.fullmatch(part):
            return f"{_cut(part)} is no part of a name: small letters and digits, with one of '.', '_', '-' between."
    if len(parts) == 1 and not image.registry and (_ID.fullmatch(image.name) or image.name in _ALGORITHMS):
        return "An image is named, not given by its id."
    if image.tag and not _TAG.fullmatch(image.tag):
        return f"{_cut(image.tag)} is no tag: 1 to 128 letters, digits, '_', '.' and '-', the first no '.' or '-'."
    if digest and not _DIGEST.fullmatch(digest):
        return f"{_cut(digest)} is no digest: sha256: and 64 digits from 0 to f."
    return None if str(image) == text else "Names of images look like host:port/prefix/name:tag."


def parse_registry(text: str) -> str:
    """`host[:port][/path]`, where a deployment's images are; may end in a slash. Raises ValueError."""
    registry = text.strip().rstrip("/")
    if registry and refusal(f"{registry}/image"):
        what = "this" if "@" in text else f"'{text}'"
        raise ValueError(f"{what} is no registry, as registry.example.org:5000 is one: without a scheme, without users")
    return registry


def _closed(registry: str) -> str:
    return registry if not registry or registry.endswith("/") else f"{registry}/"


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
