"""Containers of a Docker engine, as the engine tells of them (spec: container.md §4); an operator's `extra-args` change
what is expected here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from upcall.testing.conformance.check import NotInReach, check, equal, true
from upcall.testing.conformance.code import ECHO
from upcall.testing.conformance.engine import Engine
from upcall.testing.conformance.target import killed, stopped
from upcall.testing.conformance.world import Action, World

NOWHERE = "127.0.0.1:1"
"""A registry where nobody answers."""
EMPTY = f"{NOWHERE}/conformance/empty"
FAILING = "def main(args):\n    raise ValueError('asked to')"
DEVELOPER = 2


def engine(world: World) -> Engine:
    if not world.target.docker:
        raise NotInReach("the Docker engine that it uses is not known: --docker ADDRESS")
    return Engine(world.target.docker)


def prefix(world: World) -> str:
    """What the names of its containers begin with."""
    name = world.ping()["name"]
    return re.sub(r"[^a-zA-Z0-9_.-]", "", f"wsk{name.get('uniqueName') or ''}{name['instance']}") + "_"


def containers(world: World, state: str = "") -> dict[str, str]:
    return engine(world).containers(prefix(world), state)


def of(world: World, action: Action) -> dict[str, str]:
    """Names by id of the containers that an action has."""
    ending = "_".join(["", *(re.sub(r"[^a-zA-Z0-9_]", "", part) for part in (world.namespace, name(action)))])
    return {id: found for id, found in containers(world).items() if found.endswith(ending)}


def name(action: Action) -> str:
    found: str = action.document["name"]
    return found


def made(world: World, memory: int = 128, **members: Any) -> tuple[str, str, dict[str, Any]]:
    """Id, name and description of the container that is made for a new action."""
    if world.target.stem == str(memory):
        raise NotInReach(f"actions of {memory} MB get its stem cells")
    action = world.action(ECHO, limits={"memory": memory}, **members)
    world.run(action, {})
    found = of(world, action)
    equal("containers of one action", len(found), 1)
    ((id, called),) = found.items()
    return id, called, engine(world).inspect(id)


def own(world: World, image: str) -> Any:
    """The response of an action with this image."""
    action = world.action(exec={"kind": "blackbox", "image": image, "binary": False})
    return world.run(action, {})["response"]


@contextmanager
def empty(world: World, tag: str) -> Iterator[str]:
    """An image on the engine that its registry does not have, and that has no program."""
    asked = engine(world)
    asked.bring(EMPTY, tag, "/no/such/program")
    try:
        yield f"{EMPTY}:{tag}"
    finally:
        asked.remove_image(f"{EMPTY}:{tag}")


@check("docker.names", "container.md §4.5", "names: prefix, number, invoking namespace and action, each stripped")
def names(world: World) -> None:
    action = f"Odd na-me.x@{world.tag}"
    _, called, _ = made(world, name=action)
    space = world.namespace.replace("-", "")
    pattern = rf"{re.escape(prefix(world))}[1-9][0-9]*_{space}_Oddnamex{world.tag}"
    true(f"a container is called {called}", re.fullmatch(pattern, called))


@check("docker.stem-names", "container.md §4.5", "names of stem cells: prefix, number, `prewarm`, the kind stripped")
def stem_names(world: World) -> None:
    if not world.target.stem:
        raise NotInReach("it keeps no stem cell: --stem MB")
    kind = re.sub(r"[^a-zA-Z0-9_]", "", world.target.python)
    pattern = re.compile(rf"{re.escape(prefix(world))}[1-9][0-9]*_prewarm_{kind}")
    world.wait("a stem cell", lambda: any(map(pattern.fullmatch, containers(world).values())))


@check("docker.memory", "container.md §4.1", "memory is the action's limit, and there is no swap besides")
def memory(world: World) -> None:
    host = made(world, 160)[2]["HostConfig"]
    equal("Memory and MemorySwap", (host["Memory"], host["MemorySwap"]), (160 << 20, 160 << 20))


@check("docker.cpu", "container.md §4.1", "cpu shares: 1024 for as many as fit, rounded down, at least 2")
def cpu(world: World) -> None:
    for limit in (128, 160):
        host = made(world, limit)[2]["HostConfig"]
        equal(f"CpuShares of {limit} MB", host["CpuShares"], max(1024 // (world.memory // limit), 2))


@check(
    "docker.bounds",
    "container.md §4.1",
    "NET_RAW and NET_ADMIN dropped, 1024 files, 1024 processes, not privileged, log driver json-file",
)
def bounds(world: World) -> None:
    host = made(world)[2]["HostConfig"]
    equal("CapDrop", sorted(host["CapDrop"]), ["NET_ADMIN", "NET_RAW"])
    equal("Ulimits", host["Ulimits"], [{"Name": "nofile", "Soft": 1024, "Hard": 1024}])
    equal("PidsLimit", host["PidsLimit"], 1024)
    equal("Privileged", host["Privileged"], False)
    equal("LogConfig.Type", host["LogConfig"]["Type"], "json-file")


@check("docker.api-host", "container.md §4.1", "the first variable is __OW_API_HOST, a URL without a scheme's own port")
def api_host(world: World) -> None:
    variable = made(world)[2]["Config"]["Env"][0]
    true(
        f"it is {variable}",
        re.fullmatch(r"__OW_API_HOST=(?!https:.*:443$|http:.*:80$)https?://([^/:]+|\[[0-9a-f:]+\])(:\d+)?", variable),
    )


@check("docker.published", "container.md §4.1", "no port of a container is published")
def published(world: World) -> None:
    found = made(world)[2]["NetworkSettings"]["Ports"] or {}
    equal("published ports", [port for port, hosts in found.items() if hosts], [])


@check("docker.pull", "container.md §4.2", "an image that cannot be fetched and is not there: 2, and the exact text")
def pull(world: World) -> None:
    engine(world)
    for tag in (":latest", "", ":1"):
        image = f"{NOWHERE}/conformance/none{tag}"
        refused(own(world, image), f"Failed to pull container image '{image}'.")


@check("docker.pull-latest", "container.md §4.3", "`latest` has to come from its registry, though a copy is there")
def pull_latest(world: World) -> None:
    with empty(world, "latest") as image:
        refused(own(world, image), f"Failed to pull container image '{image}'.")


@check(
    "docker.pull-fixed",
    "container.md §4.2",
    "of another tag the copy that is there is tried; its program is missing: 2, and the exact text",
)
def pull_fixed(world: World) -> None:
    with empty(world, f"v{world.tag}") as image:
        refused(own(world, image), f"executable file not found in image {image}")
        world.wait("the removal of what could not start", lambda: not containers(world, "created"))


def refused(response: Any, text: str) -> None:
    equal("response", (response["statusCode"], response["result"]), (DEVELOPER, {"error": text}))


@check("docker.removed", "container.md §7.1", "after a developer error the engine has the container no more")
def removed(world: World) -> None:
    action = world.action(FAILING)
    engine(world)
    equal("status", world.run(action, {})["response"]["statusCode"], DEVELOPER)
    world.wait("its removal", lambda: not of(world, action))


@check("docker.stopped", "container.md §4.5", "when it has stopped in order it has left no container")
def left(world: World) -> None:
    made(world)
    with stopped(world.target):
        equal("what is left", containers(world), {})


@check("docker.killed", "container.md §4.5", "what a killed one has left goes at the next start, before anything runs")
def swept(world: World) -> None:
    id = made(world)[0]
    with killed(world.target):
        true("a kill removes containers: nothing is seen here", id in containers(world))
    world.result(world.action(ECHO), {})
    true("it is still there", id not in containers(world))
