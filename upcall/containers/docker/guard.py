"""Whether the rules about containers' packets (`rules`) can be had here, and having them.

Where they cannot, that is a warning by default, and a refusal to start where the user asked for them in words. What is
decided at the start stays: containers are made to be known by the rules, or not.
"""

import contextlib
import logging
import os
from pathlib import Path

from upcall.containers.docker import rules
from upcall.containers.docker.macs import Macs
from upcall.containers.docker.rules import Rules
from upcall.containers.docker.segment import Segment
from upcall.containers.sandbox import nft
from upcall.containers.sandbox.ways import Reach
from upcall.errors import Misconfigured

log = logging.getLogger(__name__)

_SHOWN = tuple(Path(f"/proc/sys/net/bridge/bridge-nf-call-{program}") for program in ("iptables", "ip6tables"))
"""Whether the kernel shows packets between neighbours to the rules for routers, too."""


class Guard:
    """Of one platform; all of it blocks for some milliseconds."""

    def __init__(self, owner: str, reach: Reach | None) -> None:
        self._owner = owner
        self._reach = reach
        self._tag: int | None = None
        self._tried = False
        """Whether this life may have set rules."""
        self.macs: Macs | None = None
        """None while there are no rules."""
        self.lack = ""
        """What is missing, in a sentence."""

    @property
    def alone(self) -> bool:
        return self._reach == "none"

    def start(self, segment: Segment, made: Rules) -> None:
        """Set rules if they can be had. Raises Misconfigured where they have to be."""
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                rules.remove(self._owner)
        if self._reach == "host":
            self._without("--action-network host sets no rules")
            return
        try:
            self._start(segment, made)
        except (OSError, Misconfigured) as error:
            self.remove()
            cause = str(error).rstrip(".")
            if self._reach is not None:
                raise Misconfigured(
                    f"--action-network {self._reach} cannot be had for Docker containers: {cause}."
                ) from error
            self._without(cause)

    def replace(self, made: Rules) -> None:
        """By those for a network that has changed; in one step. Raises OSError."""
        if self._tag is not None:
            self._load(self._tag, made)

    def remove(self) -> None:
        """Errors are logged."""
        self.macs = self._tag = None
        if not self._tried:
            return
        try:
            rules.remove(self._owner)
        except OSError as error:
            log.error("the rules about containers' packets cannot be removed: %s", error)

    def _start(self, segment: Segment, made: Rules) -> None:
        if os.geteuid() != 0:
            raise Misconfigured("root alone may set rules about packets")
        if not segment.here:
            raise Misconfigured(
                f"the engine's network {segment.name} is no bridge of this host, as where upcall runs in a container or"
                " the engine elsewhere"
            )
        nft.needed("the rules about containers' packets")
        self._tried = True
        tag = rules.reserve(self._owner)
        self._load(tag, made)
        self._tag, self.macs = tag, Macs(tag)

    def _load(self, tag: int, made: Rules) -> None:
        rules.load_host(self._owner, tag, made)
        try:
            rules.load_bridge(self._owner, tag, made)
        except OSError as error:
            if all(_is_on(switch) for switch in _SHOWN):
                return
            cause = f"this kernel has no rules for bridges (nf_tables_bridge: {error})"
            if self._reach is not None:
                raise OSError(f"{cause}, so containers would reach each other: modprobe br_netfilter") from error
            self._tell(f"containers of different namespaces reach each other: {cause}; modprobe br_netfilter")

    def _without(self, cause: str) -> None:
        self._tell(f"actions in containers reach what listens on this host, and each other: {cause}")

    def _tell(self, lack: str) -> None:
        """Once."""
        if lack != self.lack:
            log.warning("%s", lack)
        self.lack = lack


def _is_on(switch: Path) -> bool:
    try:
        return switch.read_text().strip() == "1"
    except OSError:
        return False
