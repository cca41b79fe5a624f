"""What of a setting's text may be shown to people: all but its secrets, also where the text is wrong."""

import re

import msgspec

from upcall.model.store_url import PostgresUrl, parse_store

HIDDEN = "***"
_SECRET = re.compile(r"password|secret|token|credential|jaas|passphrase|\.key$|\.key\.pem$", re.IGNORECASE)
_pairs = msgspec.json.Decoder(dict[str, str]).decode


def hidden(text: str) -> str:
    return HIDDEN if text else ""


def credentials_shown(text: str) -> str:
    """`UUID:***`."""
    name, colon, _ = text.partition(":")
    return f"{name}:{HIDDEN}" if colon else hidden(text)


def store_shown(text: str) -> str:
    """A wrong URL may have its password anywhere."""
    try:
        url = parse_store(text) if text else None
    except ValueError:
        return HIDDEN
    return url.masked if isinstance(url, PostgresUrl) else text


def pairs_shown(text: str) -> str:
    """`name=value,name=value`, in the order of names; a text that cannot be read is hidden as a whole."""
    if text.lstrip().startswith("{"):
        try:
            found = _pairs(text)
        except msgspec.MsgspecError:
            return HIDDEN
    else:
        parts = [part.partition("=") for part in text.split(",") if part.strip()]
        if any(not equals for _, equals, _ in parts):
            return HIDDEN
        found = {name.strip(): value.strip() for name, _, value in parts}
    return ",".join(f"{name}={_value(name, value)}" for name, value in sorted(found.items()))


def _value(name: str, value: str) -> str:
    return HIDDEN if _SECRET.search(name.replace("-", ".")) and value else value
