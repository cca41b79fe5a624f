"""A keystore becomes the https of a port: what clients see of it, and what is said of one that cannot be used."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from upcall.controller import certificate
from upcall.errors import Misconfigured
from upcall.http.keystore import keystore_context

PASSWORD = "öpen sesame"


class Keystore:
    """A file with a certificate for localhost, and the PEM of that with its key."""

    def __init__(
        self, folder: Path, key: bool = True, trusted: Sequence[x509.Certificate] = (), days_ago: int = 0
    ) -> None:
        self.pem = certificate.make(["localhost"], datetime.now(UTC) - timedelta(days=days_ago))
        self.public = certificate.public_part(self.pem).decode()
        self.file = folder / "openwhisk-keystore.p12"
        own, cert = load_pem_private_key(self.pem, None), x509.load_pem_x509_certificate(self.pem)
        held = serialize_key_and_certificates(
            b"openwhisk",
            own if key else None,  # type: ignore[arg-type]  # it is one of those that it takes
            cert if key else None,
            trusted if key else [cert],
            BestAvailableEncryption(PASSWORD.encode()),
        )
        self.file.write_bytes(held)


def talk(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """What the client reads over TLS in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    far.write(b"pong")
    return near.read().decode()


def test_clients_that_know_the_certificate_are_served(tmp_path: Path) -> None:
    store = Keystore(tmp_path)
    for flavor in ("PKCS12", "pkcs12"):
        context = keystore_context(store.file, PASSWORD, flavor, False)
        assert talk(context, ssl.create_default_context(cadata=store.public)) == "pong"
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(context, ssl.create_default_context())


def of_a_client(folder: Path) -> tuple[x509.Certificate, Path]:
    """A certificate of its own making, and the file with it and its key."""
    key, file = ec.generate_private_key(ec.SECP256R1()), folder / "client.pem"
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    made = dated.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return made, file


def test_clients_may_have_to_show_a_certificate_of_the_store(tmp_path: Path) -> None:
    known, file = of_a_client(tmp_path)
    store = Keystore(tmp_path, trusted=[known])
    context = keystore_context(store.file, PASSWORD, "PKCS12", True)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        talk(context, ssl.create_default_context(cadata=store.public))
    client = ssl.create_default_context(cadata=store.public)
    client.load_cert_chain(file)
    assert talk(context, client) == "pong"
    client.load_cert_chain(of_a_client(tmp_path)[1])
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(context, client)


def refused(file: Path, password: str = PASSWORD, flavor: str = "PKCS12") -> str:
    with pytest.raises(Misconfigured) as error:
        keystore_context(file, password, flavor, False)
    return str(error.value)


def test_what_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    store = Keystore(tmp_path)
    other, jks = tmp_path / "other", tmp_path / "jks"
    other.write_bytes(b"0123")
    jks.write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    wrong = "cannot be opened: its password is wrong, or it is no PKCS12 file"
    assert (
        refused(store.file, "wrong")
        == refused(store.file, "\0")
        == refused(store.file, "")
        == f"the keystore {store.file} {wrong}"
    )
    assert refused(other) == f"the keystore {other} {wrong}"
    assert refused(tmp_path / "gone") == f"the keystore {tmp_path / 'gone'} cannot be read: No such file or directory"
    assert refused(tmp_path) == f"the keystore {tmp_path} cannot be read: Is a directory"
    assert f"{jks} is a JKS, PKCS12 is read: keytool -importkeystore -srckeystore {jks} " in refused(jks)
    assert refused(store.file, flavor="JKS").startswith("a keystore of the form JKS is not read, PKCS12 is: keytool ")
    keyless = Keystore(tmp_path, key=False)
    assert refused(keyless.file) == f"the keystore {keyless.file} has no private key with its certificate"


def test_a_certificate_whose_time_is_over_is_told_and_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "upcall"):
        keystore_context(Keystore(tmp_path).file, PASSWORD, "PKCS12", False)
        assert not caplog.messages
        file = Keystore(tmp_path, days_ago=9999).file
        keystore_context(file, PASSWORD, "PKCS12", False)
    (said,) = caplog.messages
    assert said.startswith(f"clients will refuse the certificate of the keystore {file}, which is valid from ")
    assert PASSWORD not in said
