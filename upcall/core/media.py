"""Media types of web actions' requests and results: which are text, JSON or bytes, and whether a client takes one
(spec: rest-api.md §11.3, §11.5)."""

import re

import msgspec

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"({_NAME})/({_NAME})\s*((?:;.*)?)", re.DOTALL)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_TEXTS = frozenset(("xml", "javascript", "x-www-form-urlencoded", "x-javascript", "ecmascript"))
_QUALITY = re.compile(r"q\s*=\s*([0-9.]+)", re.IGNORECASE)


class Media(msgspec.Struct, frozen=True):
    """Of a header: `kind` is in small letters, `charset` as it was written or empty, `shown` is the header to send."""

    kind: str
    charset: str
    shown: str

    @property
    def is_json(self) -> bool:
        return self.kind == "application/json" or self.kind.endswith("+json")

    @property
    def is_text(self) -> bool:
        """Else, and where it is no JSON, its bytes are nobody's text."""
        main, _, sub = self.kind.partition("/")
        known = main == "application" and (sub in _TEXTS or sub.endswith("+xml"))
        return main == "text" or known or bool(self.charset)


def read_media(header: str) -> Media | None:
    """None where it is no media type."""
    found = _TYPE.fullmatch(header.strip())
    if found is None:
        return None
    kind, parameters = f"{found[1]}/{found[2]}".lower(), found[3].strip()
    charset = _CHARSET.search(parameters)
    shown = f"{kind}{parameters}"
    made = Media(kind, charset[1] if charset else "", shown)
    if charset or made.is_json or not made.is_text:
        return made
    return Media(kind, "", f"{shown}; charset=UTF-8")


def accepted(kind: str, header: str) -> bool:
    """Whether an `Accept` header, maybe empty, takes the media type: what is named more exactly counts."""
    wanted = [_wish(each) for each in header.split(",") if each.strip()]
    if not wanted:
        return True
    main = kind.partition("/")[0]
    for pattern in (kind, f"{main}/*", "*/*"):
        named = [quality for name, quality in wanted if name == pattern]
        if named:
            return max(named) > 0
    return False


def _wish(text: str) -> tuple[str, float]:
    name, _, parameters = text.strip().partition(";")
    quality = _QUALITY.search(parameters)
    try:
        return name.strip().lower(), float(quality[1]) if quality else 1.0
    except ValueError:
        return name.strip().lower(), 1.0
