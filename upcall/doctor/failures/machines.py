"""What can be wrong with a machine on which `upcall serve` is to run."""

from upcall.doctor.finding import Failure

MACHINES = (
    Failure(
        id="LOCAL-01",
        severity="error",
        symptom="Actions cannot be isolated on this host; bwrap: No permissions to create new namespace",
        cause="Who is not root cannot make user namespaces here, in which actions are kept apart: {setting}.",
        fix="{mend} (as root; in /etc/sysctl.d it lasts), or run upcall as root, or take --driver docker.",
        words={
            "setting": "the kernel's settings forbid it",
            "mend": "sysctl -w kernel.unprivileged_userns_clone=1 (on Ubuntu: "
            "kernel.apparmor_restrict_unprivileged_userns=0)",
        },
        sources=("node", "text"),
        patterns=(
            r"actions cannot be isolated on this host",
            r"bwrap: (?:no permissions to creat\w+ new namespace|setting up uid map: permission denied|creating new "
            r"namespace failed)",
            r"apparmor=\"denied\" operation=\"userns_create\"",
        ),
    ),
    Failure(
        id="LOCAL-02",
        severity="error",
        symptom="Actions run in sandboxes that bubblewrap makes; it is missing",
        cause="bubblewrap is missing, which makes the sandboxes that actions run in.",
        fix="apt-get install bubblewrap (dnf install bubblewrap), or take --driver docker.",
        sources=("node", "text"),
        patterns=(
            r"sandboxes that bubblewrap makes; it is missing",
            r"no such file or directory: '(?:\S*/)?bwrap'|bwrap: (?:command )?not found",
        ),
    ),
    Failure(
        id="LOCAL-03",
        severity="warning",
        symptom="actions reach the API and DNS alone, and no other network",
        cause="Actions have no way out to other networks: {why}.",
        fix="{fix}. Without it, actions reach the API alone, or with --action-network host all that this host reaches.",
        words={
            "why": "what leads them out is missing",
            "fix": "As root: apt-get install nftables; else: apt-get install passt, and /dev/net/tun open to the user",
        },
        sources=("node", "text"),
        patterns=(
            r"actions reach the api and dns alone, and no other network: (?P<why>[^:\n]+)",
            r"--action-network private cannot be had: (?P<why>[^:\n]+)",
            r"a tenant's network has no way out: (?P<why>[^:\n]+)",
            r"(?P<why>failed to open\(\) /dev/net/tun)",
        ),
    ),
    Failure(
        id="LOCAL-04",
        severity="warning",
        symptom="actions reach no network: a firewall of the host drops what it forwards",
        cause="A firewall of this host drops packets that it does not know, those of actions among them: {chain}.",
        fix="Tell it of upcall's links: iptables -I FORWARD -i uc+ -j ACCEPT, and -o uc+ for the answers (ufw: "
        "ufw route allow in on uc+; Docker's own chain is told by upcall itself).",
        words={"chain": "its chain FORWARD"},
        sources=("node",),
    ),
    Failure(
        id="LOCAL-05",
        severity="warning",
        symptom="no cgroups may be used here: memory and processes are bounded by resource limits alone",
        cause="This process may not make cgroups with these controllers: {lacking}. Memory and processes of actions "
        "are bounded by resource limits alone.",
        fix="Have systemd delegate them (Delegate=yes of the service, as docs/reference/systemd has it; by hand: "
        "systemd-run --user --scope -p Delegate=yes upcall serve), or run it as root.",
        words={"lacking": "memory, pids"},
        sources=("node", "text"),
        patterns=(r"no cgroups may be used here",),
    ),
    Failure(
        id="LOCAL-06",
        severity="error",
        symptom="--memory: 180 MB (75 % of the RAM) is less than the 256 MB that one action usually takes",
        cause="There is not enough memory: {there} MB for actions, and one usually takes {least} MB.",
        fix="Set --memory (it takes what the platform itself needs, too), lower limits.memory-std, or add memory.",
        words={"there": "too few", "least": "256"},
        sources=("node", "text"),
        patterns=(
            r"--memory: (?P<there>\d+) mb [^\n]*is less than the (?P<least>\d+) mb that one action usually takes",
        ),
    ),
)
