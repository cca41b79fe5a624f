"""Keys of encrypted arguments (spec: container.md §2.4): AES-GCM, by the library `cryptography`, which is loaded only
where there are keys. Neither a key nor a value gets into a log or an error.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING

from upcall.core.locked import ALGORITHMS, unlocked
from upcall.errors import Misconfigured
from upcall.extras import missing
from upcall.model.messages import ActivationMessage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Keys:
    """`given` are base64 texts by algorithm. Raises Misconfigured where one of them is no key, or the library is not
    there."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._ciphers = {algorithm: _cipher(algorithm, text) for algorithm, text in (given or {}).items()}

    def unlock(self, message: ActivationMessage) -> ActivationMessage:
        """The message with plain arguments. Raises Unreadable with a text for the caller."""
        return unlocked(message, self._open)

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
