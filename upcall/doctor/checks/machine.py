"""What keeps `upcall serve` from starting on a machine, or makes it isolate less (spec: kubernetes.md §12)."""

from collections.abc import Callable, Iterator

from upcall.containers.sandbox.firewall import LINKS
from upcall.doctor.facts.machine import Machine
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import CommandPatch, Finding

HERE = "this host"
GROUPS = ("memory", "pids")
"""Controllers without which bounds of containers are weaker. Without the freezer, init stops them."""


def sandboxes(machine: Machine) -> Iterator[Finding]:
    """Tried, and not guessed: a setting that forbids what is possible all the same is blamed for nothing."""
    if machine.missing:
        patch = CommandPatch(argv=("apt-get", "install", "bubblewrap"))
        yield FAILURES["LOCAL-02"].found(HERE, "bwrap is in no folder of PATH", patch)
    elif machine.refused:
        words, patch = {}, None
        if machine.forbidding:
            key, now, wanted = machine.forbidding[0]
            patch = CommandPatch(argv=("sysctl", "-w", f"{key}={wanted}"))
            words = {"setting": f"{key} is {now}", "mend": f"sysctl -w {key}={wanted}"}
        yield FAILURES["LOCAL-01"].found(HERE, machine.refused, patch, words)


def ways(machine: Machine) -> Iterator[Finding]:
    if machine.no_way_out:
        cause, _, fix = machine.no_way_out.rpartition(": ")
        yield FAILURES["LOCAL-03"].found(HERE, cause or fix, None, {"why": cause or fix, "fix": fix})
    if machine.dropping:
        patch = CommandPatch(argv=("iptables", "-I", "FORWARD", "-i", f"{LINKS}+", "-j", "ACCEPT"))
        yield FAILURES["LOCAL-04"].found(HERE, machine.dropping, patch, {"chain": machine.dropping})


def groups(machine: Machine) -> Iterator[Finding]:
    if lacking := [name for name in GROUPS if name not in machine.groups]:
        evidence = f"usable: {', '.join(machine.groups) or 'none'}"
        yield FAILURES["LOCAL-05"].found(HERE, evidence, None, {"lacking": ", ".join(lacking)})


def memory(machine: Machine) -> Iterator[Finding]:
    if machine.memory < machine.least:
        evidence = f"75 % of the RAM that may be used are {machine.memory} MB"
        words = {"there": machine.memory, "least": machine.least}
        yield FAILURES["LOCAL-06"].found(HERE, evidence, None, words)


def room(machine: Machine) -> Iterator[Finding]:
    """Fewer files or processes than containers would take for which there is memory."""
    there = machine.room
    what = f"{there.containers} containers, for which there is memory"
    if there.files < there.files_wanted:
        limit = f"{there.files} open files, and {there.files_wanted} are wanted by {what}"
        words = {"limit": limit, "setting": f"ulimit -n {there.files_wanted}, or LimitNOFILE= of the service"}
        yield FAILURES["HOST-14"].found(HERE, f"RLIMIT_NOFILE {there.files}", None, words)
    if 0 <= there.tasks < there.tasks_wanted:
        limit = f"{there.tasks} processes and threads, and {there.tasks_wanted} are wanted by {what}"
        words = {"limit": limit, "setting": f"TasksMax={there.tasks_wanted} of the service, or ulimit -u"}
        yield FAILURES["HOST-14"].found(HERE, f"pids.max or RLIMIT_NPROC {there.tasks}", None, words)


CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (sandboxes, ways, groups, memory, room)
