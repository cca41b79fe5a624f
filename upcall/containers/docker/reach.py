"""How the engine is reached, and in words why it is not."""

import asyncio
import errno
import ssl
from pathlib import Path

import aiohttp
from aiodocker import DockerError

from upcall.errors import Away, Misconfigured

_UNIX, _TCP = "unix://", "tcp://"


def connect(host: str, tls: Path | None, *, kept: bool = True) -> tuple[aiohttp.BaseConnector, str]:
    """Connections, without a bound on their number: each stream of logs is one; `kept` for the next request. With them
    the client's URL. Raises Misconfigured."""
    if host.startswith(_UNIX + "/"):
        return aiohttp.UnixConnector(host.removeprefix(_UNIX), force_close=not kept, limit=0), _UNIX + "localhost"
    if not host.startswith(_TCP) or len(host) == len(_TCP):
        raise Misconfigured(f"{host!r} is no address of a Docker engine: write unix:///path or tcp://host:port.")
    address = host.removeprefix(_TCP)
    if tls is None:
        return aiohttp.TCPConnector(force_close=not kept, limit=0), f"http://{address}"
    return aiohttp.TCPConnector(force_close=not kept, limit=0, ssl=_context(tls)), f"https://{address}"


def _context(folder: Path) -> ssl.SSLContext:
    """Raises Misconfigured."""
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
    except OSError as error:  # ssl.SSLError is one
        raise Misconfigured(f"The certificates for the Docker engine in {folder} cannot be used: {error}") from error
    return context


def reason(error: BaseException) -> str:
    """What the engine does, as the end of a sentence."""
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"is not trusted, or does not trust us: {error}"
    match _cause(error):
        case errno.ENOENT:
            return "is not there: its socket does not exist"
        case errno.ECONNREFUSED:
            return "does not run: it refuses connections"
        case errno.EACCES | errno.EPERM:
            return "may not be used by this user"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"answers a ping with {error.status}"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "has cut off the connection"
    if isinstance(error, DockerError):
        return f"says: {error.message}"
    return f"cannot be reached: {error}"


_FIXES = {
    errno.ENOENT: "install Docker and start it (apt-get install docker.io; systemctl start docker), or name its address"
    " with --docker-host",
    errno.ECONNREFUSED: "start it (systemctl start docker), or name its address with --docker-host",
    errno.EACCES: "add the user to the group docker (usermod -aG docker NAME) and log in anew, or run as root",
}


def refusal(host: str, error: BaseException) -> Misconfigured:
    """Why nothing starts, with the way out; Away where it may come yet."""
    cause = _cause(error)
    why = reason(error)
    text = f"The Docker engine at {host} {why}: "
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientResponseError):
        return Misconfigured(
            f"{text}an engine that speaks TLS needs DOCKER_CERT_PATH, the folder of ca.pem, cert.pem and key.pem."
        )
    text += _FIXES.get(cause, "look at its log (journalctl -u docker), or name another address with --docker-host")
    return Misconfigured(f"{text}.") if cause == errno.EACCES else Away(f"{text}.", why)


def _cause(error: BaseException) -> int:
    """The system's number for it; 0 where it has none."""
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return 0  # theirs are other numbers
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return (inner.errno or 0) if isinstance(inner, OSError) and not isinstance(inner, asyncio.TimeoutError) else 0
