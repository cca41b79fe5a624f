"""The user's code: loaded once by /init, called by each /run (spec: container.md §2, §8).

Whatever the code raises goes with its traceback to stderr, which is the activation's log, and as one sentence into
the answer. An exception of a run is an *action developer error* (502, text "An error has occurred…"), a returned
object with `error` is the action's own business. `sys.exit()` and `os._exit()` end the process: the platform sees its
connection close.
"""

import contextlib
import glob
import linecache
import os
import site
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, NoReturn

from .archive import decoded, unpack
from .protocol import EXHAUSTED, TWICE, UNINITIALISED, Refused, check_code, context, encode, set_environment

_MODULE = "main__"
_FILE = "main__.py"
_NOT_STARTED = "The action failed to generate or locate a binary. See logs for details."
_FAILED = "An error has occurred while invoking the action (see logs for details): "
_NOT_OBJECT = "The action did not return a dictionary or array."
_COROUTINE, _VARARGS = 0x80, 0x04


class Code:
    """Nothing, then the user's `main`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._main: Callable[..., Any] | None = None
        self._wants_argument = True
        self._runner: Any = None

    def init(self, body: dict[str, Any]) -> None:
        """Load the code; raises Refused."""
        if self._main is not None:
            raise Refused(403, TWICE)
        value = body.get("value") or {}
        check_code(value.get("code"))
        set_environment(value.get("env") or {})
        main = value.get("main") or "main"
        source, file = self._unpack(decoded(value.pop("code"))) if value.get("binary") else (value["code"], _FILE)
        self._main = _load(source, file, main)
        flags = getattr(self._main, "__code__", None)
        self._wants_argument = flags is None or bool(flags.co_argcount or flags.co_flags & _VARARGS)

    def run(self, body: dict[str, Any]) -> bytes:
        """Call the code; its result as JSON. Raises Refused."""
        if self._main is None:
            raise Refused(403, UNINITIALISED)
        set_environment(context(body))
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

    def _unpack(self, code: bytes) -> tuple[bytes, str]:
        """Extract a zip; gives the content and the path of its `__main__.py`."""
        unpack(code, self._folder)
        file = os.path.join(self._folder, "__main__.py")
        if not os.path.isfile(file):
            raise Refused(502, "Zip file does not include __main__.py.")
        os.chdir(self._folder)
        _activate(os.path.join(self._folder, "virtualenv"))
        sys.path.insert(0, self._folder)
        with open(file, "rb") as stream:
            return stream.read(), file


def _load(source: str | bytes, file: str, main: str) -> Callable[..., Any]:
    module = types.ModuleType(_MODULE)
    module.__file__ = file
    sys.modules[_MODULE] = module
    if isinstance(source, str):  # there is no file to read
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    _loaded(lambda: exec(compile(source, file, "exec", dont_inherit=True), module.__dict__))  # noqa: S102 - the user's
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


def _activate(virtualenv: str) -> None:
    """Put a virtual environment that came in the zip to use: by its own script, as upstream does, and where that is
    missing or knows another Python only, by its folders. Raises Refused when the script fails."""
    script = os.path.join(virtualenv, "bin", "activate_this.py")
    if os.path.isfile(script):
        import runpy

        _loaded(lambda: runpy.run_path(script))
    for packages in glob.glob(os.path.join(virtualenv, "lib", "python3*", "site-packages")):
        if packages not in sys.path:
            count = len(sys.path)
            site.addsitedir(packages)
            sys.path[:] = sys.path[count:] + sys.path[:count]
            os.environ["VIRTUAL_ENV"] = virtualenv
            os.environ["PATH"] = f"{virtualenv}/bin:{os.environ.get('PATH', '')}"


def _loaded(load: Callable[[], object]) -> None:
    """Run what the user sent; raises Refused, with the traceback in the log."""
    try:
        load()
    except SystemExit:
        raise
    except BaseException as error:
        _print(error)
        raise Refused(502, EXHAUSTED if isinstance(error, MemoryError) else _NOT_STARTED) from error


def _failed(error: BaseException) -> NoReturn:
    _print(error)
    if isinstance(error, MemoryError):
        raise Refused(502, EXHAUSTED) from error
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
