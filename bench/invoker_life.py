"""The Invoker's start and memory: exec → `/ready`; resident memory idle, after many activations, with many waiting."""

import statistics

from bench.controller import Template
from bench.processes import cpu, resident
from bench.stage import World, invoker

BACKLOG = 10_000
"""Messages in the topic while 256 run."""


def starts(world: World, url: str, count: int) -> str:
    """`count` lives, one after another."""
    seconds, spent = [], []
    for _ in range(count):
        with invoker(world, url, 4) as node:
            seconds.append(node.seconds)
            spent.append(cpu(node.pid))
    wall = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"
    return f"exec to /ready {wall}, CPU of its process {statistics.median(spent):.2f} s"


def memory(world: World, url: str, template: Template, count: int) -> str:
    """MiB of a fresh Invoker: idle; when `count` activations have ended, 256 in flight; and its peak when `BACKLOG`
    messages were sent at once."""
    with invoker(world, url, 256) as node:
        found = [f"RSS idle {resident(node.pid):.0f} MiB"]
        world.controller.run(node.topic, template, 256, count)
        found.append(f"after {count:,} activations {resident(node.pid):.0f}")
        world.controller.send(node.topic, template, BACKLOG)
        world.controller.await_acks(BACKLOG)
        found.append(f"after {BACKLOG:,} that waited {resident(node.pid):.0f} (peak {resident(node.pid, 'VmHWM'):.0f})")
    return ", ".join(found)
