"""What tests know of the cluster that they share."""

import subprocess
from pathlib import Path


class Refused(AssertionError):
    """What kubectl printed to standard error."""


class Cluster:
    """One node. Pods and Services may be reached from this host; they reach nothing but each other and this host."""

    kubeconfig: Path
    """Of an administrator."""
    host_address: str
    """This host, as pods see it; what they shall reach listens there or on 0.0.0.0. In DNS `host.cluster.local`."""
    node: str
    """The name of the only real node."""

    @classmethod
    def join(cls) -> "Cluster":
        """It is up when this returns; it stays up as long as a process that has joined runs and has not left."""
        raise NotImplementedError

    def leave(self) -> None:
        """The last one to leave takes it down."""

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """Its standard output. Raises Refused."""
        raise NotImplementedError

    def load(self, name: str, source: Path) -> None:
        """Have an image under this name, of an archive (`docker save` or OCI), a root file system (folder or tar), or a
        static program. Costs nothing where the node has it from the same source."""

    def invoker_image(self) -> str:
        """`upcall/invoker:VERSION` of the sources as they are, loaded."""
        raise NotImplementedError
