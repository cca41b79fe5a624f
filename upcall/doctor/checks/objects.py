"""What several checks ask of Kubernetes' objects."""

from upcall.doctor.facts.deployment import Object, Workload


def name(found: Object) -> str:
    return str((found.get("metadata") or {}).get("name", ""))


def of_upstream(each: Workload) -> bool:
    """Whether it runs OpenWhisk's own Invoker."""
    return "openwhisk/" in str(each.main.get("image", ""))
