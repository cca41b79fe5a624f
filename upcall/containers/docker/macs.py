"""MAC addresses of our containers: by them the rules (`rules`) know whose a packet is.

    02:75:70 : tag of the platform : number of the container, two bytes

The first byte says "given by hand", the next two are `up`. A container cannot change its own, without NET_ADMIN and
NET_RAW. A tag is no other platform's on this host, a number no other living container's.
"""

_OURS = "02:75:70"
_MOST = 1 << 16


def of_tag(tag: int) -> tuple[str, str]:
    """What nft compares, and with what, for the containers of one platform."""
    return "ff:ff:ff:ff:00:00", f"{_OURS}:{tag:02x}:00:00"


def of_all() -> tuple[str, str]:
    """The same for those of all platforms."""
    return "ff:ff:ff:00:00:00", f"{_OURS}:00:00:00"


class Macs:
    """Of one platform."""

    def __init__(self, tag: int) -> None:
        self.prefix = f"{_OURS}:{tag:02x}:"
        """Of all of them."""
        self._number = 0
        self._taken: set[int] = set()

    def take(self) -> str:
        """One that nobody has; what was given back last comes last."""
        for _ in range(_MOST):
            self._number = (self._number + 1) % _MOST
            if self._number not in self._taken:
                break
        self._taken.add(self._number)
        return f"{self.prefix}{self._number >> 8:02x}:{self._number & 0xFF:02x}"

    def give_back(self, mac: str) -> None:
        """Its container is gone; idempotent."""
        self._taken.discard(int(mac[-5:].replace(":", ""), 16))
