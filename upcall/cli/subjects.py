"""What can be done with subjects and their namespaces, on any store (spec: cli-admin.md §1, entities.md §7).

Texts and exit codes are `wskadmin`'s. A subject with several namespaces has credentials for each.
"""

import re
import uuid

from msgspec import structs

from upcall.cli.accounts import USAGE, Told
from upcall.controller.subjects import KEY_LENGTH, new_credentials
from upcall.errors import NotFound
from upcall.model.entities import NamespaceKey, Subject
from upcall.model.names import namespace_error
from upcall.ports import Accounts, Stored

SHORTEST = 5


def checked_subject(name: str) -> str:
    if not name.strip():
        raise Told("Subject must not be empty", USAGE)
    return name.strip()


def new_subject(name: str) -> str:
    """The name of a subject that may be made."""
    name = name.strip()
    if len(name) < SHORTEST:
        raise Told(f"Subject name must be at least {SHORTEST} characters", USAGE)
    if not re.fullmatch(r"[^/\x00-\x1f\x7f]{5,256}", name):
        raise Told("Subject name must be at most 256 characters, no slash and no control character among them", USAGE)
    return name


def checked_namespace(name: str) -> str:
    name = name.strip()
    if not name:
        raise Told("Namespace must not be empty", USAGE)
    if wrong := namespace_error(name):
        raise Told(wrong, USAGE)
    return name


def checked_credentials(text: str) -> tuple[str, str]:
    """uuid and key, as the API takes them: its header has a UUID with dashes and 64 characters. One that is written so
    stays as it is, capitals too: the API compares it with what is stored."""
    id, _, key = text.strip().partition(":")
    try:
        canonical = str(uuid.UUID(id))
        id = id if id.lower() == canonical else canonical
    except ValueError:
        raise Told("authorization id is not a valid UUID", USAGE) from None
    if len(key) < KEY_LENGTH:
        raise Told(f"authorization key must be at least {KEY_LENGTH} characters long", USAGE)
    if len(key) > KEY_LENGTH or not re.fullmatch("[!-~]+", key):
        raise Told(f"authorization key must be {KEY_LENGTH} letters, digits or signs: the API takes no other", USAGE)
    return id, key


async def subject(accounts: Accounts, name: str) -> tuple[Subject, str]:
    """Document and revision. Raises NotFound."""
    stored: Stored = await accounts.get(Subject, name)
    assert isinstance(stored.doc, Subject)
    return stored.doc, stored.rev


async def create(
    accounts: Accounts, name: str, namespace: str, given: tuple[str, str] | None, *, revoke: bool, force: bool
) -> str:
    """The credentials of a subject's namespace, which is made or, with `revoke` or `force`, gets them anew. A revoked
    key keeps its uuid, unless another one is given: what is counted by namespace goes on."""
    id, key = given or _fresh()
    if given:
        await _check_free(accounts, given, (name, namespace))
    try:
        doc, rev = await subject(accounts, name)
    except NotFound:
        await accounts.put(Subject(name, [NamespaceKey(namespace, id, key)]))
        return f"{id}:{key}"
    if doc.blocked:
        raise Told("The subject you want to edit is blocked")
    own = [entry for entry in doc.namespaces if entry.name == namespace]
    if own and not (revoke or force):
        raise Told("Namespace already exists")
    if len(own) > 1:
        raise Told("Namespace is not unique")
    if own and revoke and given is None:
        id = own[0].uuid
    entry = NamespaceKey(namespace, id, key)
    spaces = [entry if each.name == namespace else each for each in doc.namespaces] + ([] if own else [entry])
    await accounts.put(structs.replace(doc, namespaces=spaces), rev)
    return f"{id}:{key}"


async def remove(accounts: Accounts, name: str) -> None:
    _, rev = await subject(accounts, name)
    await accounts.delete(Subject, name, rev)


async def remove_namespace(accounts: Accounts, name: str, namespace: str) -> None:
    doc, rev = await subject(accounts, name)
    rest = [entry for entry in doc.namespaces if entry.name != namespace]
    if len(rest) == len(doc.namespaces):
        raise Told(f'Namespace "{namespace}" does not exist for "{name}"')
    await accounts.put(structs.replace(doc, namespaces=rest), rev)


async def credentials(accounts: Accounts, name: str, namespace: str) -> str:
    doc, _ = await subject(accounts, name)
    own = [entry for entry in doc.namespaces if entry.name == namespace]
    if len(own) > 1:
        raise Told("Namespace is not unique")
    if not own:
        raise Told(f'namespace "{namespace}" not found for "{name}"')
    return pair(own[0])


async def block(accounts: Accounts, name: str, blocked: bool) -> None:
    doc, rev = await subject(accounts, name)
    await accounts.put(structs.replace(doc, blocked=blocked), rev)


def pair(entry: NamespaceKey) -> str:
    return f"{entry.uuid}:{entry.key}"


async def _check_free(accounts: Accounts, given: tuple[str, str], wanted: tuple[str, str]) -> None:
    """Credentials choose one namespace: with two, the API could not tell whose they are, and takes them for neither."""
    found = await accounts.identity(*given)
    if found is not None and (found.subject, found.namespace.name) != wanted:
        raise Told(f'authorization key is that of namespace "{found.namespace.name}" of "{found.subject}" already')


def _fresh() -> tuple[str, str]:
    id, _, key = new_credentials().partition(":")
    return id, key
