"""Messages of every shape and of several versions of OpenWhisk, one a file in `golden/` (spec: bus.md §5 to §9, §11).

A file is named `<what its topic carries>-<which>.json`. Those of 1.0.0 lack what came later, others hold all there is.
"""

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from upcall.bus.codec import decode, encode
from upcall.errors import Unreadable
from upcall.model.messages import (
    ActivationMessage,
    CacheInvalidationMessage,
    Carried,
    ClusterMessage,
    CombinedMessage,
    CompletionMessage,
    EventMessage,
    PingMessage,
    ResultMessage,
)

GOLDEN = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "golden").iterdir())}
OLD = ("ack-completion-1.0.0", "ping-1.0.0")
"""What we write has members that these lack."""
KINDS = {
    "activation": ActivationMessage,
    "ack-result": ResultMessage,
    "ack-completion": CompletionMessage,
    "ack-combined": CombinedMessage,
    "ping": PingMessage,
    "event": EventMessage,
    "invalidation": CacheInvalidationMessage,
    "cluster": ClusterMessage,
}
SHAPES: list[Any] = [
    ["YHzn", 1764000000123],
    ["YHzn", 1764000000123, True],
    ["YHzn", 1764000000123, ["parent", 1]],
    ["YHzn", 1764000000123, True, ["parent", 1, True, ["grand", 0]]],
]


def carried(name: str) -> Carried:
    return cast(Carried, name.partition("-")[0])


def plain(data: bytes) -> dict[str, Any]:
    return msgspec.json.decode(data, type=dict[str, Any])


def within(part: object, whole: object) -> bool:
    """Whether all members of `part` are in `whole`, with the same values."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and within(value, whole[name]) for name, value in part.items())
    return part == whole


def padded(value: object) -> object:
    """The same with a member more in each object whose names are the protocol's."""
    if not isinstance(value, dict):
        return value
    theirs = ("content", "authkey", "lockedArgs", "traceContext", "body", "result", "seen", "rates", "running")
    return {name: member if name in theirs else padded(member) for name, member in value.items()} | {
        "later": {"x": [1]}
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_each_is_read_as_what_it_is_and_written_with_all_it_had(name: str) -> None:
    message = decode(carried(name), GOLDEN[name])
    assert type(message) is next(kind for prefix, kind in KINDS.items() if name.startswith(prefix))
    written = plain(encode(message))
    assert within(plain(GOLDEN[name]), written)
    assert (written == plain(GOLDEN[name])) is (name not in OLD)


@pytest.mark.parametrize("name", GOLDEN)
def test_unknown_members_are_dropped(name: str) -> None:
    carries = carried(name)
    padding = decode(carries, encode(padded(plain(GOLDEN[name]))))
    assert encode(padding) == encode(decode(carries, encode(plain(GOLDEN[name]))))


@pytest.mark.parametrize("name", GOLDEN)
def test_null_stands_for_what_may_be_absent(name: str) -> None:
    carries, message = carried(name), plain(GOLDEN[name])
    optional = {"cause", "traceContext", "content"} if carries == "activation" else {"isEnabled", "seen", "rates"}
    for member in optional & message.keys():
        without = {key: value for key, value in message.items() if key != member}
        assert encode(decode(carries, encode({**message, member: None}))) == encode(decode(carries, encode(without)))


@pytest.mark.parametrize("name", [name for name in GOLDEN if not name.startswith("ack-result")])
def test_without_a_member_that_each_version_sends_it_is_no_message(name: str) -> None:
    must = {
        "activation": ("transid", "action", "user", "activationId", "rootControllerIndex", "blocking"),
        "ack": ("transid",),
        "ping": ("name",),
        "event": ("source", "eventType", "body"),
        "invalidation": ("key", "instanceId"),
        "cluster": ("controller", "incarnation", "number"),
    }
    message = plain(GOLDEN[name])
    for member in must[carried(name)]:
        with pytest.raises(Unreadable, match=member):
            decode(carried(name), encode({key: value for key, value in message.items() if key != member}))


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith(("ack-completion", "ack-combined"))])
@pytest.mark.parametrize("absent", [{}, {"isSystemError": None}])
def test_an_ack_that_does_not_say_so_is_no_system_error(name: str, absent: dict[str, None]) -> None:
    message = plain(GOLDEN[name])
    del message["isSystemError"]
    decoded = decode("ack", encode({**message, **absent}))
    assert isinstance(decoded, CompletionMessage | CombinedMessage)
    assert decoded.is_system_error is False


@pytest.mark.parametrize("transid", SHAPES)
def test_a_transaction_id_is_echoed_as_it_came(transid: Any) -> None:
    for name, data in GOLDEN.items():
        if carried(name) in ("activation", "ack"):
            message = decode(carried(name), encode({**plain(data), "transid": transid}))
            assert plain(encode(message))["transid"] == transid


@pytest.mark.parametrize("transid", [None, 5, "YHzn", {"id": "YHzn"}, True])
def test_a_transaction_id_that_cannot_be_read_is_an_unknown_one(transid: Any) -> None:
    message = decode("activation", encode({**plain(GOLDEN["activation-2.0.0"]), "transid": transid}))
    assert isinstance(message, ActivationMessage)
    assert message.transid == ["sid_unknown"]


def test_messages_of_the_scheduler_are_none_of_ours() -> None:
    creation = {"transid": SHAPES[0], "invocationNamespace": "guest", "revision": "1-ab", "creationId": "0" * 32}
    with pytest.raises(Unreadable, match="not a message of the kind activation"):
        decode("activation", encode(creation))
