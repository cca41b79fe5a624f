"""Docker's credential helpers: programs that know secrets, `docker-credential-NAME get`.

The registry's address goes to its standard input, `{"Username": …, "Secret": …}` comes from its standard output; with
the user name `<token>` the secret is an identity token. What it says when it fails is not repeated: it might be more
than the cause.
"""

import asyncio
import contextlib
import os
import re
import signal

import msgspec

PATIENCE = 20.0
"""Seconds for one answer; some ask a cloud."""
_LARGEST = 1 << 16
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}", re.ASCII)
_NOT_FOUND = b"credentials not found"
_TOKEN = "<token>"  # noqa: S105 - what stands in place of a user's name


class HelperFailed(Exception):
    """It gave no answer; names it and the way to try it."""


class Answer(msgspec.Struct, frozen=True):
    """`{"ServerURL":"…","Username":"…","Secret":"…"}`"""

    username: str = msgspec.field(name="Username", default="")
    secret: str = msgspec.field(name="Secret", default="")


async def ask(name: str, server: str, patience: float = PATIENCE) -> dict[str, str] | None:
    """Credentials for a registry; None: it has none. Raises HelperFailed."""
    if not _NAME.fullmatch(name):
        raise HelperFailed(f"{name[:100]!r} is no name of a credential helper")
    program = f"docker-credential-{name}"
    hint = f"try it: echo {server} | {program} get"
    try:
        async with asyncio.timeout(patience):
            status, output = await _run(program, server.encode())
    except TimeoutError:
        raise HelperFailed(f"{program} has not answered in {patience:g} s; {hint}") from None
    except OSError as error:
        raise HelperFailed(f"{program} cannot be run ({error.strerror}): install it on PATH") from None
    if status and _NOT_FOUND in output:
        return None
    if status or len(output) > _LARGEST:
        raise HelperFailed(f"{program} has failed with status {status}; {hint}")
    try:
        answer = msgspec.json.decode(output, type=Answer)
    except ValueError:  # not JSON, not of this form, not UTF-8
        raise HelperFailed(f"{program} has not answered as a credential helper does; {hint}") from None
    if answer.username == _TOKEN:
        return {"identitytoken": answer.secret}
    return {"username": answer.username, "password": answer.secret}


async def _run(program: str, request: bytes) -> tuple[int, bytes]:
    """Its status, and what it prints, as far as that is of use."""
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, "get", stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        process.stdin.close()
        output = b""
        while len(output) <= _LARGEST and (more := await process.stdout.read(_LARGEST)):
            output += more
        if len(output) <= _LARGEST:
            return await process.wait(), output
        return -1, output
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
