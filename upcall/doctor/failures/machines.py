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
        ),
    ),
)
