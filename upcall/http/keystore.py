"""https by a keystore as Java has them: one PKCS12 file with key, certificate and chain, under a password (spec:
invoker.md §2.3). Needs the package `cryptography` (extra `[encryption]`).

With `client_auth` a client has to show a certificate that the file's certificates vouch for: the store is the trust
store, too, as it is in OpenWhisk. Keys are handed to OpenSSL by a file that is in memory alone.
"""

import logging
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12
from cryptography.x509 import Certificate

from upcall.errors import Misconfigured

JKS = b"\xfe\xed\xfe\xed"
LARGEST = 1024**2
"""Bytes of a keystore."""
log = logging.getLogger("upcall")


def keystore_context(file: Path, password: str, flavor: str, client_auth: bool) -> ssl.SSLContext:
    """Raises Misconfigured."""
    if flavor.upper() not in ("PKCS12", "P12", "PFX"):
        raise Misconfigured(f"a keystore of the form {flavor} is not read, PKCS12 is: {_converted(file)}")
    store = _opened(file, password)
    if store.key is None or store.cert is None:
        raise Misconfigured(f"the keystore {file} has no private key with its certificate")
    _look(file, store.cert.certificate)
    chain = [store.cert, *store.additional_certs]
    certificates = [each.certificate.public_bytes(Encoding.PEM) for each in chain]
    key = store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, key + b"".join(certificates), file)
    if client_auth:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=b"".join(certificates).decode())
    return context


def _opened(file: Path, password: str) -> PKCS12KeyAndCertificates:
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST)
    except OSError as error:
        raise Misconfigured(f"the keystore {file} cannot be read: {error.strerror}") from error
    if data.startswith(JKS):
        raise Misconfigured(f"the keystore {file} is a JKS, PKCS12 is read: {_converted(file)}")
    try:
        if "\0" in password:
            raise ValueError  # the library panics
        return load_pkcs12(data, password.encode() or None)
    except ValueError as error:
        raise Misconfigured(
            f"the keystore {file} cannot be opened: its password is wrong, or it is no PKCS12 file"
        ) from error


def _look(file: Path, certificate: Certificate) -> None:
    """A server that clients refuse may still serve those that do not look."""
    first, last, now = certificate.not_valid_before_utc, certificate.not_valid_after_utc, datetime.now(UTC)
    if not first <= now <= last:
        log.warning(
            "clients will refuse the certificate of the keystore %s, which is valid from %s to %s: renew it, or put "
            "this machine's clock right",
            file,
            f"{first:%Y-%m-%d}",
            f"{last:%Y-%m-%d}",
        )


def _load(context: ssl.SSLContext, pem: bytes, file: Path) -> None:
    held = os.memfd_create("keystore")
    try:
        os.write(held, pem)
        context.load_cert_chain(f"/proc/self/fd/{held}")
    except ssl.SSLError as error:
        raise Misconfigured(
            f"the keystore {file} has a key or certificate that TLS does not take ({error.reason or error})"
        ) from error
    finally:
        os.close(held)


def _converted(file: Path) -> str:
    return f"keytool -importkeystore -srckeystore {file} -destkeystore {file}.p12 -deststoretype PKCS12"
