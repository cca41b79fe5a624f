"""bus.kafka_window: units, and what is seen beyond them."""

from upcall.bus.kafka_window import AHEAD, BYTES, LARGE, Window
from upcall.model.messages import ActivationMessage, Message
from upcall.model.names import FullyQualifiedName
from upcall.testing import a_message


def a_probe(
    name: str = "invokerHealthTestAction0", path: str = "whisk.system", id: str = "sid_invokerHealth"
) -> ActivationMessage:
    message = a_message(blocking=False)
    message.transid = [id, 1_764_000_000_000]
    message.action = FullyQualifiedName(path, name, "0.0.1")
    return message


class Reader:
    """Brings what it was asked for, numbered."""

    def __init__(self) -> None:
        self.asked = 0
        self.brought = 0
        self.delivered: list[int] = []
        self.window = Window(self.deliver, self.ask)

    def ask(self, count: int) -> None:
        self.asked += count

    def deliver(self, token: int, message: Message, started: bool) -> None:
        self.delivered.append(token)

    def pull(self, count: int) -> None:
        self.window.pull(count)
        self.window.refill(0)

    def bring(self, count: int, size: int = 2000, message: Message | None = None) -> None:
        assert count <= self.asked
        self.asked -= count
        self.window.arrived(count)
        for _ in range(count):
            self.window.put(self.brought, message or a_message(), False, size)
            self.brought += 1
        self.window.refill(0)


def a_reader(units: int, *, waiting: int = 0) -> Reader:
    reader = Reader()
    reader.pull(units)
    reader.bring(units)
    while waiting:
        brought = min(waiting, reader.asked)
        reader.bring(brought)
        waiting -= brought
    return reader


def test_nothing_is_asked_for_before_the_first_pull() -> None:
    reader = Reader()
    reader.window.refill(0)
    assert reader.asked == 0


def test_what_comes_beyond_the_units_waits_in_order() -> None:
    reader = a_reader(2, waiting=3)
    assert reader.delivered == [0, 1]
    reader.pull(2)
    assert reader.delivered == [0, 1, 2, 3]


def test_a_probe_passes_those_that_wait_and_the_next_unit_pays_for_it() -> None:
    reader = a_reader(2, waiting=3)
    reader.bring(1, message=a_probe())
    assert reader.delivered == [0, 1, 5]
    reader.pull(1)
    assert reader.delivered == [0, 1, 5]
    reader.pull(1)
    assert reader.delivered == [0, 1, 5, 2]


def test_only_a_controllers_probe_is_one() -> None:
    reader = a_reader(1)
    for other in (a_probe("hello"), a_probe(path="guest"), a_probe(id="tid")):
        reader.bring(1, message=other)
    assert reader.delivered == [0]


def test_small_messages_are_looked_at_up_to_a_number() -> None:
    reader = a_reader(1, waiting=AHEAD)
    assert reader.asked == 0
    reader.pull(5)
    assert reader.asked == 5


def test_large_messages_are_looked_at_up_to_their_bytes() -> None:
    reader = a_reader(1)
    waiting = 0
    while reader.asked:
        waiting += 1
        reader.bring(1, LARGE)
    assert waiting == BYTES // LARGE


def test_what_has_arrived_and_cannot_be_read_yet_is_not_asked_for_again() -> None:
    reader = a_reader(1)
    asked = reader.asked
    reader.asked = 0
    reader.window.arrived(asked)
    reader.window.refill(asked)
    assert reader.asked == 0
    reader.window.refill(asked - 2)
    assert reader.asked == 2


def test_a_consumer_that_pulls_while_it_is_called_grows_no_stack() -> None:
    reader = a_reader(1, waiting=AHEAD)

    def deliver(token: int, message: Message, started: bool) -> None:
        reader.delivered.append(token)
        reader.window.pull(1)

    reader.window._deliver = deliver
    reader.pull(1)
    assert reader.delivered == list(range(AHEAD + 1))
