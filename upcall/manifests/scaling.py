"""What watches Invokers and changes their number: objects of what an operator installs besides (Prometheus, KEDA)."""

from upcall.manifests.document import Object, Remarked
from upcall.manifests.wanted import Wanted, meta, selector
from upcall.model.sizes import MB

BUSY = "gauge_containerPool_activeSize_counter_bytes"
WAITING = "gauge_kafka_topic_counter"
SHARE = 70
"""Per cent of the memory for actions that is in use, on average, when there are to be more Invokers."""
QUEUE = 4
"""Messages of a topic that nobody has taken, on average, when there are to be more Invokers."""
CALM = 300
"""Seconds of less load before there are fewer: a call may last that long."""
_LESS: Object = {
    "scaleDown": {"stabilizationWindowSeconds": CALM, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
}


def scaling(wanted: Wanted) -> list[Object]:
    found = [_monitor(wanted)] if wanted.monitor else []
    if wanted.scaler == "hpa":
        found.append(_hpa(wanted))
    elif wanted.scaler == "keda":
        found.append(_keda(wanted))
    return found


def _monitor(wanted: Wanted) -> Object:
    scheme = {"scheme": "https"} if wanted.tls_secret else {}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "spec": {
            "selector": {"matchLabels": selector(wanted, "invoker")},
            "endpoints": [{"port": "http", "path": "/metrics", "interval": "15s", **scheme}],
        },
    }


def _target(wanted: Wanted) -> Object:
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": wanted.name}


def threshold(wanted: Wanted) -> int:
    """Bytes."""
    return wanted.memory * MB * SHARE // 100


def _hpa(wanted: Wanted) -> Object:
    def pods(name: str, value: int) -> Object:
        target = {"type": "AverageValue", "averageValue": str(value)}
        return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}

    said = "Of the custom metrics API: an adapter to Prometheus serves them (prometheus-adapter)."
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "spec": {
            "scaleTargetRef": _target(wanted),
            "minReplicas": wanted.replicas,
            "maxReplicas": wanted.most,
            "metrics": Remarked([pods(BUSY, threshold(wanted)), pods(WAITING, QUEUE)], above=said),
            "behavior": _LESS,
        },
    }


def _keda(wanted: Wanted) -> Object:
    def asked(name: str, threshold: int) -> Object:
        pods = f'namespace="{wanted.namespace}",pod=~"{wanted.name}-[0-9]+"'
        about = {"serverAddress": wanted.prometheus, "query": f"sum({name}{{{pods}}})", "threshold": str(threshold)}
        return {"type": "prometheus", "metadata": about}

    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "spec": {
            "scaleTargetRef": _target(wanted),
            "minReplicaCount": wanted.replicas,
            "maxReplicaCount": wanted.most,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _LESS}},
            "triggers": [asked(BUSY, threshold(wanted)), asked(WAITING, QUEUE)],
        },
    }
