"""A process whose settings are OpenWhisk's: keys of locked parameters, log markers, records that are not kept (spec:
container.md §2.4, metrics.md §4, store.md §6.2)."""

import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.system.serving import Platform, running
from upcall.model import texts

KEY = bytes(range(100, 132))
WORD = b64encode((128).to_bytes(4, "big") + b"i" * 128 + AESGCM(KEY).encrypt(b"i" * 128, b'{"open":"sesame"}', None))
CODE = "import os\ndef main(args):\n    return {'args': args, 'env': os.environ.get('WORD')}"
ENVIRONMENT = {
    "INVOKER_OPTS": f"-Dwhisk.parameter-storage.aes-256={b64encode(KEY).decode()}",
    "METRICS_LOG": "true",
    "CONFIG_whisk_activation_unstoredLogsEnabled": "true",
    "CONFIG_whisk_activation_storeBlockingResultLevel": "STORE_FAILURES",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("locked") / "data", environment=ENVIRONMENT) as platform:
        yield platform


def parameter(value: bytes, **members: object) -> dict[str, object]:
    return {"key": "WORD", "value": value.decode(), "encryption": "aes-256", **members}


def test_an_action_gets_the_plain_value(platform: Platform) -> None:
    assert platform.create("argument", CODE, parameters=[parameter(WORD)]).status == 200
    assert platform.invoke("argument").body["response"]["result"] == {"args": {"WORD": {"open": "sesame"}}, "env": None}
    assert platform.create("variable", CODE, parameters=[parameter(WORD, init=True)]).status == 200
    assert platform.invoke("variable").body["response"]["result"] == {"args": {}, "env": '{"open":"sesame"}'}


def test_a_damaged_value_is_the_developers_error(platform: Platform) -> None:
    assert platform.create("damaged", CODE, parameters=[parameter(WORD[:-8])]).status == 200
    response = platform.invoke("damaged").body["response"]
    assert response["status"] == "action developer error"
    assert response["result"] == {"error": texts.parameter_sealed("WORD", "aes-256")}


def test_the_log_has_markers_and_what_is_not_kept_and_no_secrets(platform: Platform) -> None:
    assert platform.create("marked", CODE).status == 200
    activation = platform.invoke("marked").body["activationId"]
    output = platform.output.read_text()
    found = re.findall(r"activationRun_(?:start|finish):\d+(?::\d+)?\]", output)
    assert len(found) >= 2
    assert re.search(rf"containerStart containerState: cold .* activationId: {activation} \[marker:", output)
    assert re.search(r"\[#tid_[A-Za-z0-9]+\] \[invoker\.desk\] its record is not kept: success, \d+ ms", output)
    assert b64encode(KEY).decode() not in output
    assert "sesame" not in output


def test_a_key_of_the_wrong_length_ends_the_start_without_being_told(tmp_path: Path) -> None:
    wrong = b64encode(b"k" * 17).decode()
    with pytest.raises(AssertionError, match="ended with") as raised:
        Platform(tmp_path / "data", environment={"UPCALL_PARAMETER_KEYS_AES_128": wrong})
    assert "a key of aes-128 has 16 bytes, this one has 17" in str(raised.value)
    assert wrong not in str(raised.value)
