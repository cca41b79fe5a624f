"""Content types of requests: JSON is the only one that the API reads (spec: rest-api.md §1.2)."""

from upcall.errors import UnsupportedType
from upcall.model import texts

JSON = "application/json"


def check_json(content_type: str) -> None:
    """Parameters and case do not count. Raises UnsupportedType, for no content type at all too."""
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedType(texts.unsupported_type(_shown(content_type)))


def _shown(content_type: str) -> str:
    """As upstream's library writes it: no blanks but one, the charset in capitals."""
    media, *parameters = [part.strip() for part in (content_type or "application/octet-stream").split(";")]
    shown = [media.lower()]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        shown.append(f"charset={value.upper()}" if name.lower() == "charset" else parameter)
    return "; ".join(shown)
