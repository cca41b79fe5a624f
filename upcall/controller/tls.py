"""TLS of the listening port: TLS 1.2 or later, a certificate of the operator's or one that is made here.

A self-signed certificate lies in the data folder: `tls.pem` with its key, for this process, and `tls.crt` without, for
clients (`curl --cacert`). It is made anew when it nears its end, or when it lacks a name that the platform now has.
"""

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NoReturn

from upcall.errors import Misconfigured
from upcall.extras import missing

PRIVATE, PUBLIC = "tls.pem", "tls.crt"


def tls_context(
    mode: Literal["off", "self-signed"], cert: Path | None, key: Path | None, data: Path, names: Sequence[str]
) -> ssl.SSLContext | None:
    """None where the port speaks plain HTTP. Raises Misconfigured."""
    if mode == "self-signed":
        if cert or key:
            raise Misconfigured("--tls self-signed makes its own certificate: leave --tls-cert and --tls-key away")
        return _context(_self_signed(data, names), None)
    if cert is None:
        if key is not None:
            raise Misconfigured("--tls-key is the key of a certificate: name that with --tls-cert")
        return None
    return _context(cert, key)


def _context(cert: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for file in filter(None, (cert, key)):
        _check_readable(file)
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        raise Misconfigured(_why(error, cert, key)) from error
    return context


def _check_readable(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}; it has to be a PEM file") from error


def _no_password() -> NoReturn:
    raise Misconfigured("the private key is encrypted: write it without its password, readable by this user alone")


def _why(error: ssl.SSLError, cert: Path, key: Path | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {key or cert} does not belong to the certificate in {cert}: name its own with --tls-key"
    if key is None:
        return f"{cert} does not hold a certificate and its key, in PEM form: name the key's file with --tls-key"
    return f"{cert} and {key} have to hold a certificate and its private key, in PEM form ({error.reason or error})"


def _self_signed(data: Path, names: Sequence[str]) -> Path:
    """The file with key and certificate."""
    try:
        from upcall.controller import certificate
    except ImportError as error:
        raise missing("--tls self-signed", "cryptography") from error
    private, public = data / PRIVATE, data / PUBLIC
    try:
        held = private.read_bytes() if private.exists() else b""
        if not certificate.usable(held, names, datetime.now(UTC)):
            held = certificate.make(names, datetime.now(UTC))
            _write(private, held, 0o600)
        _write(public, certificate.public_part(held), 0o644)
    except OSError as error:
        raise Misconfigured(f"the certificate cannot be kept in {data}: {error.strerror}") from error
    return private


def _write(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
