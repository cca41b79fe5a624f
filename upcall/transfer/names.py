"""Whether a document from elsewhere may have the place that it asks for.

Databases that others write hold what no API would have let in. What nobody could address, list or show is refused here;
what a later release may serve (a name with an umlaut) is kept.
"""

from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Limits, Subject
from upcall.model.names import NAME_LIMIT
from upcall.store.coding import MOST
from upcall.transfer.report import shown


def refusal(doc: Document, id: str) -> str | None:
    """What is wrong with its names and times, in words; None where all is well."""
    if doc.id != id:
        return f"its members say that it is {shown(doc.id)}"
    for what, name in _names(doc):
        if wrong := _refusal(name):
            return f"its {what} {wrong}"
    time = getattr(doc, "start" if isinstance(doc, Activation) else "updated", 0)
    return None if 0 <= time <= MOST else "its time is none"


def _names(doc: Document) -> list[tuple[str, str]]:
    if isinstance(doc, Subject):
        return [("subject's name", doc.subject), *(("namespace's name", each.name) for each in doc.namespaces)]
    namespace = str(getattr(doc, "namespace", ""))
    if isinstance(doc, Limits):
        return [("namespace's name", namespace)]
    if isinstance(doc, Activation):
        return [("namespace's name", namespace), ("name", doc.name), ("activation's id", doc.activation_id)]
    spaces = namespace.split("/", 1) if isinstance(doc, Action) else [namespace]
    named = list(zip(("namespace's name", "package's name"), spaces, strict=False))
    return [*named, ("name", str(getattr(doc, "name", "")))]


def _refusal(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    if len(name) > NAME_LIMIT:
        return f"has more than {NAME_LIMIT} characters"
    if name in (".", ".."):
        return f"is '{name}', which no URL can hold"
    if "/" in name:
        return "has a slash"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "has a control character"
    return None
