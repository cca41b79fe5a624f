"""Topics, groups, pings, and how the Invoker reads its own topic (spec: bus.md §1–§4, §8)."""

import itertools
import statistics

from upcall.testing.conformance import shapes
from upcall.testing.conformance.check import check, equal, faultless, true
from upcall.testing.conformance.target import stopped
from upcall.testing.conformance.wire import LIMIT
from upcall.testing.conformance.world import Action, World


@check("bus.topic", "bus.md §2", "the Invoker's topic exists and has one partition")
def topic(world: World) -> None:
    equal(f"partitions of {world.invoker_topic}", world.wire.topics().get(world.invoker_topic), 1)


@check("bus.topic-settings", "bus.md §2.1", "the topic has upstream's retention, segments and greatest message")
def topic_settings(world: World) -> None:
    found = world.wire.settings(world.invoker_topic)
    for name, value in (
        ("retention.ms", "172800000"),
        ("retention.bytes", "1073741824"),
        ("segment.bytes", "536870912"),
        ("max.message.bytes", str(LIMIT)),
    ):
        equal(name, found[name], value)


@check("bus.topic-kept", "bus.md §2.1", "settings of a topic that exists stay through a start")
def topic_kept(world: World) -> None:
    world.up()
    with stopped(world.target):
        world.wire.set_up(world.invoker_topic, retention_ms="172800001")
    world.result(world.action())
    equal("retention.ms", world.wire.settings(world.invoker_topic)["retention.ms"], "172800001")
    world.wire.set_up(world.invoker_topic, retention_ms="172800000")


@check("bus.group", "bus.md §3", "its group is called as its topic; all that has ended is committed there")
def group(world: World) -> None:
    world.result(world.action())
    name = world.invoker_topic
    world.wait(
        f"the commit of group {name} at the end of the topic",
        lambda: world.wire.committed(name, name) == world.wire.ends(name),
    )


@check("bus.earliest", "bus.md §3", "what was sent while it did not run is run when it does")
def earliest(world: World) -> None:
    world.up()
    action = world.action()
    with stopped(world.target):
        activation = world.begin(action, {"a": 1})
    equal("result", activation.told()["response"]["result"], {"a": 1})


@check("bus.poison", "invoker.md §5.1", "what is no message is skipped, and the next one runs")
def poison(world: World) -> None:
    action = world.action()
    for value in (b"", b"not JSON", b"[]", b"{}", b"\xff\xfe", b"null", b'{"transid":["x",1],"action":{}}'):
        world.wire.send(world.invoker_topic, value)
    equal("result", world.result(action, {"a": 1}), {"a": 1})


@check("bus.units", "bus.md §4", "each message gives its place back once: 400 that end in any way leave none taken")
def units(world: World) -> None:
    action = world.action()
    missing = Action({**action.document, "name": "not-there"}, "1-0")
    illegal = world.action(limits={"memory": world.target.memory_max + 128})
    sent = []
    for number in range(100):
        world.wire.send(world.invoker_topic, b"not JSON")
        sent += [world.begin(each, {"n": number}, blocking=number % 2 == 0) for each in (action, missing, illegal)]
    for each in sent:
        each.ended()
    equal("result", world.result(action, {"a": 1}), {"a": 1})


@check("bus.keys", "bus.md §1", "acks and pings have neither key nor headers, and are UTF-8 JSON")
def keys(world: World) -> None:
    equal("result", world.result(world.action(), {"text": "schön 💡"}), {"text": "schön 💡"})
    world.ping()
    for heard in (*world.wire.heard(world.ack_topic), *world.wire.heard(world.health_topic)):
        equal("key", heard.key, None)
        true(f"it has headers: {heard.headers}", not heard.headers)
        heard.value.decode()


@check("bus.ping", "bus.md §8", "pings have every member that upstream's readers demand; the id is called `name`")
def ping(world: World) -> None:
    faultless("ping", shapes.ping_faults(world.ping()))


@check("bus.ping-names", "bus.md §6.4", "pings tell uniqueName and displayedName where they are given")
def ping_names(world: World) -> None:
    name = world.ping()["name"]
    equal("uniqueName", name.get("uniqueName"), world.target.unique_name or None)
    equal("displayedName", name.get("displayedName"), world.target.displayed_name or None)


@check("bus.ping-bytes", "bus.md §6.4", "userMemory is in bytes, with unit B")
def ping_bytes(world: World) -> None:
    size = world.ping()["name"]["userMemory"]
    true(f"userMemory is {size!r}", size.endswith(" B") and int(size[:-2]) % (1 << 20) == 0)


@check("bus.ping-period", "bus.md §8", "a ping comes each second")
def ping_period(world: World) -> None:
    begun = len(world.pings)
    world.wait("four pings", lambda: len(world.pings) >= begun + 4)
    times = [heard.at for heard, _ in world.pings[begun:]]
    usual = statistics.median(b - a for a, b in itertools.pairwise(times))
    true(f"the usual time between two pings is {usual:g} ms", 800 <= usual <= 1300)


@check("bus.order", "invoker.md §5", "messages of one action are taken in the order of the topic")
def order(world: World) -> None:
    memory = min(world.memory, world.target.memory_max)
    action = world.action(limits={"memory": memory})
    sent = [world.begin(action, {"n": number}) for number in range(10)]
    results = [each.ended().acks[0].offset for each in sent]  # a slot may be freed later, when logs are complete
    equal("order of the results", results, sorted(results))
