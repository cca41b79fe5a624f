"""The outer sandbox as a bubblewrap command, and what to say where it cannot be had.

The root is an empty tmpfs, made read-only at the end, with the host's /usr and libraries, the interpreter's prefix,
the runtime and a synthetic /etc bound read-only. No folder with data of the host, no environment of the platform. The
zygote keeps all capabilities *of its user namespace*, to confine its children; they have none.
`{control}` in an argument stands for the number of the control socket's descriptor.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from upcall.containers.sandbox import enter, pod
from upcall.errors import Misconfigured
from upcall.runtimes.python import confine
from upcall.runtimes.python.net import ADDRESS

WITHOUT = "`--isolation none` runs actions without isolation."
_IN_A_POD = (
    "In a pod, sandboxes need what `upcall manifests` writes: user 0, the capabilities SYS_ADMIN, SETUID, SETGID and "
    "KILL, and seccompProfile and appArmorProfile Unconfined."
)
FILES = 128
"""Open files that the platform and its first sandboxes take."""
_APART = ("--unshare-ipc", "--unshare-uts", "--unshare-pid", "--unshare-net")
_PATIENCE = 5.0
_RUNTIME = "/opt/upcall/upcall_runtime"
_PROGRAMS = "/opt/upcall/bin"
_PACKAGE = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.append({!r}); from {} import main; sys.path.remove({!r}); main()"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_USER_ID = 1000
_HOST_ETC = ("localtime", "ld.so.cache", "mime.types", "services", "protocols", "os-release")
_HOST_ETC_FOLDERS = ("ssl/certs", "alternatives", "ca-certificates")


class Forbidding(NamedTuple):
    """A setting below /proc/sys that forbids user namespaces while it is `now`; `root`: whether to root, too."""

    name: str
    now: str
    wanted: str
    why: str
    root: bool = False
    instead: str = ""

    @property
    def key(self) -> str:
        """For sysctl."""
        return self.name.replace("/", ".")


_FORBIDDING = (
    Forbidding(
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "0",
        "AppArmor forbids user namespaces to ordinary users here (Ubuntu 24.04 and later)",
        instead=", or an AppArmor profile for bwrap with `userns,`",
    ),
    Forbidding("user/max_user_namespaces", "0", "65536", "User namespaces are switched off", root=True),
    Forbidding("kernel/unprivileged_userns_clone", "0", "1", "User namespaces are root's alone here"),
)


def interpreter() -> str:
    """The Python below virtual environments: its prefix is what a sandbox gets to see."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.base_prefix) / "bin" / name, Path(os.path.realpath(sys.executable))]
    return str(next(path for path in candidates if path.is_file()))


def prepare(life: Path, *, network: bool = True) -> None:
    """Write what a sandbox sees that is not the host's."""
    write_etc(life / "etc", network=network)
    write_runtime(life / "runtime")


def write_etc(folder: Path, *, network: bool = True) -> None:
    """The synthetic /etc; copies of the few host files that programs need to behave. Without a `network` of its own a
    sandbox asks the host's resolvers."""
    folder.mkdir(mode=0o755)
    for name in _HOST_ETC:
        source = Path("/etc") / name
        if source.is_file():
            (folder / name).write_bytes(source.read_bytes())
    for name in _HOST_ETC_FOLDERS:
        if (Path("/etc") / name).is_dir():
            (folder / name).mkdir(parents=True)
    (folder / "passwd").write_text(
        "root:x:0:0:root:/root:/usr/sbin/nologin\naction:x:1000:1000::/tmp:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
    (folder / "group").write_text("root:x:0:\naction:x:1000:\nnogroup:x:65534:\n")
    (folder / "hosts").write_text("127.0.0.1 localhost sandbox\n::1 localhost\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    inside, hosts = f"nameserver {ADDRESS}\noptions timeout:2 attempts:3\n", Path("/etc/resolv.conf")
    (folder / "resolv.conf").write_text(inside if network else hosts.read_text() if hosts.is_file() else "")
    _open_up(folder)


def write_runtime(folder: Path) -> None:
    """A copy of the runtime that the sandbox's users can read, whatever the modes and the fate of the original."""
    runtimes = _PACKAGE / "runtimes"
    for source in (*runtimes.rglob("*.py"), *runtimes.rglob("*.cjs")):
        target = folder / source.relative_to(runtimes)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    _open_up(folder)


def _open_up(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def plain(api_host: str) -> list[str]:
    """The zygote without any isolation."""
    environment = [f"{name}={value}" for name, value in _environment(api_host).items()]
    return ["/usr/bin/env", "-i", *environment, *module("upcall.runtimes.python.zygote"), "{control}"]


def seen(program: str) -> str:
    """Where a program of the host is in the outer sandbox. One from outside of /usr is bound alone, without its folder,
    which may be somebody's home."""
    return program if Path(program).is_relative_to("/usr") or not program else f"{_PROGRAMS}/{Path(program).name}"


def isolated(
    life: Path, api_host: str, userns: int | None, programs: Sequence[str] = (), *, network: bool = True
) -> list[str]:
    """The command for the outer sandbox, by way of `enter` when run by root. `programs` are to be `seen` there; without
    a `network` of its own it has the host's."""
    as_root = os.geteuid() == 0
    etc = life / "etc"
    binds = [(str(etc), "/etc"), (str(life / "runtime"), _RUNTIME)]
    binds += [(f"/etc/{name}", f"/etc/{name}") for name in _HOST_ETC_FOLDERS if (etc / name).is_dir()]
    prefixes = {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix), sys.base_prefix}
    binds += [(prefix, prefix) for prefix in sorted(prefixes) if not Path(prefix).is_relative_to("/usr")]
    binds += [(program, seen(program)) for program in programs if program != seen(program)]
    staged = [f"{enter.STAGE}/{n}" if as_root else source for n, (source, _) in enumerate(binds)]
    argv = _bubblewrap([(source, target) for source, (_, target) in zip(staged, binds, strict=True)], as_root, api_host)
    if not network:
        argv.remove("--unshare-net")
    if not as_root:
        return argv
    plan = {"sources": [source for source, _ in binds], "userns": userns, "argv": argv}
    return [*module("upcall.containers.sandbox.enter"), json.dumps(plan)]


def module(name: str) -> list[str]:
    """The command that calls `main` of a module of the platform in a bare interpreter."""
    parent = str(_PACKAGE.parent)
    return _python(_START.format(parent, name, parent))


def _bubblewrap(binds: list[tuple[str, str]], as_root: bool, api_host: str) -> list[str]:
    argv = [
        os.path.realpath(shutil.which("bwrap") or "bwrap"),  # a link may lie where a tmpfs hides it
        *_APART,
        "--as-pid-1",
        "--clearenv",
    ]
    argv += ["--hostname", "sandbox", "--cap-add", "ALL"]
    if not as_root:
        argv += ["--unshare-user", "--uid", str(_USER_ID), "--gid", str(_USER_ID)]
    for name, value in _environment(api_host).items():
        argv += ["--setenv", name, value]
    argv += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    for parent in sorted({str(parent) for _, target in binds for parent in list(Path(target).parents)[:-1]}):
        argv += ["--perms", "0755", "--dir", parent]  # bubblewrap's own are for their owner alone
    for source, target in binds:
        argv += ["--ro-bind", source, target]
    argv += ["--proc", "/proc", "--dir", "/dev"]
    for name in _DEVICES:
        argv += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for target, link in (("/proc/self/fd", "fd"), *((f"/proc/self/fd/{n}", f"std{s}") for n, s in _STANDARD)):
        argv += ["--symlink", target, f"/dev/{link}"]
    argv += ["--tmpfs", "/dev/shm", "--tmpfs", "/tmp", "--dir", "/var", "--symlink", "/tmp", "/var/tmp"]  # noqa: S108
    argv += ["--dir", "/action", "--dir", "/run", "--remount-ro", "/", "--chdir", "/"]
    start = _START.format(str(Path(_RUNTIME).parent), "upcall_runtime.python.zygote", str(Path(_RUNTIME).parent))
    return [*argv, *_python(start), "{control}"]


_STANDARD = ((0, "in"), (1, "out"), (2, "err"))


def _python(start: str) -> list[str]:
    return [interpreter(), "-I", "-S", "-B", "-X", "utf8", "-c", start]


def _environment(api_host: str) -> dict[str, str]:
    """Without an API its address is not set, and not empty."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own
        **({"__OW_API_HOST": api_host} if api_host else {}),
    }


def mode(isolation: str) -> str:
    """How to confine, by who runs this. Raises Misconfigured where bubblewrap is missing."""
    if isolation == "none":
        return confine.WITHOUT_ISOLATION
    if shutil.which("bwrap") is None:
        raise Misconfigured(
            f"Actions run in sandboxes that bubblewrap makes; it is missing: apt-get install bubblewrap. {WITHOUT}"
        )
    return confine.AS_ROOT if os.geteuid() == 0 else confine.AS_USER


def refusal(error: str) -> Misconfigured:
    """Why no sandbox came up, with what to do about it. Too few open files are told alone: nothing else was tried."""
    cause = error.strip().rpartition("\n")[2].rstrip(".")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < FILES:
        return Misconfigured(
            f"This process may open {files} files, sandboxes take {FILES}: `ulimit -n 1024` ({cause})."
        )
    fixes = [f"{each.why}: `sudo sysctl {each.key}={each.wanted}`{each.instead}." for each in forbidding()]
    if Path("/.dockerenv").exists():
        fixes.append("In a Docker container, sandboxes need `--privileged`.")
    if pod.here():
        fixes.append(_IN_A_POD)
    return Misconfigured(" ".join([f"Actions cannot be isolated on this host: {cause}.", *fixes, WITHOUT]))


def forbidding() -> list[Forbidding]:
    """The kernel's settings that forbid sandboxes to this user."""
    root = os.geteuid() == 0
    return [each for each in _FORBIDDING if _setting(each.name) == each.now and (each.root or not root)]


def trial() -> str:
    """Whether bubblewrap can make the namespaces of a sandbox here: empty, or its complaint. Takes some 10 ms."""
    argv = ["bwrap", *_APART, "--unshare-user", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"


def _setting(name: str) -> str:
    path = Path("/proc/sys") / name
    return path.read_text().strip() if path.exists() else ""
