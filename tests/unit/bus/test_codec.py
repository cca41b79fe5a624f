"""Messages on the wire: the shapes of bus.md §5, §7 and §8, and that nothing is lost on the way."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from upcall.bus.codec import decode, encode
from upcall.errors import Unreadable
from upcall.model.activation import Activation, Response
from upcall.model.entities import Identity, NamespaceId, UserLimits
from upcall.model.messages import (
    ActivationMessage,
    CacheInvalidationMessage,
    CacheKey,
    Carried,
    ClusterMessage,
    CombinedMessage,
    CompletionMessage,
    EventMessage,
    Message,
    PingMessage,
    ResultMessage,
)
from upcall.model.names import ControllerId, FullyQualifiedName, InvokerId

ID = "8ac3c1bb0a5d4c42a6c0f0b1b2d3e4f5"
KEY = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502"
INSTANCE = b'{"instance":0,"user_memory":0}'
ACTIVATION = b"""{"transid":["YHzn3ykeO9n5Vb0ibm8fIgg3Uk1p1Vvq",1764000000123],
 "action":{"path":"guest/utils","name":"greet","version":"0.0.3","binding":"guest/myutils"},
 "revision":"5-40f8848133d2e3b1855d5542b701104e",
 "user":{"subject":"guest","namespace":{"name":"guest","uuid":"23bc46b1-71f6-4ed5-8c54-816aa4f8c502"},
  "authkey":{"api_key":"k"},"rights":["READ","PUT","DELETE","ACTIVATE"],"limits":{}},
 "activationId":"8ac3c1bb0a5d4c42a6c0f0b1b2d3e4f5",
 "rootControllerIndex":{"asString":"0","instanceType":"controller"},"blocking":true,
 "content":{"name":"Ada","GREETING":"hi"},"initArgs":["GREETING"],"lockedArgs":{},
 "cause":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","traceContext":{"uber-trace-id":"1"}}"""
RECORD = """{"namespace":"guest","name":"greet","subject":"guest","activationId":"8ac3c1bb0a5d4c42a6c0f0b1b2d3e4f5",
 "start":1764000000200, "end":1764000000230,"duration":30,"logs":[],
 "response":{"statusCode":0,"result":{"hello":"Ada"},"size":15},
 "version":"0.0.3","publish":false,"annotations":[{"key":"path","value":"guest/utils/greet"}]}"""
INVOKER = '{"instance":0,"userMemory":"2147483648 B","instanceType":"invoker","tags":[],"dedicatedNamespaces":[]}'
GOLDEN: list[tuple[Carried, type[Message], str]] = [
    ("activation", ActivationMessage, ACTIVATION.decode()),
    ("ack", ResultMessage, f'{{"transid":["YHzn",1764000000123],"response":{RECORD}}}'),
    ("ack", ResultMessage, f'{{"transid":["YHzn",1764000000123,true],"response":"{ID}"}}'),
    (
        "ack",
        CompletionMessage,
        f'{{"transid":["sid_invokerHealth",1],"activationId":"{ID}","isSystemError":false,"instance":{INVOKER}}}',
    ),
    (
        "ack",
        CombinedMessage,
        f'{{"transid":["YHzn",1],"response":{RECORD},"isSystemError":false,"instance":{INVOKER}}}',
    ),
    ("ack", CombinedMessage, f'{{"transid":["YHzn",1],"response":"{ID}","isSystemError":true,"instance":{INVOKER}}}'),
    (
        "ping",
        PingMessage,
        f'{{"name":{INVOKER[:-1]},"uniqueName":"owdev-invoker-0","displayedName":"10.0.3.7"}},"isEnabled":true}}',
    ),
    (
        "event",
        EventMessage,
        '{"source":"invoker0","eventType":"Activation","subject":"guest","namespace":"guest","userId":"u",'
        '"timestamp":1764000000456,"body":{"name":"guest/utils/greet","size":null}}',
    ),
]


@pytest.mark.parametrize(("carries", "kind", "text"), GOLDEN)
def test_golden_messages_are_read_and_written_as_they_are(carries: Carried, kind: type[Message], text: str) -> None:
    message = decode(carries, text.encode())
    assert type(message) is kind
    assert msgspec.json.decode(encode(message)) == msgspec.json.decode(text)


def test_what_is_forwarded_stays_encoded() -> None:
    message = decode("activation", ACTIVATION)
    assert isinstance(message, ActivationMessage)
    assert message.content == Raw(b'{"name":"Ada","GREETING":"hi"}')
    assert message.user.namespace == NamespaceId("guest", KEY)


def test_absent_lists_and_maps_are_empty_and_null_is_absent() -> None:
    data = msgspec.json.decode(ACTIVATION)
    for name in ("initArgs", "lockedArgs", "cause", "traceContext", "content"):
        data[name] = None
    data["unknown"] = {"x": 1}
    data["user"]["limits"] = None
    data["user"]["rights"] = None
    data["revision"] = None
    message = decode("activation", encode(data))
    assert isinstance(message, ActivationMessage)
    assert (message.init_args, message.locked_args, message.content) == ([], {}, UNSET)
    assert (message.user.limits, message.user.rights, message.revision) == (UserLimits(), [], None)


def test_without_a_revision_it_is_unknown() -> None:
    data = msgspec.json.decode(ACTIVATION)
    del data["revision"]
    message = decode("activation", encode(data))
    assert isinstance(message, ActivationMessage)
    assert message.revision is None


def test_null_inside_the_arguments_stays() -> None:
    data = msgspec.json.decode(ACTIVATION)
    data |= {"content": {"a": None}, "initArgs": None}
    message = decode("activation", encode(data))
    assert isinstance(message, ActivationMessage)
    assert message.content == Raw(b'{"a":null}')


def test_older_spellings() -> None:
    data = msgspec.json.decode(ACTIVATION)
    data |= {"action": "/guest/utils/greet", "activationId": 12345678, "rootControllerIndex": {"asString": "0"}}
    message = decode("activation", encode(data))
    assert isinstance(message, ActivationMessage)
    assert message.action == FullyQualifiedName("guest/utils", "greet")
    assert (message.activation_id, message.root_controller_index) == ("12345678", ControllerId("0"))


@pytest.mark.parametrize("carries", ["activation", "ack", "ping", "event", "invalidation", "cluster"])
@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"[]", b"{}", b'{"transid":5}', b"\xff", b'{"instance":[', INSTANCE]
)
def test_what_is_no_message_is_unreadable(carries: Carried, data: bytes) -> None:
    with pytest.raises(Unreadable, match=carries):
        decode(carries, data)


# --- nothing is lost

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text, st.lists)
raws = st.dictionaries(text, json, max_size=3).map(lambda value: Raw(encode(value)))
transids = st.tuples(text, st.integers(0, 2**50)).map(list)
optional = text | st.just(UNSET)
names = st.builds(FullyQualifiedName, text, text, st.none() | text, st.none() | text)
identities = st.builds(
    Identity,
    subject=text,
    namespace=st.builds(NamespaceId, text, text),
    authkey=st.dictionaries(text, text, max_size=2),
    rights=st.lists(text, max_size=2),
    limits=st.builds(UserLimits, invocations_per_minute=st.integers(0, 9) | st.just(UNSET)),
)
instances = st.builds(
    InvokerId, st.integers(0, 9), text, tags=st.lists(text, max_size=2), unique_name=optional, displayed_name=optional
)
records = st.builds(
    Activation,
    namespace=text,
    name=text,
    subject=text,
    activation_id=text,
    start=st.integers(0, 2**50),
    end=st.integers(0, 2**50),
    duration=st.integers(0, 2**50) | st.just(UNSET),
    cause=optional,
    response=st.builds(Response, st.integers(0, 3), raws | st.just(UNSET), st.integers(0, 9) | st.just(UNSET)),
    logs=st.lists(text, max_size=2),
    version=text,
    publish=st.booleans(),
    annotations=st.lists(json, max_size=2).map(lambda value: Raw(encode(value))),
)
responses = records | text
counts = st.dictionaries(text, st.integers(0, 2**50), max_size=3)
messages: st.SearchStrategy[tuple[Carried, Message]] = st.one_of(
    st.tuples(
        st.just("activation"),
        st.builds(
            ActivationMessage,
            transid=transids,
            action=names,
            revision=st.none() | text,
            user=identities,
            activation_id=text,
            root_controller_index=st.builds(ControllerId, text),
            blocking=st.booleans(),
            content=raws | st.just(UNSET),
            init_args=st.lists(text, max_size=2),
            locked_args=st.dictionaries(text, text, max_size=2),
            cause=optional,
            trace_context=st.dictionaries(text, text, max_size=2) | st.just(UNSET),
        ),
    ),
    st.tuples(st.just("ack"), st.builds(ResultMessage, transids, responses)),
    st.tuples(st.just("ack"), st.builds(CompletionMessage, transids, text, st.booleans(), instances)),
    st.tuples(st.just("ack"), st.builds(CombinedMessage, transids, responses, st.booleans(), instances)),
    st.tuples(st.just("ping"), st.builds(PingMessage, instances, st.booleans())),
    st.tuples(
        st.just("event"),
        st.builds(
            EventMessage,
            source=text,
            event_type=st.sampled_from(["Activation", "Metric"]),
            subject=text,
            namespace=text,
            user_id=text,
            timestamp=st.integers(0, 2**50),
            body=st.dictionaries(text, json, max_size=3),
        ),
    ),
    st.tuples(st.just("invalidation"), st.builds(CacheInvalidationMessage, st.builds(CacheKey, text, optional), text)),
    st.tuples(
        st.just("cluster"),
        st.builds(
            ClusterMessage,
            controller=st.text("aZ09._-", min_size=1, max_size=128),
            incarnation=st.integers(0, 2**50),
            number=st.integers(0, 2**50),
            seen=st.dictionaries(text, st.tuples(st.integers(0, 2**50), st.integers(0, 2**50)), max_size=2),
            minute=st.integers(0, 2**50),
            rates=counts,
            running=counts,
            parts=st.integers(0, 9),
            asks=st.booleans(),
            whole=st.booleans(),
            leaving=st.booleans(),
        ),
    ),
)


@given(messages)
def test_what_is_sent_is_what_is_read(sent: tuple[Carried, Message]) -> None:
    carries, message = sent
    assert decode(carries, encode(message)) == message
