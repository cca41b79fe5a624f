"""Who credentials and namespaces stand for, and who is shut out (spec: store.md §7, entities.md §7, §8)."""

from collections.abc import Iterable
from hmac import compare_digest

from upcall.errors import Internal
from upcall.model import texts
from upcall.model.entities import Limits, NamespaceKey, Subject

Owner = tuple[Subject, NamespaceKey]


def by_credentials(subjects: Iterable[Subject], uuid: str, key: str) -> Owner | None:
    """The namespace that the credentials choose, of a subject that is not blocked. Every key is compared, in constant
    time: several subjects may share a namespace's uuid. Raises Internal where they choose two (spec: rest-api.md
    §1.3)."""
    found = [
        (subject, namespace)
        for subject in subjects
        for namespace in subject.namespaces
        if namespace.uuid == uuid
        and compare_digest(namespace.key.encode(), key.encode("utf-8", "surrogatepass"))
        and not subject.blocked
    ]
    if len(found) > 1:
        raise Internal(texts.AMBIGUOUS_CREDENTIALS)
    return found[0] if found else None


def by_namespace(subjects: Iterable[Subject], name: str) -> list[Owner]:
    """The subjects with that namespace that are not blocked."""
    open_to = (subject for subject in subjects if not subject.blocked)
    return [(subject, entry) for subject in open_to for entry in subject.namespaces if entry.name == name]


def blocked(subjects: Iterable[Subject], limits: Iterable[Limits]) -> frozenset[str]:
    """Namespaces of blocked subjects, and those whose own limits allow nothing."""
    shut = {entry.name for subject in subjects if subject.blocked for entry in subject.namespaces}
    for each in limits:
        if 0 in (each.limits.invocations_per_minute, each.limits.concurrent_invocations):
            shut.add(each.namespace)
    return frozenset(shut)
