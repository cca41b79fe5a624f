"""The processes of a node, in network and mount namespaces of their own and in one control group.

    this host ── upkN · node ── services: what goes to a Service's address is sent on by kube-proxy's rules
                          └──── pods: a bridge

The node has no way out, so pods reach each other, Services and this host. What a node's programs write to fixed places
(`/var/lib/kubelet`, `/run/containerd`, …) lies in the cluster's folder, bound there for them alone; values that a
kubelet would set for the whole machine are files to it. So nothing of this host changes, and all is gone with the
processes.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.kubernetes.cluster import archive, identities, programs, settings
from tests.kubernetes.cluster.place import Place
from tests.system import engine_guard

BOUND = {
    "/var/lib/kubelet": "kubelet",
    "/var/lib/cni": "cni-state",
    "/var/log/pods": "log/pods",
    "/var/log/containers": "log/containers",
    "/run/containerd": "run",
}
"""Places that programs know, and where they are in the cluster's folder."""
KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet wants, in /proc/sys."""
HOLD = "mount --make-rshared /; {binds} echo ready; exec sleep infinity"
PATIENCE = 90.0
_KUBELET = "mount --make-rprivate /proc; {binds} exec kubelet {flags}"


class Node:
    """One that comes up."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        self.environment = {**clean, "PATH": f"{programs.bin()}:{programs.PATH}"}

    def start(self) -> None:
        """Returns when it takes pods. Raises RuntimeError with the end of a log."""
        self._folders()
        self._hold()
        self._link()
        identities.write(self.place)
        self._run("etcd", "etcd", *settings.etcd(self.place))
        self._run("apiserver", "kube-apiserver", *settings.apiserver(self.place))
        settings.write(self.place, programs.NETWORKS)
        self._run("containerd", "containerd", "--config", f"{self.folder}/containerd.toml")
        self._await("containerd", lambda: self.place.containerd.exists() and self._works(*self.ctr("version")))
        self.bring("localhost/pause:1", programs.bin() / "pause", ["/pause"])
        self._await("apiserver", lambda: self._works(*self.kubectl("get", "--raw", "/readyz")))
        self._run("controllers", "kube-controller-manager", *settings.controllers(self.place))
        self._run("scheduler", "kube-scheduler", *settings.scheduler(self.place))
        self._run("proxy", "kube-proxy", *settings.proxy(self.place))
        self._run("coredns", "coredns", "-conf", f"{self.folder}/Corefile")
        self._run("kubelet", "sh", "-c", self._kubelet())
        ready = ("wait", "--for=condition=Ready", f"node/{self.place.group}", "--timeout=10s")
        self._await("kubelet", lambda: self._works(*self.kubectl(*ready)))
        self._await("controllers", lambda: self._works(*self.kubectl("get", "serviceaccount", "default")))

    def kubectl(self, *words: str) -> list[str]:
        return [f"{programs.bin()}/kubectl", f"--kubeconfig={self.place.kubeconfig}", *words]

    def ctr(self, *words: str) -> list[str]:
        return ["ctr", f"--address={self.place.containerd}", "--namespace=k8s.io", *words]

    def bring(self, name: str, source: Path, entrypoint: list[str] | None = None) -> None:
        """Have an image. Raises RuntimeError."""
        importing = subprocess.Popen(
            self.ctr("images", "import", "--digests=false", "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment,
        )
        assert importing.stdin is not None
        assert importing.stderr is not None
        with importing, importing.stdin as sink:
            archive.write(name, source, sink, entrypoint)
            sink.close()
            said = importing.stderr.read().decode()
        if importing.returncode != 0:
            raise RuntimeError(f"the image {name} cannot be loaded from {source}: {said}")

    def _folders(self) -> None:
        self.folder.mkdir(mode=0o711)
        for name in ("log", "pki", "cni", "sys", *BOUND.values()):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "pki").chmod(0o700)
        made = [place for place in BOUND if not Path(place).exists()]
        for place in made:
            Path(place).mkdir()
        (self.folder / "made").write_text("\n".join(made))
        for file, value in KERNEL.items():
            (self.folder / "sys" / file.replace("/", "-")).write_text(value)
        for tree in engine_guard.trees():
            (tree / self.place.group).mkdir(exist_ok=True)
        (engine_guard.home() / self.place.group / "node").mkdir()

    def _hold(self) -> None:
        """A process that has the namespaces."""
        binds = "".join(f"mount --bind {self.folder}/{ours} {place}; " for place, ours in BOUND.items())
        self._start(
            "holder", "unshare", "--net", "--mount", "--propagation=slave", "sh", "-ec", HOLD.format(binds=binds)
        )
        self._await("holder", lambda: "ready" in self._log("holder"))
        (self.folder / "holder.pid").write_text(str(self._processes["holder"].pid))

    def _link(self) -> None:
        place, pid = self.place, self._processes["holder"].pid
        self._do(f"ip link add {place.group} type veth peer name node netns {pid}")
        self._do(f"ip address add {place.host}/30 dev {place.group}")
        self._do(f"ip link set {place.group} up")
        for line in (
            "ip link set lo up",
            f"ip address add {place.node}/30 dev node",
            "ip link set node up",
            "ip link add services type bridge",
            "ip link set services up",
            f"ip route add {place.services} dev services",
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1",
        ):
            self._do(f"nsenter --net=/proc/{pid}/ns/net {line}")
        self._works("nsenter", f"--net=/proc/{pid}/ns/net", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
        self._do(f"ip route add {place.all} via {place.node}")

    def _kubelet(self) -> str:
        binds = "".join(
            f"[ ! -e /proc/sys/{file} ] || mount --bind {self.folder}/sys/{file.replace('/', '-')} /proc/sys/{file}; "
            for file in KERNEL
        )
        inner = _KUBELET.format(binds=binds, flags=" ".join(settings.kubelet(self.place)))
        return f"exec unshare --mount --propagation=unchanged sh -ec '{inner}'"

    def _run(self, name: str, *command: str) -> None:
        """A program, in the node's namespaces."""
        pid = self._processes["holder"].pid
        self._start(name, "nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", *command)

    def _start(self, name: str, *command: str) -> None:
        group = engine_guard.home() / self.place.group / "node" / "cgroup.procs"
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self.environment,
            )

    def _await(self, name: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} of a Kubernetes for tests does not start:\n{self._log(name)[-3000:]}")
            time.sleep(0.05)

    def _log(self, name: str) -> str:
        return (self.folder / "log" / f"{name}.log").read_text(errors="replace")

    def _works(self, *command: str) -> bool:
        return subprocess.run(command, check=False, capture_output=True, env=self.environment).returncode == 0

    def _do(self, line: str) -> None:
        done = subprocess.run(line.split(), check=False, capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            raise RuntimeError(f"`{line}` failed: {done.stderr.strip()}")


def remove(place: Place) -> None:
    """All of a node, whatever is left of it."""
    engine_guard.end(place.group)
    subprocess.run(["ip", "link", "delete", place.group], check=False, capture_output=True)
    made = place.folder / "made"
    engine_guard.unmount(place.folder)
    for empty in made.read_text().split() if made.exists() else ():
        Path(empty).rmdir() if not any(Path(empty).iterdir()) else None
    subprocess.run(["rm", "-rf", "--one-file-system", str(place.folder)], check=True)
