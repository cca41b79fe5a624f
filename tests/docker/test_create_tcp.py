"""Containers by an engine that is reached by TCP, with certificates and without."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.docker.creating import driver, spec
from tests.system.engine import engine_of_its_own, required
from upcall.errors import Misconfigured

pytestmark = pytest.mark.timeout(180)

PLAIN, SECRET = "tcp://127.0.0.1:2375", "tcp://127.0.0.1:2376"


def certificates(folder: Path) -> None:
    """One that signs itself, the engine's and the client's, for 127.0.0.1."""
    folder.mkdir()
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    address = x509.IPAddress(ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
    builder = builder.not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    shown = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    for file in ("ca.pem", "cert.pem"):
        (folder / file).write_bytes(shown)
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


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
