"""OpenWhisk's keys of its databases, read as one store (spec: store.md §1)."""

import re
from collections.abc import Mapping

import msgspec

from upcall.masks import HIDDEN, store_shown
from upcall.model.forms import port_number
from upcall.model.store_url import PORTS, CouchUrl, Designs, StoreUrl, parse_store

KEY = "whisk.couchdb"
"""All of them together."""
_PLACES = {
    "host": ("host", "DB_HOST"),
    "port": ("port", "DB_PORT"),
    "protocol": ("protocol", "DB_PROTOCOL"),
    "username": ("username", "DB_USERNAME"),
    "password": ("password", "DB_PASSWORD"),
    "subjects": ("databases.WhiskAuth", "DB_WHISK_AUTHS"),
    "entities": ("databases.WhiskEntity", "DB_WHISK_ACTIONS"),
    "activations": ("databases.WhiskActivation", "DB_WHISK_ACTIVATIONS"),
}
_DESIGNS = {
    "subjects": "whisk.db.subjects-ddoc",
    "entities": "whisk.db.actions-ddoc",
    "activations": "whisk.db.activations-ddoc",
    "filters": "whisk.db.activations-filter-ddoc",
}
KEYS = (*(f"{KEY}.{name}" for name, _ in _PLACES.values()), *_DESIGNS.values())
_HOST = re.compile(r"[^\s/@?#\[\]]+")
_read = msgspec.json.Decoder(dict[str, dict[str, str]]).decode


def joined(keys: Mapping[str, str]) -> dict[str, str]:
    """`KEY` with all of them as JSON, where a host, a user or a database is named."""
    given = {field: keys[f"{KEY}.{name}"] for field, (name, _) in _PLACES.items() if f"{KEY}.{name}" in keys}
    if not {*given} - {"port", "protocol"}:
        return {}
    designs = {field: keys[name] for field, name in _DESIGNS.items() if name in keys}
    return {KEY: msgspec.json.encode({"place": given, "designs": designs}).decode()}


def parse_place(text: str) -> StoreUrl:
    """A URL, or what `joined` makes. Raises ValueError, which quotes nothing that may be a password."""
    if not text.startswith("{"):
        return parse_store(text)
    try:
        found = _read(text)
    except msgspec.MsgspecError as error:
        raise ValueError("this is no store's URL") from error
    place = found.get("place", {})
    if missing := _missing(place):
        raise ValueError(f"CouchDB is named, but not wholly: there is no {', no '.join(missing)}")
    protocol = place.get("protocol", "http").lower()
    if protocol not in PORTS:
        raise ValueError(f"{KEY}.protocol is http or https")
    try:
        port = port_number(place["port"]) if "port" in place else PORTS[protocol]
    except ValueError as error:
        raise ValueError(f"{KEY}.port: {error}") from error
    names = {field: place.get(field, "") for field in _PLACES if field not in ("port", "protocol")}
    if not _HOST.fullmatch(names["host"]):
        raise ValueError(f"{KEY}.host is no name of a host, nor an address")
    designs = {field: name for field, name in found.get("designs", {}).items() if field in _DESIGNS}
    return CouchUrl(protocol=protocol, port=port, designs=Designs(**designs), **names)


def place_shown(text: str) -> str:
    if not text.startswith("{"):
        return store_shown(text)
    try:
        url = parse_place(text)
    except ValueError:
        return HIDDEN
    assert isinstance(url, CouchUrl)
    return url.masked


def _missing(place: Mapping[str, str]) -> list[str]:
    wanted = {"host", "subjects", "entities", "activations"}
    if "username" in place or "password" in place:
        wanted |= {"username", "password"}
    return [
        f"{KEY}.{name} (CONFIG_whisk_couchdb_{name.replace('.', '_')}, or of old {old})"
        for field, (name, old) in _PLACES.items()
        if field in wanted and not place.get(field)
    ]
