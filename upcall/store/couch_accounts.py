"""Who is who, by the views of CouchDB's subjects database (spec: store.md §7, entities.md §7)."""

from collections.abc import AsyncIterator, Sequence
from hmac import compare_digest

import msgspec

from upcall import errors
from upcall.model import texts
from upcall.model.entities import Identity, NamespaceKey, Subject, UserLimits, identity_of
from upcall.store.couch_designs import BLOCKED, IDENTITIES, THROTTLINGS
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_views import key, page, view

BLACKLIST = {"stale": "update_after", "descending": "true", "reduce": "false"}
"""As upstream asks: what is a little old comes at once, and is brought up to date for the next time."""


class _Owned(msgspec.Struct):
    """A value of the view of identities."""

    namespace: str
    uuid: str
    key: str


async def by_credentials(http: CouchHttp, uuid: str, secret: str) -> Identity | None:
    """Every key of the namespace is compared, in constant time; the server sees none. Raises Internal where the
    credentials stand for two namespaces (spec: rest-api.md §1.3), Unavailable."""
    given = secret.encode("utf-8", "surrogatepass")
    try:
        query = {"startkey": key([uuid]), "endkey": key([uuid, {}])}
    except UnicodeEncodeError:
        return None
    found = []
    async for subject, owned, limits in _identities(http, query):
        # `[uuid]` alone may be the name of somebody's namespace
        if owned.uuid == uuid and compare_digest(owned.key.encode(), given):
            found.append((subject, owned, limits))
    unlike = {(subject, owned.namespace): (subject, owned, limits) for subject, owned, limits in found}
    if len(unlike) > 1:
        raise errors.Internal(texts.AMBIGUOUS_CREDENTIALS)
    return next((_identity(*each) for each in unlike.values()), None)


async def by_namespace(http: CouchHttp, namespace: str) -> Sequence[Identity]:
    """Raises Unavailable."""
    try:
        wanted = key([namespace])
    except UnicodeEncodeError:
        return []
    return [_identity(*each) async for each in _identities(http, {"startkey": wanted, "endkey": wanted})]


async def blocked(http: CouchHttp) -> frozenset[str]:
    """As of a moment ago: what asks brings it up to date. Raises Unavailable."""
    answer = await view(http, http.url.subjects, THROTTLINGS, BLOCKED, BLACKLIST)
    keys = (msgspec.json.decode(row.key) for row in page(answer))
    return frozenset(each for each in keys if isinstance(each, str))


async def _identities(http: CouchHttp, query: dict[str, str]) -> AsyncIterator[tuple[str, _Owned, bytes | None]]:
    """Subject, what it owns, and the namespace's limits; rows that nobody can read are nobody's."""
    asked = query | {"include_docs": "true"}
    answer = await view(http, http.url.subjects, http.url.designs.subjects, IDENTITIES, asked)
    for row in page(answer):
        try:
            yield row.id, msgspec.json.decode(row.value, type=_Owned), row.document
        except msgspec.MsgspecError:
            continue


def _identity(subject: str, owned: _Owned, limits: bytes | None) -> Identity:
    """Raises Unreadable."""
    try:
        own = UserLimits() if limits is None else msgspec.json.decode(limits, type=UserLimits)
    except msgspec.MsgspecError as error:
        raise errors.Unreadable(texts.CORRUPTED) from error
    return identity_of(Subject(subject), NamespaceKey(owned.namespace, owned.uuid, owned.key), own)
