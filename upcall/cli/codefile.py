"""An action's `exec` from a file and flags, and back: kind by extension, base64 for what is no text.

.js .py .swift .php .rb .rs .go    the default kind of the language, as text
.jar .balx                         java (which needs --main), ballerina, as base64
.zip and all else                  need --kind, --native or --docker
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from upcall.cli.refusal import Refused

SKELETON = "openwhisk/dockerskeleton"
"""The image that `--native` means."""
_FAMILIES = {
    ".js": "nodejs",
    ".py": "python",
    ".swift": "swift",
    ".php": "php",
    ".rb": "ruby",
    ".rs": "rust",
    ".go": "go",
    ".jar": "java",
    ".balx": "ballerina",
}
_PACKED = frozenset((".zip", ".jar", ".balx"))


class Wanted(NamedTuple):
    """The flags that say what runs the code."""

    kind: str | None = None
    docker: str | None = None
    native: bool = False
    sequence: bool = False
    main: str | None = None


def exec_of(artifact: str | None, wanted: Wanted, namespace: str) -> dict[str, Any] | None:
    """None where nothing is said about the code. Raises UsageError, Refused."""
    if sum(map(bool, (wanted.kind, wanted.docker, wanted.native, wanted.sequence))) > 1:
        raise click.UsageError("--kind, --docker, --native and --sequence exclude each other.")
    if wanted.sequence:
        return {"kind": "sequence", "components": _components(artifact, namespace)}
    if artifact is None and not wanted.docker:
        if wanted.kind or wanted.native or wanted.main:
            raise click.UsageError("--kind, --native and --main need the file with the code.")
        return None
    made = _runner(artifact, wanted)
    if artifact is not None:
        made["code"] = _code(artifact)
    if wanted.main:
        made["main"] = wanted.main
    if made["kind"].startswith("java:") and not wanted.main:
        raise click.UsageError("Java needs --main with the full name of the class.")
    return made


def file_name(name: str, held: Mapping[str, Any]) -> str:
    """What an action's code is saved as: `hello.py`, `hello.zip`."""
    family = str(held.get("kind", "")).partition(":")[0]
    extension = next((ending for ending, known in _FAMILIES.items() if known == family), "")
    if held.get("binary") and extension not in _PACKED:
        extension = ".zip"
    return f"{name}{extension}"


def content(held: Mapping[str, Any]) -> bytes:
    """The bytes that were uploaded. Raises Refused for what has no code."""
    code = held.get("code")
    if not isinstance(code, str) or not code:
        what = {"sequence": "a sequence", "blackbox": "an image"}.get(str(held.get("kind")), "an action without code")
        raise Refused(f"there is nothing to save: this is {what}")
    try:
        return base64.b64decode(code, validate=True) if held.get("binary") else code.encode("utf-8", "surrogatepass")
    except binascii.Error:
        raise Refused("the code that the server sent is no base64") from None


def _components(artifact: str | None, namespace: str) -> list[str]:
    names = [name.strip() for name in (artifact or "").split(",")]
    if not all(names):
        raise click.UsageError("--sequence needs the actions' names, as in a,b,c.")
    return [name if name.startswith("/") else f"/{namespace}/{name}" for name in names]


def _runner(artifact: str | None, wanted: Wanted) -> dict[str, Any]:
    if wanted.docker or wanted.native:
        return {"kind": "blackbox", "image": wanted.docker or SKELETON}
    if wanted.kind:
        return {"kind": wanted.kind}
    extension = Path(str(artifact)).suffix.lower()
    if extension not in _FAMILIES:
        raise click.UsageError(
            f"What runs '{artifact}' cannot be told from its name: say it by --kind (as in --kind python:default), "
            "--native or --docker."
        )
    return {"kind": f"{_FAMILIES[extension]}:default"}


def _code(artifact: str) -> str:
    try:
        raw = Path(artifact).read_bytes()
    except OSError as error:
        raise Refused(f"the file '{artifact}' cannot be read: {error.strerror}") from None
    if Path(artifact).suffix.lower() not in _PACKED:
        try:
            return raw.decode()
        except UnicodeDecodeError:  # a program
            pass
    return base64.b64encode(raw).decode()
