"""Everything that the doctor knows to go wrong, by id (spec: kubernetes.md §10)."""

from collections.abc import Mapping

from upcall.doctor.failures.clusters import CLUSTERS
from upcall.doctor.failures.dependencies import DEPENDENCIES
from upcall.doctor.failures.hosts import HOSTS
from upcall.doctor.failures.machines import MACHINES
from upcall.doctor.finding import Failure

FAILURES: Mapping[str, Failure] = {each.id: each for each in (*HOSTS, *CLUSTERS, *DEPENDENCIES, *MACHINES)}
