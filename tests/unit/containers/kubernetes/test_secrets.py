"""A namespace's credentials become a Secret that its own pods name, and nobody else's."""

import base64
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import Object
from upcall.containers.kubernetes.secrets import Secrets
from upcall.ports import ContainerSpec

MAKER = Maker(invoker=0, release="r", instance="i", boot="b", pod="invoker-0", uid="u")
SPEC = ContainerSpec(
    kind="blackbox", image="reg.example:5000/x:1", memory=128, name="n", tenant="other", owner="guest", pull=True
)


class Api:
    def __init__(self) -> None:
        self.applied: list[Object] = []
        self.there: dict[str, Object] = {}

    async def apply(self, secret: Object) -> None:
        self.applied.append(secret)
        self.there[secret["metadata"]["name"]] = secret["metadata"]["labels"]

    async def secrets(self, labels: Mapping[str, str]) -> list[str]:
        return [name for name, own in self.there.items() if labels.items() <= own.items()]

    async def delete_secret(self, name: str) -> None:
        del self.there[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "guest", "joe", "s3cret")
    return tmp_path


def write(folder: Path, namespace: str, user: str, password: str, server: str = "reg.example:5000") -> None:
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / f"{namespace}.json").write_text(json.dumps({"auths": {server: {"auth": auth}}}))


def given(secret: Object) -> Object:
    config: Object = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    return config


async def test_the_owners_credentials_are_applied_once_and_named(folder: Path) -> None:
    api = Api()
    secrets = Secrets(folder, "actions", MAKER, api)
    await secrets.start()
    names = await secrets.names(SPEC)
    assert names == await secrets.names(SPEC)
    [made] = api.applied
    assert names == (made["metadata"]["name"],)
    assert (made["kind"], made["type"]) == ("Secret", "kubernetes.io/dockerconfigjson")
    assert made["metadata"]["namespace"] == "actions"
    assert made["metadata"]["labels"].items() >= MAKER.kin().items()
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert given(made) == {"auths": {"reg.example:5000": {"auth": base64.b64encode(b"joe:s3cret").decode()}}}
    assert "joe" not in names[0]


@pytest.mark.parametrize(
    "spec",
    [
        msgspec.structs.replace(SPEC, owner="other"),
        msgspec.structs.replace(SPEC, owner="../guest"),
        msgspec.structs.replace(SPEC, image="elsewhere.example/x:1"),
        msgspec.structs.replace(SPEC, image="x:1"),
        msgspec.structs.replace(SPEC, pull=False),
    ],
    ids=["another namespace", "a path", "another registry", "docker hub", "a managed image"],
)
async def test_nobody_else_gets_them(folder: Path, spec: ContainerSpec) -> None:
    api = Api()
    assert await Secrets(folder, "actions", MAKER, api).names(spec) == ()
    assert not api.applied


async def test_what_has_changed_is_applied_anew_under_its_name(folder: Path) -> None:
    api = Api()
    secrets = Secrets(folder, "actions", MAKER, api)
    names = await secrets.names(SPEC)
    write(folder, "guest", "joe", "another one")
    assert await secrets.names(SPEC) == names
    assert [base64.b64decode(given(each)["auths"]["reg.example:5000"]["auth"]) for each in api.applied] == [
        b"joe:s3cret",
        b"joe:another one",
    ]


async def test_a_secret_that_may_be_gone_is_made_again(folder: Path) -> None:
    api = Api()
    secrets = Secrets(folder, "actions", MAKER, api)
    [name] = await secrets.names(SPEC)
    secrets.forget(name)
    await secrets.names(SPEC)
    assert len(api.applied) == 2


async def test_each_namespace_has_its_own(folder: Path) -> None:
    api = Api()
    write(folder, "other", "jim", "x")
    secrets = Secrets(folder, "actions", MAKER, api)
    assert await secrets.names(SPEC) != await secrets.names(msgspec.structs.replace(SPEC, owner="other"))


async def test_docker_hubs_are_found_by_its_old_name(folder: Path) -> None:
    api = Api()
    write(folder, "guest", "joe", "x", server="https://index.docker.io/v1/")
    await Secrets(folder, "actions", MAKER, api).names(msgspec.structs.replace(SPEC, image="joe/x:1"))
    assert list(given(api.applied[0])["auths"]) == ["https://index.docker.io/v1/"]


async def test_what_kubernetes_cannot_use_is_told_without_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    (folder / "guest.json").write_text(json.dumps({"auths": {"reg.example:5000": {"identitytoken": "t0ken"}}}))
    with caplog.at_level(logging.ERROR):
        assert await Secrets(folder, "actions", MAKER, api).names(SPEC) == ()
    assert "a name and a password" in caplog.text
    assert "t0ken" not in caplog.text


async def test_without_a_folder_there_are_none() -> None:
    api = Api()
    assert await Secrets(None, "actions", MAKER, api).names(SPEC) == ()


async def test_what_was_made_goes_in_the_end_and_what_earlier_lives_left_at_the_start(folder: Path) -> None:
    api = Api()
    api.there = {
        "old": {**MAKER.kin(), "upcall.secret": "pull"},
        "operators": MAKER.kin(),
        "another": {**msgspec.structs.replace(MAKER, invoker=1).kin(), "upcall.secret": "pull"},
    }
    secrets = Secrets(folder, "actions", MAKER, api)
    await secrets.start()
    assert api.there.keys() == {"operators", "another"}
    (name,) = await secrets.names(SPEC)
    assert name in api.there
    await secrets.close()
    assert api.there.keys() == {"operators", "another"}
    assert await secrets.names(SPEC) == (name,)
    assert name in api.there


async def test_without_credentials_nobody_is_asked_for_secrets() -> None:
    secrets = Secrets(None, "actions", MAKER, Refusing())
    await secrets.start()
    await secrets.close()
    assert await secrets.names(SPEC) == ()


class Refusing(Api):
    async def secrets(self, labels: Mapping[str, str]) -> list[str]:
        raise AssertionError
