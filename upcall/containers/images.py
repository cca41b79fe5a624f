"""What the process driver makes of the images of `blackbox` actions: it runs none, but one it knows.

Upstream's skeleton image stands for "a native executable"; `wsk action create --native` names it (spec: container.md
§1, entities.md §10). What is in it is played by a runtime of ours, whatever its tag.
"""

from msgspec import structs

from upcall.errors import StartFailed
from upcall.model import texts
from upcall.model.entities import BLACKBOX
from upcall.model.images import ANY_TAG, Image, parse_image
from upcall.ports import ContainerSpec

NATIVE = Image("dockerskeleton", "openwhisk")
ANY_NATIVE = structs.replace(NATIVE, tag=ANY_TAG)
"""Of whatever tag, as `wsk action create --native` names `:nightly`."""


def is_native(spec: ContainerSpec) -> bool:
    """Whether it asks for the native runtime."""
    return spec.kind == BLACKBOX and parse_image(spec.image).is_same(ANY_NATIVE)


def refusal(spec: ContainerSpec) -> StartFailed:
    """Why a blackbox with another image does not run here."""
    why = f"The process driver runs no images, only native executables as {NATIVE}; images need the Docker driver."
    return StartFailed(f"{texts.pull_failed(spec.image)} {why}", developer=True)
