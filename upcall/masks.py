"""What of a setting's text may be shown to people: all but its secrets, also where the text is wrong."""

import re

import msgspec

from upcall.model.store_url import SqliteUrl, parse_store

HIDDEN = "***"
_SECRET = re.compile(r"password|secret|token|credential|jaas|passphrase|\.key$|\.key\.pem$", re.IGNORECASE)
_pairs = msgspec.json.Decoder(dict[str, str]).decode
_list = msgspec.json.Decoder(list[str]).decode
_lists = msgspec.json.Decoder(dict[str, list[str] | str]).decode


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
    return text if url is None or isinstance(url, SqliteUrl) else url.masked


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


def variables_shown(text: str) -> str:
    """`NAME=***,NAME=***` of containers' variables, however they are written; those of the contract are no secrets."""
    if text.lstrip().startswith("["):
        try:
            parts = _list(text)
        except msgspec.MsgspecError:
            return HIDDEN
    else:
        parts = [part.strip() for part in text.split(",") if part.strip()]
    return ",".join(map(_variable, parts))


def arguments_shown(text: str) -> str:
    """`name=value,name=value` of options of `docker run`, with the values of variables hidden, and of other pairs what
    their names call a secret (`log-opt=splunk-token=***`)."""
    if not text.lstrip().startswith("{"):
        given = [part.strip().partition("=") for part in text.split(",") if part.strip()]
        if any(not equals for _, equals, _ in given):
            return HIDDEN
        found = [(name.removeprefix("--"), value) for name, _, value in given]
    else:
        try:
            table = _lists(text)
        except msgspec.MsgspecError:
            return HIDDEN
        found = [(name, value) for name, of in table.items() for value in ([of] if isinstance(of, str) else of)]
    shown = [(name, _variable(value) if name in ("env", "e") else _pair(value)) for name, value in sorted(found)]
    return ",".join(map("=".join, shown))


def _pair(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{name}{equals}{_value(name, value)}"


def _variable(text: str) -> str:
    name, equals, _ = text.partition("=")
    return f"{name}={HIDDEN}" if equals and not name.startswith("__OW_") else text
