"""The address that a server listens on, taken before there is a server."""

import socket

from upcall.errors import Misconfigured

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Take the address; 0 is any port. Clients wait from here on until a `Server` serves them. Raises Misconfigured
    where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise Misconfigured(
            f"cannot listen on {host} port {port}: {why}; name another address with --host or --port"
        ) from error
