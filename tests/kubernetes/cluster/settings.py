"""Flags and files of a node's programs."""

import json
from pathlib import Path

from tests.kubernetes.cluster.place import Place

CONTAINERD = """version = 2
root = "{folder}/containerd"
state = "/run/containerd/state"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true  # a machine may lack CAP_SYS_RESOURCE
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
"""
COREFILE = """.:53 {{
    bind {node}
    errors
    ready {node}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
    }}
    hosts {{
        {host} host.cluster.local
        fallthrough
    }}
    cache 5
}}
"""
QUICK = ("--kube-api-qps=200", "--kube-api-burst=400")


def write(place: Place, plugins: Path) -> None:
    """The files; `plugins` are CNI's."""
    folder = place.folder
    (folder / "containerd.toml").write_text(CONTAINERD.format(folder=folder, plugins=plugins))
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_network(place)))
    (folder / "Corefile").write_text(COREFILE.format(node=place.node, host=place.host, kubeconfig=place.kubeconfig))
    (folder / "resolv.conf").write_text("")
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(place)))


def etcd(place: Place) -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    addresses = [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"]
    return [f"--data-dir={place.folder}/etcd", *addresses, "--unsafe-no-fsync", "--log-level=warn"]


def apiserver(place: Place) -> list[str]:
    pki = place.folder / "pki"
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={place.node}",
        f"--cert-dir={pki}",
        f"--service-cluster-ip-range={place.services}",
        f"--token-auth-file={pki}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-account.key",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged",
        "--profiling=false",
    ]


def controllers(place: Place) -> list[str]:
    pki = place.folder / "pki"
    return [
        f"--kubeconfig={pki}/controllers",
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--root-ca-file={pki}/apiserver.crt",
        "--use-service-account-credentials",
        "--leader-elect=false",
        *QUICK,
    ]


def scheduler(place: Place) -> list[str]:
    return [f"--kubeconfig={place.folder}/pki/scheduler", "--leader-elect=false", *QUICK]


def proxy(place: Place) -> list[str]:
    """Nothing of it is to be set for the whole machine."""
    machine = ["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s"]
    machine += ["--conntrack-tcp-timeout-close-wait=0s"]
    mode = ["--proxy-mode=iptables", "--iptables-sync-period=10s", "--iptables-min-sync-period=100ms"]
    names = [f"--kubeconfig={place.folder}/pki/proxy", f"--hostname-override={place.group}"]
    return [*names, f"--cluster-cidr={place.pods}", *mode, *machine]


def kubelet(place: Place) -> list[str]:
    files = [f"--config={place.folder}/kubelet.json", f"--kubeconfig={place.folder}/pki/kubelet"]
    return [*files, f"--hostname-override={place.group}", f"--node-ip={place.node}"]


def _network(place: Place) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": f"{place.folder}/addresses",
        "ranges": [[{"subnet": place.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": place.group, "plugins": [bridge, ports]}


def _kubelet(place: Place) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.group}",
        "clusterDNS": [place.node],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 250,
        "podPidsLimit": -1,
        "resolvConf": f"{place.folder}/resolv.conf",
        "serializeImagePulls": False,
        "volumePluginDir": f"{place.folder}/volume-plugins",
    }
