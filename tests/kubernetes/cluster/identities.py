"""Who may call the node's API: one bearer token each. The API server makes its own certificate."""

import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.kubernetes.cluster.place import Place

USERS = {
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "kubelet": ("system:node:{node}", "system:nodes"),
}
"""Names and groups."""


def write(place: Place) -> None:
    """Their tokens and kubeconfigs, and the key that service accounts' tokens are signed with."""
    pki, lines = place.folder / "pki", []
    for name, (user, group) in USERS.items():
        token = secrets.token_hex(16)
        full = user.format(node=place.group)
        lines.append(f'{token},{full},{full},"{group}"\n')
        _kubeconfig(place.kubeconfig if name == "admin" else pki / name, place, token)
    _secret(pki / "tokens.csv", "".join(lines))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    coded = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _secret(pki / "service-account.key", key.private_bytes(*coded).decode())


def _kubeconfig(path: Path, place: Place, token: str) -> None:
    server = {"server": f"https://{place.node}:6443", "certificate-authority": f"{place.folder}/pki/apiserver.crt"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": place.group, "cluster": server}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": place.group, "context": {"cluster": place.group, "user": "user"}}],
        "current-context": place.group,
    }
    _secret(path, json.dumps(content))


def _secret(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
