"""How values of settings are written: each function takes a text and gives the value, or raises ValueError with what is
wrong with it."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from upcall.model.sizes import MB, parse_duration, parse_size

Parse = Callable[[str], Any]
LEVELS = ("debug", "info", "warning", "error")
"""Of log lines."""


def megabytes(text: str) -> int:
    """Whole MB of a size text; a bare number is MB, as action limits are."""
    size = int(text) if text.strip().isdigit() else parse_size(text) // MB
    if size <= 0:
        raise ValueError(f"'{text}' is less than 1 MB")
    return size


def kilobytes_or_more(text: str) -> int:
    size = parse_size(text)
    if size < 1024:
        raise ValueError(f"'{text}' is less than 1 KB")
    return size


def milliseconds(text: str) -> int:
    return round(parse_duration(text) * 1000)


def folder(text: str) -> Path:
    return Path(text).expanduser()


def port_number(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise ValueError(f"'{text}' is no port: 0 (any free one) to 65535")
    return int(text)


def count(text: str) -> int:
    if not text.strip().isdigit():
        raise ValueError(f"'{text}' is no whole number of 0 or more")
    return int(text)


def credentials(text: str) -> str:
    """`UUID:KEY`, the key of exactly 64 characters (spec: rest-api.md §1.3). Never quoted in the error."""
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[A-Za-z0-9]{64}", text):
        raise ValueError("credentials are UUID:KEY, the key 64 letters and digits")
    return text


def switch(text: str) -> bool:
    """`on`, `off`, or `true`, `false` as upstream's variables say it."""
    found = {"on": True, "true": True, "off": False, "false": False}.get(text.strip().lower())
    if found is None:
        raise ValueError(f"'{text}' is neither on nor off")
    return found


def log_level(text: str) -> str:
    """As logback spells it, too."""
    named = text.strip().lower()
    level: str = one_of(*LEVELS)({"warn": "warning", "trace": "debug", "off": "error"}.get(named, named))
    return level


def username(text: str) -> str:
    """What can stand before the colon of credentials."""
    if not text or ":" in text:
        raise ValueError("a name of a user is not empty and has no colon")
    return text


def network(text: str) -> IPv4Network:
    """Of 512 addresses or more: each tenant's network takes some."""
    try:
        found = IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no IPv4 network, as 100.96.0.0/16 is one: {error}") from error
    if not 8 <= found.prefixlen <= 23:
        raise ValueError(f"'{text}' is too {'large' if found.prefixlen < 8 else 'small'}: /8 to /23 will do")
    return found


def one_of(*choices: str) -> Parse:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"'{text}' is none of: {', '.join(choices)}")
        return text

    return parse


def optional(parse: Parse) -> Parse:
    """The same, and None for the empty default."""
    return lambda text: parse(text) if text else None
