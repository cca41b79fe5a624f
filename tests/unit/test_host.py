"""How much memory the pool takes where nothing is set."""

from upcall.host import default_pool_memory, usable_memory


def test_the_pool_takes_three_quarters_of_what_may_be_used() -> None:
    assert 64 * 1024**2 < usable_memory() < 1 << 50
    assert default_pool_memory() == usable_memory() * 3 // 4 // 1024**2
