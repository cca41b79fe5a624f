"""Accounts: making subjects and their credentials (spec: entities.md §7, cli-admin.md §1)."""

import secrets
import string
import uuid

from upcall.errors import NotFound
from upcall.model.entities import NamespaceKey, Subject
from upcall.ports import Store

KEY_LENGTH = 64
_ALPHABET = string.ascii_letters + string.digits


def new_credentials() -> str:
    """`UUID:KEY` with 380 bits of chance in the key."""
    return f"{uuid.uuid4()}:{''.join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH))}"


async def ensure_subject(store: Store, name: str, credentials: str | None) -> str:
    """The credentials of subject and namespace `name`. A missing subject is made, with `credentials` or random ones;
    an existing one gets `credentials` where they differ from its own."""
    try:
        stored = await store.get(Subject, name)
    except NotFound:
        return await _put(store, name, credentials or new_credentials(), None)
    subject = stored.doc
    assert isinstance(subject, Subject)
    own = next((f"{space.uuid}:{space.key}" for space in subject.namespaces if space.name == name), None)
    if own is not None and credentials in (None, own):
        return own
    return await _put(store, name, credentials or new_credentials(), stored.rev, subject)


async def _put(store: Store, name: str, credentials: str, rev: str | None, subject: Subject | None = None) -> str:
    uuid_, _, key = credentials.partition(":")
    others = [space for space in subject.namespaces if space.name != name] if subject else []
    blocked = subject.blocked if subject else False
    await store.put(Subject(name, [*others, NamespaceKey(name, uuid_, key)], blocked), rev)
    return credentials
