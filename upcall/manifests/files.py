"""Files as they are checked in under deploy/: what each of them is, and what it is made of."""

from collections.abc import Callable

from upcall.manifests.document import stream
from upcall.manifests.fleet import fleet
from upcall.manifests.invoker import invoker
from upcall.manifests.profiles import ANY, profile
from upcall.manifests.single import single
from upcall.manifests.wanted import Wanted

HEAD = """An Invoker on Kubernetes:

    kubectl apply -f invoker.yml

It is for Kubernetes 1.30 or later. It needs, and does not bring, Kafka and CouchDB (the ConfigMap and the Secret say
where they are, and by which names), and the image that scripts/images builds. It runs actions in sandboxes inside of
its own pod, on any node, whatever the node runs containers by: no path of the host is mounted. Where actions should be
Docker's containers, or pods: upcall manifests --help

  more Invokers   edit replicas, and the number at INVOKER_COUNT and INVOKER_INSTANCES, below
  on chosen nodes edit nodeSelector, below
"""
MADE = "\nMade by scripts/manifests.py; 'upcall manifests' makes others."


def _invoker() -> str:
    return stream(invoker(Wanted(), profile(ANY)), HEAD + MADE)


SINGLE = """The whole platform in one pod, for a small cluster:

    kubectl apply -f upcall.yml
    kubectl -n upcall rollout status statefulset upcall
    kubectl -n upcall port-forward service/upcall 3233 &
    kubectl -n upcall exec upcall-0 -- upcall user get guest

The last line shows the key of the subject that the first start has made; the API is at http://127.0.0.1:3233.
It needs the image that scripts/images builds, and no more. Several pods: upcall-fleet.yml.
"""
FLEET = """The whole platform in several pods: controllers, Invokers, Kafka and PostgreSQL.

    kubectl apply -f upcall-fleet.yml
    kubectl -n upcall rollout status statefulset controller
    kubectl -n upcall exec controller-0 -- upcall user create alice
    kubectl -n upcall port-forward service/controller 3233:8080 &

The third line makes a subject and shows its key; the API is at http://127.0.0.1:3233. Change the passwords of the
Secret first. It needs the image that scripts/images builds, and those of Kafka and PostgreSQL.
"""


def _single() -> str:
    return stream(single(Wanted(namespace="upcall"), profile(ANY)), SINGLE + MADE)


def _fleet() -> str:
    return stream(fleet(Wanted(namespace="upcall"), profile(ANY)), FLEET + MADE)


FILES: dict[str, Callable[[], str]] = {"invoker.yml": _invoker, "upcall.yml": _single, "upcall-fleet.yml": _fleet}
"""In deploy/."""
