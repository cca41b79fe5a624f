"""Files as they are checked in under deploy/: what each of them is, and what it is made of."""

from collections.abc import Callable

from upcall.manifests.document import stream
from upcall.manifests.invoker import invoker
from upcall.manifests.profiles import profile
from upcall.manifests.wanted import Wanted

HEAD = """An Invoker on Kubernetes:

    kubectl apply -f invoker.yml

It needs, and does not bring, Kafka and CouchDB (the ConfigMap and the Secret say where they are, and by which names),
and the image that scripts/images builds. It runs actions in sandboxes inside of its own pod, on any node, whatever the
node runs containers by: no path of the host is mounted. Where actions should be Docker's containers, or pods:
upcall manifests --help

  more Invokers   edit replicas, and the number at INVOKER_COUNT and INVOKER_INSTANCES, below
  on chosen nodes edit nodeSelector, below
"""
MADE = "\nMade by scripts/manifests.py; 'upcall manifests' makes others."


def _invoker() -> str:
    return stream(invoker(Wanted(), profile("ubuntu-docker")), HEAD + MADE)


FILES: dict[str, Callable[[], str]] = {"invoker.yml": _invoker}
"""In deploy/."""
