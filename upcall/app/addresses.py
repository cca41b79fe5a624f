"""What a listening process is called by others."""

import ipaddress
import socket


def is_loopback(listener: socket.socket) -> bool:
    address = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    return address.is_loopback


def reachable(host: str) -> str:
    """The host's part of a URL that this machine can use."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def names(host: str) -> list[str]:
    """What clients may call this server by, for a certificate."""
    found = ["localhost", socket.gethostname(), "127.0.0.1", "::1", reachable(host).strip("[]").partition("%")[0]]
    return [name for name in dict.fromkeys(found) if name and name.isascii()]
