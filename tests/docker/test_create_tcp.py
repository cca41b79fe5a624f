"""Containers by an engine that is reached by TCP, with certificates and without."""

import subprocess
from pathlib import Path

import pytest

from tests.docker.creating import driver, spec
from tests.system.engine import engine_of_its_own, required
from upcall.errors import Misconfigured

pytestmark = pytest.mark.timeout(180)

PLAIN, SECRET = "tcp://127.0.0.1:2375", "tcp://127.0.0.1:2376"


def certificates(folder: Path) -> None:
    """`ca.pem` signs `cert.pem`, which is the engine's and the client's, for 127.0.0.1."""
    folder.mkdir()
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    made = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    signed = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"]
    for command in (
        [*made, "-x509", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem"],
        [*made, "-subj", "/CN=engine", "-keyout", "key.pem", "-out", "request.pem"],
        [*signed, "-in", "request.pem", "-extfile", "names", "-out", "cert.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)


async def test_an_engine_is_reached_by_tcp(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    required(request)
    with engine_of_its_own("--host", PLAIN, "--tls=false") as dockerd, dockerd.inside():
        async with driver(dockerd, tmp_path, host=PLAIN) as made:
            container = await made.create(spec())
            assert dockerd.inspect(container.id)["State"]["Running"]


async def test_an_engine_is_reached_by_tls(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    required(request)
    own, others = tmp_path / "own", tmp_path / "others"
    for folder in (own, others):
        certificates(folder)
    shown = [
        "--tlsverify",
        "--tlscacert",
        f"{own}/ca.pem",
        "--tlscert",
        f"{own}/cert.pem",
        "--tlskey",
        f"{own}/key.pem",
    ]
    with engine_of_its_own("--host", SECRET, *shown) as dockerd, dockerd.inside():
        async with driver(dockerd, tmp_path, host=SECRET, tls=own) as made:
            container = await made.create(spec())
            assert dockerd.inspect(container.id)["State"]["Running"]
        with pytest.raises(
            Misconfigured, match=r"certificate verify failed.*: an engine that speaks TLS needs DOCKER_CERT_PATH"
        ):
            async with driver(dockerd, tmp_path, host=SECRET, tls=others):
                pass
        with pytest.raises(
            Misconfigured, match="answers a ping with 400: an engine that speaks TLS needs DOCKER_CERT_PATH"
        ):
            async with driver(dockerd, tmp_path, host=SECRET):
                pass
