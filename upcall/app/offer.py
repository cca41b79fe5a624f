"""Which kinds are offered, and what runs each of them.

A runtimes manifest that is given says it; without one it is what this host runs by itself, or what has an image of ours
on the Docker engine, or for a cluster. `auto` takes the host's own where it runs a kind, else
Docker where that has the kind's image, or the given manifest names one.
"""

import logging
from collections.abc import Collection, Sequence

import msgspec

from upcall import __version__
from upcall.containers import images
from upcall.docker import Driver
from upcall.errors import Misconfigured
from upcall.model.images import ANY_TAG, Image, parse_image
from upcall.model.names import Json
from upcall.model.runtimes import Deployment, Manifest, Runtime

log = logging.getLogger("upcall")

OURS = {"python:3": "python", "python:3.11": "python", "nodejs:20": "nodejs"}
"""Kinds of the images that `scripts/images` builds."""
_HERE, _NOT_HERE = "this host runs them", "this host does not run them"
SKELETON = Image("skeleton", "upcall", __version__)


NATIVE, IMAGES = "native", "blackbox"
"""Of actions without a kind of the manifest: executables, and images of their own."""


class Pick(msgspec.Struct, frozen=True):
    """What runs one kind, or `NATIVE` or `IMAGES`. `there`: whether it does now, or its image is missing."""

    kind: str
    driver: Driver
    image: str
    why: str
    there: bool = True


class Offer(msgspec.Struct, frozen=True):
    """Of one platform."""

    manifest: Manifest
    picks: Sequence[Pick]
    deployment: Deployment = Deployment()

    @property
    def kinds(self) -> list[str]:
        """Those that are there first."""
        return sorted(self.manifest.kinds, key=lambda kind: kind not in self.present)

    @property
    def present(self) -> list[str]:
        """Kinds that can be run now."""
        there = {pick.kind for pick in self.picks if pick.there}
        return [kind for kind in self.manifest.kinds if kind in there]

    def rows(self) -> list[Json]:
        """For tools: what runs each kind."""
        return [{name: getattr(pick, name) for name in pick.__struct_fields__} for pick in self.picks]

    def lines(self) -> list[str]:
        """For people, under titles of 17 columns; nothing where there was nothing to choose."""
        told = [pick for pick in self.picks if pick.image or pick.why]
        groups = dict.fromkeys((pick.driver, pick.why) for pick in told)
        return [
            f"{f'{driver} runs:':<16} {_words([pick for pick in told if (pick.driver, pick.why) == (driver, why)])}"
            for driver, why in groups
        ]


def _words(picks: Sequence[Pick]) -> str:
    """`python:3 python:3.11 (upcall/python:0.1.0), nodejs:20 (upcall/nodejs:0.1.0): why`, of picks for one reason."""
    found = []
    for image in dict.fromkeys(pick.image for pick in picks):
        same = [pick for pick in picks if pick.image == image]
        kinds = " ".join(pick.kind for pick in same)
        lack = "" if same[0].there else ", which is missing"
        found.append(f"{kinds} ({image}{lack})" if image else kinds)
    why = f": {picks[0].why}" if picks[0].why else ""
    return f"{', '.join(found)}{why}"


def manifest_of(kinds: Sequence[str]) -> Manifest:
    """The kinds that run here, the first of a family its default, and the image of native executables, which the
    process driver plays whatever its tag (`wsk action create --native` names `:nightly`)."""
    pairs = [(kind, Image(f"action-{kind.replace(':', '-v')}", "upcall")) for kind in kinds]
    return Manifest(_families(pairs), [images.ANY_NATIVE])


def docker_manifest() -> Manifest:
    """Of our images, and of what is derived from our skeleton."""
    pairs = [(kind, Image(name, "upcall", __version__)) for kind, name in OURS.items()]
    return Manifest(_families(pairs), [images.ANY_NATIVE, msgspec.structs.replace(SKELETON, tag=ANY_TAG)])


def _families(pairs: Sequence[tuple[str, Image]]) -> dict[str, list[Runtime]]:
    families: dict[str, list[Runtime]] = {}
    for kind, image in pairs:
        family = families.setdefault(kind.partition(":")[0], [])
        family.append(Runtime(kind, image, default=not family))
    return families


def offered(manifest: Manifest, kinds: Collection[str]) -> Manifest:
    """What of it runs here; the rest is told. Raises Misconfigured where nothing does."""
    lacking = [kind for kind in manifest.kinds if kind not in kinds]
    if len(lacking) == len(manifest.kinds):
        raise Misconfigured(
            f"--runtimes: none of its kinds ({', '.join(lacking) or 'it has none'}) runs here; these do: "
            f"{', '.join(kinds)}"
        )
    if lacking:
        log.warning("kinds that are not run here, though the manifest has them: %s", ", ".join(lacking))
    return _limited(manifest, kinds)


def _limited(manifest: Manifest, kinds: Collection[str]) -> Manifest:
    """To these kinds."""
    families = {
        family: [runtime for runtime in runtimes if runtime.kind in kinds]
        for family, runtimes in manifest.runtimes.items()
    }
    return Manifest({family: here for family, here in families.items() if here}, manifest.blackboxes)


def by_process(given: Manifest | None, kinds: Sequence[str], why: str = "") -> Offer:
    """Raises Misconfigured."""
    manifest = offered(given or manifest_of(kinds), kinds)
    return Offer(manifest, [Pick(runtime.kind, "process", "", why) for runtime in manifest.all])


def by_docker(given: Manifest | None, deployment: Deployment, present: Collection[str]) -> Offer:
    """All of the manifest; images that are missing are told. Raises Misconfigured."""
    offer = _by_images(given, deployment, "docker", present)
    _tell_missing(offer.picks, ours=given is None)
    return offer


def by_pods(given: Manifest | None, deployment: Deployment) -> Offer:
    """All of the manifest: which images its nodes have or can fetch, a cluster does not say. Raises Misconfigured."""
    return _by_images(given, deployment, "kubernetes", wanted(given, deployment))


def _by_images(given: Manifest | None, deployment: Deployment, driver: Driver, present: Collection[str]) -> Offer:
    """Raises Misconfigured."""
    if given is not None and not given.kinds:
        raise Misconfigured("--runtimes: it has no kinds; the default has some: leave it out, or add them.")
    manifest = given or docker_manifest()
    picks = [_by_image(driver, runtime, deployment, present, "") for runtime in manifest.all]
    if given is None:
        deployment = msgspec.structs.replace(deployment, plays=((images.ANY_NATIVE, SKELETON),))
        skeleton = str(deployment.native(images.NATIVE))
        picks.append(Pick(NATIVE, driver, skeleton, "", skeleton in present))
    return Offer(manifest, picks, deployment)


def by_both(given: Manifest | None, kinds: Sequence[str], deployment: Deployment, present: Collection[str]) -> Offer:
    """`kinds` are the host's own. Raises Misconfigured."""
    manifest = given or _joined(manifest_of(kinds), docker_manifest(), deployment, present)
    picks = [
        Pick(runtime.kind, "process", "", _HERE)
        if runtime.kind in kinds
        else _by_image("docker", runtime, deployment, present, _NOT_HERE)
        for runtime in manifest.all
    ]
    manifest = offered(manifest, [pick.kind for pick in picks])
    _tell_missing(picks, ours=given is None)
    picks += [Pick(NATIVE, "process", "", _HERE), Pick(IMAGES, "docker", "", "images are Docker's")]
    return Offer(manifest, picks, deployment)


def _tell_missing(picks: Sequence[Pick], ours: bool) -> None:
    """Of images that are not there, with what brings them."""
    for image in dict.fromkeys(pick.image for pick in picks if not pick.there):
        kinds = ", ".join(pick.kind for pick in picks if pick.image == image)
        named = parse_image(image)
        fix = f"scripts/images {named.name}" if ours and not named.registry else f"docker pull {image}"
        log.warning("the Docker engine does not have the image %s of %s: %s", image, kinds, fix)


def _by_image(driver: Driver, runtime: Runtime, deployment: Deployment, present: Collection[str], why: str) -> Pick:
    image = str(deployment.managed(runtime.image))
    return Pick(runtime.kind, driver, image, why, image in present)


def _joined(first: Manifest, second: Manifest, deployment: Deployment, present: Collection[str]) -> Manifest:
    """The first, and what of the second it lacks and is there."""
    families = {family: list(runtimes) for family, runtimes in first.runtimes.items()}
    for runtime in second.all:
        if runtime.kind not in first.kinds and str(deployment.managed(runtime.image)) in present:
            known = families.setdefault(runtime.kind.partition(":")[0], [])
            known.append(msgspec.structs.replace(runtime, default=not known))
    return Manifest(families, first.blackboxes)


def wanted(given: Manifest | None, deployment: Deployment) -> list[str]:
    """Images that an engine is asked for."""
    manifest = given or docker_manifest()
    found = [str(deployment.managed(runtime.image)) for runtime in manifest.all]
    return list(dict.fromkeys([*found, *([] if given else [str(deployment.managed(SKELETON))])]))
