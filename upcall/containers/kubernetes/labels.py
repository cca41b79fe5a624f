"""The labels of our pods: upstream's, and by ours who made them.

| label                                     | says                                                              |
|-------------------------------------------|-------------------------------------------------------------------|
| `name`                                    | the pod's own name                                                |
| `user-action-pod`                         | `true`: a tenant's code runs in it; network policies go by this   |
| `invoker`, `release`                      | `invoker0`, and the deployment (`whisk.helm.release`)             |
| `openwhisk/action`, `openwhisk/namespace` | what runs in it; a generic pod has neither                        |
| `upcall.instance`, `upcall.boot`          | which platform, across its restarts; which process of it          |

Namespaces and actions have names that no label may have: those are made to fit (`names.label_value`).
"""

from collections.abc import Mapping

import msgspec

from upcall.containers.kubernetes.names import label_value

NAME, USER, INVOKER, RELEASE = "name", "user-action-pod", "invoker", "release"
ACTION, NAMESPACE = "openwhisk/action", "openwhisk/namespace"
INSTANCE, BOOT = "upcall.instance", "upcall.boot"


class Maker(msgspec.Struct, frozen=True, kw_only=True):
    """The process that makes pods."""

    invoker: int
    release: str
    instance: str
    boot: str
    pod: str = ""
    """The name of its own pod where that is in the namespace of the actions' pods; empty: it owns them in no way that
    Kubernetes knows."""
    uid: str = ""
    """Of that pod."""

    def labels(self, pod: str) -> dict[str, str]:
        """Of a pod by that name."""
        boot = {INSTANCE: label_value(self.instance), BOOT: label_value(self.boot)}
        return {NAME: label_value(pod), USER: "true", **self.kin(), **boot}

    def kin(self) -> dict[str, str]:
        """What the pods of all lives of this Invoker have, and no others."""
        return {INVOKER: f"invoker{self.invoker}", RELEASE: label_value(self.release)}

    def made(self, labels: Mapping[str, str]) -> bool:
        """Whether this process has made a pod."""
        own = {**self.kin(), INSTANCE: label_value(self.instance), BOOT: label_value(self.boot)}
        return own.items() <= labels.items()


def tenant_labels(namespace: str, action: str) -> dict[str, str]:
    """Of a pod that has its tenant; `action` is the name without its path."""
    return {ACTION: label_value(action), NAMESPACE: label_value(namespace)}
