"""A consumer that takes its time with a topic that is full: how many came, and what memory that took.

    python -m tests.system.slow_consumer BOOTSTRAP TOPIC COUNT

Five, then none for a while in which the client could fetch everything, then ten at a time until COUNT were taken.
Prints how much the peak of the resident memory grew meanwhile, in KB.
"""

import asyncio
import sys
from pathlib import Path

from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.model.messages import Message, Topic
from upcall.testing import unexpected, until

PAUSE = 5.0


def peak() -> int:
    """Not getrusage's: that one has the parent's from before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


async def main(bootstrap: str, topic: str, count: int) -> None:
    bus, taken = KafkaBus(Brokers(hosts=bootstrap), 1 << 20), list[int]()

    def deliver(offset: int, message: Message, started: bool) -> None:
        taken.append(offset)
        feed.done(offset)
        if len(taken) % 10 == 0:
            asyncio.get_running_loop().call_later(0.001, feed.pull, 10)

    before = peak()
    feed = await bus.feed(Topic(topic, "activation"), topic, deliver, unexpected)
    feed.pull(5)
    await until(lambda: len(taken) == 5)
    await asyncio.sleep(PAUSE)
    feed.pull(5)
    await until(lambda: len(taken) >= count, 100)
    await feed.close()
    await bus.close()
    assert taken == list(range(count))
    print(peak() - before)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
