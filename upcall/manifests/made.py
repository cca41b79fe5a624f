"""From what is wanted to the text, by the form that is asked for."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from upcall.errors import Misconfigured
from upcall.manifests.document import Object, stream
from upcall.manifests.fleet import fleet
from upcall.manifests.invoker import invoker
from upcall.manifests.old import old
from upcall.manifests.profiles import Profile, profile
from upcall.manifests.single import single
from upcall.manifests.wanted import Wanted
from upcall.manifests.wishes import check, only

Form = Literal["invoker", "single", "fleet", "2017"]
FORMS: tuple[Form, ...] = get_args(Form)
_COMMON = (
    "namespace",
    "release",
    "node_selector",
    "registry",
    "image",
    "memory",
    "cpu",
    "pull_secret",
    "isolation",
    "user_namespace",
)


class Kind(NamedTuple):
    """`taken`: what of `Wanted` counts; None: all."""

    make: Callable[[Wanted, Profile], list[Object]]
    shown: str
    taken: tuple[str, ...] | None


KINDS: dict[Form, Kind] = {
    "invoker": Kind(invoker, "", None),
    "single": Kind(single, "--platform single", (*_COMMON, "volume", "volume_size", "docker_group")),
    "fleet": Kind(
        fleet,
        "--platform fleet",
        (
            *_COMMON,
            *("replicas", "tolerations", "spread", "secret", "runtimes", "volume", "volume_size", "docker_group"),
            *("monitor", "scaler", "most", "prometheus"),
        ),
    ),
    "2017": Kind(
        old,
        "--as 2017",
        (
            "namespace",
            "release",
            "node_selector",
            "registry",
            "image",
            "replicas",
            "kafka",
            "secret",
            "runtimes",
            "arch",
        ),
    ),
}


def manifest(form: Form, wanted: Wanted, head: str) -> str:
    """YAML. Raises Misconfigured, saying what would work."""
    kind, found = KINDS[form], profile(wanted.profile)
    if kind.taken is not None:
        only(wanted, kind.shown, kind.taken)
    check(wanted, found)
    _fits(form, wanted)
    return stream(kind.make(wanted, found), head)


def _fits(form: Form, wanted: Wanted) -> None:
    """Raises Misconfigured."""
    if form == "2017":
        if wanted.driver != "docker":
            raise Misconfigured(f"--as 2017 runs actions in Docker's containers: leave --driver {wanted.driver} out")
        if "," in wanted.kafka:
            raise Misconfigured(f"--as 2017 has a variable for one Kafka server: give the first of {wanted.kafka}")
    elif wanted.arch != Wanted().arch:
        raise Misconfigured("--arch is for --as 2017 alone, which mounts a path that differs: leave it out")
    if form == "invoker" and wanted.driver == "docker" and wanted.volume:
        raise Misconfigured("--volume: with the docker driver data are in a folder of the node: leave it out")
