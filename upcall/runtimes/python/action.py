"""The user's code: loaded once by /init, called by each /run (spec: container.md §2, §8).

Whatever the code raises goes with its traceback to stderr, which is the activation's log, and as one sentence into
the answer. An exception of a run is an *action developer error* (502, text "An error has occurred…"), a returned
object with `error` is the action's own business. `sys.exit()` and `os._exit()` end the process: the platform sees its
connection close.

Zips are refused, not repaired, when an entry climbs out of the folder or when unpacking would fill it.
"""

import base64
import contextlib
import glob
import io
import json
import linecache
import os
import sys
import traceback
import types
import zipfile
from collections.abc import Callable
from typing import Any, NoReturn

_MODULE = "main__"
_FILE = "main__.py"
_NO_CODE = "Missing main/no code to execute."
_NOT_STARTED = "The action failed to generate or locate a binary. See logs for details."
_TWICE = "Cannot initialize the action more than once."
_FAILED = "An error has occurred while invoking the action (see logs for details): "
_NOT_OBJECT = "The action did not return a dictionary or array."
_COROUTINE, _VARARGS = 0x80, 0x04
_MAX_ENTRIES = 50_000


class Refused(Exception):
    """An answer other than 200, with its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Action:
    """Nothing, then the user's `main`."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "action")
        self._main: Callable[..., Any] | None = None
        self._wants_argument = True
        self._runner: Any = None

    def init(self, body: dict[str, Any]) -> None:
        """Load the code; raises Refused."""
        if self._main is not None:
            raise Refused(403, _TWICE)
        value = body.get("value") or {}
        code = value.get("code")
        if not code or not code.strip():
            raise Refused(403, _NO_CODE)
        _set_environment(value.get("env") or {})
        main = value.get("main") or "main"
        source, file = self._unpack(code) if value.get("binary") else (code, _FILE)
        self._main = _load(source, file, main)
        flags = getattr(self._main, "__code__", None)
        self._wants_argument = flags is None or bool(flags.co_argcount or flags.co_flags & _VARARGS)

    def run(self, body: dict[str, Any]) -> bytes:
        """Call the code; its result as JSON. Raises Refused."""
        if self._main is None:
            raise Refused(403, "Cannot invoke an uninitialized action.")
        _set_environment({"__OW_" + name.upper(): text for name, text in body.items() if name != "value"})
        try:
            result = self._main(body.get("value", {})) if self._wants_argument else self._main()
            if hasattr(result, "__await__"):
                result = self._finish(result)
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            _failed(error)
        if not isinstance(result, dict | list | tuple):
            raise Refused(502, _NOT_OBJECT)
        try:
            return encode(result)
        except SystemExit:
            raise
        except BaseException as error:  # a class of the user's may raise anything
            _print(error)
            raise Refused(502, f"The action returned a value that is not JSON: {error}") from error

    def _finish(self, awaitable: Any) -> Any:
        """Await on one loop for the life of the process, so that clients bound to it stay usable."""
        import asyncio

        async def awaited() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(awaited())

    def _unpack(self, code: str) -> tuple[bytes, str]:
        """Extract a base64 zip; gives the content and the path of its `__main__.py`."""
        try:
            archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(code, validate=False)))
        except Exception as error:  # broken archives raise whatever their parts do
            raise Refused(502, f"The action's code is not a zip file in base64: {error}") from error
        os.makedirs(self._folder, mode=0o755)
        with archive:
            _extract(archive, self._folder)
        file = os.path.join(self._folder, "__main__.py")
        if not os.path.isfile(file):
            raise Refused(502, "Zip file does not include __main__.py.")
        os.chdir(self._folder)
        sys.path.insert(0, self._folder)
        _activate(os.path.join(self._folder, "virtualenv"))
        with open(file, "rb") as stream:
            return stream.read(), file


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8; what UTF-8 cannot hold (lone surrogates) is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _set_environment(values: dict[str, Any]) -> None:
    for name, text in values.items():
        try:
            os.environ[name] = text if isinstance(text, str) else json.dumps(text)
        except (ValueError, OSError) as error:
            raise Refused(502, f"The environment variable {name!r} cannot be set: {error}") from error


def _load(source: str | bytes, file: str, main: str) -> Callable[..., Any]:
    module = types.ModuleType(_MODULE)
    module.__file__ = file
    sys.modules[_MODULE] = module
    if isinstance(source, str):  # there is no file to read
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the user's code
    except SystemExit:
        raise
    except BaseException as error:
        _print(error)
        raise Refused(502, _NOT_STARTED) from error
    found: Any = module
    for part in main.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        text = f"The action's code has no function `{main}` to call."
        with contextlib.suppress(Exception):
            print(text, file=sys.stderr)  # noqa: T201 - stderr is the activation's log
        raise Refused(502, text)
    called: Callable[..., Any] = found
    return called


def _extract(archive: zipfile.ZipFile, folder: str) -> None:
    entries = archive.infolist()
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > free:
        raise Refused(
            502,
            f"The action's zip file is too large: it would unpack to more than {free} bytes or {_MAX_ENTRIES} files.",
        )
    for entry in entries:
        target = os.path.normpath(os.path.join(folder, entry.filename))
        if os.path.isabs(entry.filename) or not (target + os.sep).startswith(folder + os.sep):
            raise Refused(502, f"The action's zip file holds a path outside of it: {entry.filename}")
    try:
        for entry in entries:
            path = archive.extract(entry, folder)
            if (entry.external_attr >> 16) & 0o100:
                os.chmod(path, 0o755)  # noqa: S103
    except Exception as error:  # broken archives raise whatever their decompressors do
        raise Refused(502, f"The action's zip file cannot be unpacked: {error}") from error


def _activate(virtualenv: str) -> None:
    """Put a virtual environment that came in the zip to use, whatever Python made it."""
    for packages in glob.glob(os.path.join(virtualenv, "lib", "python3*", "site-packages")):
        sys.path.insert(1, packages)
        os.environ["VIRTUAL_ENV"] = virtualenv
        os.environ["PATH"] = f"{virtualenv}/bin:{os.environ.get('PATH', '')}"


def _failed(error: BaseException) -> NoReturn:
    _print(error)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception class of the user's
        text = "it cannot be shown"
    raise Refused(502, f"{_FAILED}{type(error).__name__}: {text}") from error


def _print(error: BaseException) -> None:
    """The traceback without this runtime's own frames; nothing where the user's code has closed its stderr."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    with contextlib.suppress(Exception):
        traceback.print_exception(type(error), error, trace)
