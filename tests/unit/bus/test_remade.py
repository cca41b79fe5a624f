"""bus.kafka_remade: of a topic that is read again, only what is new is taken."""

from upcall.bus.kafka_remade import Remade
from upcall.model.messages import PingMessage
from upcall.testing import a_message, an_instance


def test_what_was_taken_since_the_last_look_goes_on_under_its_token() -> None:
    remade, old, new = Remade(), a_message(), a_message()
    assert remade.take(0, 5, old, 105) is None
    remade.look(True)
    assert remade.take(0, 6, new, 106) is None
    remade.look(False)
    assert remade.take(0, 5, new, 205) is None, "another activation at this offset"
    assert remade.take(0, 6, new, 206) == 106
    assert (remade.token(106), remade.token(105), remade.token(205)) == (206, 105, 205)


def test_what_was_taken_before_the_last_look_is_of_the_old_topic() -> None:
    remade, message = Remade(), a_message()
    remade.take(0, 0, message, 100)
    remade.look(True)
    remade.look(False)
    assert remade.take(0, 0, message, 200) is None


def test_a_topic_that_is_made_twice_keeps_the_first_token() -> None:
    remade, message = Remade(), a_message()
    for token in (100, 200, 300):
        before = remade.take(1, 0, message, token)
        assert before == (token - 100 if token > 100 else None)
        remade.look(False)
    assert remade.token(100) == 300


def test_partitions_are_apart_and_only_activations_count() -> None:
    remade, message, ping = Remade(), a_message(), PingMessage(an_instance())
    remade.take(0, 0, message, 100)
    remade.take(0, 1, ping, 101)
    remade.look(False)
    assert remade.take(1, 0, message, 200) is None
    assert remade.take(0, 1, ping, 201) is None
