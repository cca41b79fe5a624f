"""Arguments that come encrypted (spec: container.md §2.4)."""

import logging
import sys
from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import UNSET, Raw

from tests.unit.invoker.conftest import NO_LOGS, Stage, answers, value
from upcall.errors import Misconfigured
from upcall.keys import Keys
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR
from upcall.model.entities import Parameter
from upcall.model.messages import ActivationMessage, invoker_topic
from upcall.testing import Reply, a_message, an_action

SHORT, LONG = bytes(range(16)), bytes(range(32))
GIVEN = {"aes-128": b64encode(SHORT).decode(), "aes-256": b64encode(LONG).decode()}


def sealed(plain: str, key: bytes, iv: bytes) -> str:
    data = len(iv).to_bytes(4, "big") + iv + AESGCM(key).encrypt(iv, plain.encode(), None)
    return b64encode(data).decode()


WORD = sealed('"open sesame"', SHORT, b"i" * 12)
NUMBER = sealed("42", LONG, b"v" * 128)


def locked(content: Any, **algorithms: str) -> ActivationMessage:
    message = a_message(an_action(limits=NO_LOGS), content=content)
    message.locked_args = algorithms
    return message


async def run(stage: Stage, message: ActivationMessage, **options: Any) -> ActivationMessage:
    action = an_action(limits=NO_LOGS)
    message.revision = await stage.put(action)
    async with stage.started(keys=Keys(GIVEN), **options):
        stage.bus.send(invoker_topic(0), message)
        await stage.controller.ended(message.activation_id)
    return message


async def test_values_come_back_as_they_were_and_others_stay(stage: Stage) -> None:
    content = {"word": WORD, "number": NUMBER, "plain": WORD, "other": "x", "no": "y", "seven": 7}
    await run(
        stage,
        locked(content, word="aes-128", number="aes-256", other="rot13", no="noop", seven="aes-128", gone="aes-256"),
    )
    assert stage.container.bodies[-1]["value"] == {**content, "word": "open sesame", "number": 42}


async def test_they_are_opened_before_they_go_to_init(stage: Stage) -> None:
    message = locked({"WORD": WORD, "N": NUMBER}, WORD="aes-128", N="aes-256")
    message.init_args = ["WORD", "N"]
    await run(stage, message)
    init, ran = stage.container.bodies
    assert (init["value"]["env"]["WORD"], init["value"]["env"]["N"]) == ("open sesame", "42")
    assert ran["value"] == {}


async def test_what_the_bus_has_stays_locked(stage: Stage) -> None:
    message = await run(stage, locked({"word": WORD}, word="aes-128"))
    assert bytes(message.content) == b'{"word":"%b"}' % WORD.encode()  # type: ignore[arg-type]
    assert message.locked_args == {"word": "aes-128"}


@pytest.mark.parametrize("content", [None, [WORD], {}])
async def test_without_an_object_there_is_nothing_to_open(stage: Stage, content: Any) -> None:
    await run(stage, locked(content, word="aes-128"))
    assert stage.container.bodies[-1]["value"] == (content or {})


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "no base64!",
        "AAAA",
        b64encode(bytes(4) + b"x" * 40).decode(),
        b64encode(b"\xff\xff\xff\xff" + b"x" * 40).decode(),
        b64encode((7).to_bytes(4, "big") + b"x" * 40).decode(),
        WORD[:-8] + "AAAAAAA=",
        sealed('"other key"', b"k" * 16, b"i" * 12),
        sealed("no JSON", SHORT, b"i" * 12),
        "é",
    ],
)
async def test_what_cannot_be_opened_is_an_error_and_runs_nowhere(
    stage: Stage, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    message = await run(stage, locked({"word": damaged}, word="aes-128"))
    record = await stage.stored(message)
    assert record.response.status_code == DEVELOPER_ERROR
    assert value(record) == {"error": texts.parameter_sealed("word", "aes-128")}
    assert stage.shapes(message) == ["combined"]
    assert not stage.containers.made
    assert GIVEN["aes-128"] not in caplog.text


async def test_without_a_key_the_caller_is_told(stage: Stage) -> None:
    message = locked({"word": WORD}, word="aes-128")
    message.revision = await stage.put(an_action(limits=NO_LOGS))
    async with stage.started(keys=Keys({"aes-256": GIVEN["aes-256"]})):
        stage.bus.send(invoker_topic(0), message)
        await stage.controller.ended(message.activation_id)
    assert value(await stage.stored(message)) == {"error": texts.parameter_keyless("word", "aes-128")}


async def test_content_that_is_no_json_is_the_callers(stage: Stage) -> None:
    message = locked({"word": WORD}, word="aes-128")
    message.content = type(message.content)(b'{"word":"\\ud800", }')
    record = await stage.stored(await run(stage, message))
    assert record.response.status_code == DEVELOPER_ERROR


async def test_a_second_container_gets_the_plain_value_too(stage: Stage) -> None:
    stage.containers.script = answers(Reply(status=503), Reply())
    await run(stage, locked({"word": WORD}, word="aes-128"))
    assert [each.bodies[-1]["value"] for each in stage.containers.made] == [{"word": "open sesame"}] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"aes-128": "AAAA"}, "whisk.parameter-storage.aes-128: base64 of 16 bytes"),
        ({"aes-256": "!"}, "whisk.parameter-storage.aes-256: base64 of 32 bytes"),
        ({"des": "AAAA"}, "whisk.parameter-storage.des: no algorithm; these are: aes-128, aes-256"),
    ],
)
def test_a_wrong_key_is_told_without_it(given: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{said}$"):
        Keys(given)


def test_keys_without_the_library_are_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    Keys({})
    with pytest.raises(Misconfigured, match="pip install cryptography"):
        Keys(GIVEN)


@pytest.mark.parametrize("algorithm", ["aes-128", "aes-256"])
def test_what_was_locked_is_opened_and_locked_once(algorithm: str) -> None:
    keys = Keys(GIVEN)
    lock = keys.locker(algorithm)
    plain = [Parameter("a", Raw(b'{"secret":[1]}')), Parameter("init", Raw(b'"x"'), init=True)]
    once = lock(plain)
    assert [(parameter.encryption, parameter.init) for parameter in once] == [(algorithm, UNSET), (algorithm, True)]
    assert lock(once) == once
    assert lock(plain)[0].value != once[0].value
    content = {parameter.key: msgspec.json.decode(parameter.value) for parameter in once}
    assert b"secret" not in b64decode(content["a"])
    opened = keys.unlock(locked(Raw(msgspec.json.encode(content)), a=algorithm, init=algorithm)).content
    assert isinstance(opened, Raw)
    assert msgspec.json.decode(opened) == {"a": {"secret": [1]}, "init": "x"}


def test_an_algorithm_without_a_key_locks_nothing() -> None:
    with pytest.raises(KeyError):
        Keys().locker("aes-128")
