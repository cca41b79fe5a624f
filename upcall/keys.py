"""Keys of encrypted parameters (spec: container.md §2.4, entities.md §3): AES-GCM, by the library `cryptography`, which
is loaded only where there are keys. Neither a key nor a value gets into a log or an error.
"""

import os
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from upcall.core.locked import ALGORITHMS, IV_BYTES, locked, unlocked
from upcall.errors import Misconfigured
from upcall.extras import missing
from upcall.model.entities import Parameter
from upcall.model.messages import ActivationMessage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


Lock = Callable[[list[Parameter]], list[Parameter]]


class Keys:
    """`given` are base64 texts by algorithm. Raises Misconfigured where one of them is no key, or the library is not
    there."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._ciphers = {algorithm: _cipher(algorithm, text) for algorithm, text in (given or {}).items()}

    def unlock(self, message: ActivationMessage) -> ActivationMessage:
        """The message with plain arguments. Raises Unreadable with a text for the caller."""
        return unlocked(message, self._open)

    def locker(self, algorithm: str) -> Lock:
        """What locks parameters by one of the algorithms, those that are not locked yet. Raises KeyError where it has
        no key."""
        cipher = self._ciphers[algorithm]

        def seal(plain: bytes) -> tuple[bytes, bytes]:
            iv = os.urandom(IV_BYTES[algorithm])
            return iv, cipher.encrypt(iv, plain, None)

        return lambda parameters: [locked(parameter, algorithm, seal) for parameter in parameters]

    def _open(self, algorithm: str, iv: bytes, sealed: bytes) -> bytes:
        cipher = self._ciphers[algorithm]
        from cryptography.exceptions import InvalidTag

        try:
            return cipher.decrypt(iv, sealed, None)
        except InvalidTag:
            raise ValueError("the key does not fit") from None


def _cipher(algorithm: str, text: str) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise missing(f"whisk.parameter-storage.{algorithm}", "cryptography") from error
    size = ALGORITHMS.get(algorithm)
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if size is None or len(key) != size:
        wanted = f"base64 of {size} bytes" if size else f"no algorithm; these are: {', '.join(ALGORITHMS)}"
        raise Misconfigured(f"whisk.parameter-storage.{algorithm}: {wanted}")
    return AESGCM(key)
