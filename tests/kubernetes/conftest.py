"""Tests on a real Kubernetes: a node of real components, built here, shared by all test processes of this checkout."""

from tests.kubernetes.cluster.fixtures import cluster, namespace

__all__ = ["cluster", "namespace"]
