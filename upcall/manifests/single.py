"""The whole platform in one pod: `upcall serve`, records in SQLite (`--platform single`)."""

import msgspec

from upcall.manifests.actions import apart
from upcall.manifests.document import Object
from upcall.manifests.driver import DATA, Needs, needs
from upcall.manifests.invoker import GRACE, account, namespace, role
from upcall.manifests.pod import fields, lingering, probes, resources
from upcall.manifests.profiles import Profile
from upcall.manifests.servers import Server, objects
from upcall.manifests.wanted import LONGEST, SLACK, Wanted

API = 3233
PART = "upcall"


def single(wanted: Wanted, profile: Profile) -> list[Object]:
    need = needs(wanted, profile)
    return [
        *namespace(wanted.namespace, need.admission),
        account(wanted, PART),
        *role(wanted, PART, need.rules),
        *objects(wanted, _server(wanted, need)),
        *apart(msgspec.structs.replace(wanted, api_host="its own"), (API,)),
    ]


def _server(wanted: Wanted, need: Needs) -> Server:
    return Server(
        part=PART,
        ports={"http": API},
        headless=False,
        folder="" if wanted.driver == "docker" else DATA,
        volumes=need.volumes,
        mounts=need.mounts,
        remark="One, and no more: the database is a file of this pod's.",
        pod={
            "serviceAccountName": wanted.of(PART),
            "automountServiceAccountToken": bool(need.rules),
            "terminationGracePeriodSeconds": LONGEST + SLACK,
            **need.users,
            "securityContext": need.pod,
        },
        container={
            "image": wanted.full_image,
            "args": ["upcall", "serve"],
            "env": [
                {"name": "UPCALL_HOST", "value": "0.0.0.0"},  # noqa: S104 - the pod's own
                {"name": "UPCALL_PORT", "value": str(API)},
                {"name": "UPCALL_GRACE", "value": f"{GRACE} s"},
                *({"name": name, "value": value} for name, value in need.environment.items()),
                *fields(need),
            ],
            **probes("http"),
            **lingering(),
            "resources": resources(wanted),
            "securityContext": need.container,
        },
    )
