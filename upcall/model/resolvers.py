"""How addresses of DNS resolvers are written: `1.2.3.4`, `1.2.3.4:5353`, `::1`, `[::1]:5353`, `fe80::1%eth0`; several
with commas or blanks between them."""

import ipaddress
import re
from typing import NamedTuple

_PORT = 53


class Address(NamedTuple):
    """Host as a numeric text, port."""

    host: str
    port: int


def parse_resolver(text: str) -> Address:
    """Raises ValueError."""
    with_port = re.fullmatch(r"(?:\[(.+)\]|([^:]+)):(\d{1,5})", text)
    host, port = (with_port[1] or with_port[2], int(with_port[3])) if with_port else (text, _PORT)
    try:
        ipaddress.ip_address(host)
        if 0 < port <= 65535:
            return Address(host, port)
    except ValueError:
        pass
    raise ValueError(f"'{text}' is no address of a resolver; write it as 192.168.1.1 or 192.168.1.1:5353")


def parse_resolvers(text: str) -> tuple[Address, ...]:
    return tuple(map(parse_resolver, text.replace(",", " ").split()))
