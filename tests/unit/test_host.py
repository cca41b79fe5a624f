"""How much memory the pool takes where nothing is set."""

import logging
import re
import resource

import pytest

from upcall.errors import Misconfigured
from upcall.host import default_pool_memory, pool_memory, remark_on_others, usable_memory, within_files
from upcall.model.sizes import Bounds

ACTION = Bounds(128, 512, 256)


def test_the_pool_takes_three_quarters_of_what_may_be_used() -> None:
    assert 64 * 1024**2 < usable_memory() < 1 << 50
    assert default_pool_memory() == usable_memory() * 3 // 4 // 1024**2


def test_what_is_set_counts() -> None:
    assert pool_memory(1000, ACTION) == 1000
    assert pool_memory(None, ACTION) == default_pool_memory()


def test_a_pool_in_which_no_usual_action_fits_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"--memory: 255 MB .* less than the 256 MB"):
        pool_memory(255, ACTION)
    with pytest.raises(Misconfigured, match=r"MB \(75 % of the RAM, for all running actions together\) is less"):
        pool_memory(None, Bounds(1, 1 << 40, 1 << 40))


@pytest.mark.parametrize(
    ("memory", "says"),
    [(256, "actions of more than 256 MB never run; 512 MB are allowed"), (1 << 30, "more than the .* there are")],
)
def test_a_doubtful_size_is_remarked(memory: int, says: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "upcall"):
        assert pool_memory(memory, ACTION) == memory
    assert len(caplog.messages) == 1
    assert re.search(says, caplog.text)


def test_only_containers_that_are_held_are_in_this_process_group(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an engine's, beside a pod that has little memory of its own."""
    monkeypatch.setattr("upcall.host._group_limits", lambda: [300 << 20])
    assert (pool_memory(512, ACTION), caplog.messages) == (512, [])
    assert (pool_memory(1 << 30, ACTION, here=False), caplog.messages) == (1 << 30, [])
    assert pool_memory(512, ACTION, held=True) == 512
    assert "512 MB are more than the 300 MB there are" in caplog.text


def test_invokers_that_promise_more_than_there_is_together_are_remarked_on(caplog: pytest.LogCaptureFixture) -> None:
    part = usable_memory() // 1024**2 // 3
    remark_on_others(part, {})
    remark_on_others(part, {"invoker0": part})
    assert not caplog.messages
    remark_on_others(part, {"invoker0": part, "invoker2": part + 9})
    (text,) = caplog.messages
    assert f"{part} MB here and those of invoker0 ({part} MB) and invoker2 ({part + 9} MB)" in text


def test_no_more_memory_is_used_than_containers_may_have_files_open(caplog: pytest.LogCaptureFixture) -> None:
    may = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = (may - 128) // 6 * 128
    assert within_files(most, ACTION) == most
    assert not caplog.messages
    assert within_files(most + 1, ACTION) == most
    assert f"{most} MB are used of {most + 1} MB" in caplog.text
    assert (pool_memory(most + 1, ACTION), pool_memory(most + 1, ACTION, held=True)) == (most + 1, most)
    assert within_files(1 << 40, Bounds(1, 1 << 40, 1 << 39)) == 1 << 39
