"""What is remembered of a pool."""

from tests.unit.core.pool_builders import a_pool, arrive, job, play, warm
from upcall.core.events import JobDone
from upcall.core.story import LENGTH, LIVES, of_slot


def test_lives_are_kept_apart_from_what_was_run() -> None:
    pool = a_pool(warm("hello"))
    made = list(pool.lives)
    assert [what for _, what, _, _ in made][:3] == ["→ Create", "Created", "Inited"]
    for number in range(LENGTH):
        again = job("hello")
        arrive(pool, again, now=float(number))
        play(pool, JobDone(1, again, True), float(number))
    assert list(pool.lives) == made
    assert len(pool.story) == LENGTH
    story = of_slot(pool.story, pool.lives, 1)
    assert story[: len(made)] == made
    assert story[-1][1] == "JobDone → Pull"
    assert [entry[0] for entry in story] == sorted(entry[0] for entry in story)
    assert len(set(story)) == len(story)
    assert pool.lives.maxlen == LIVES
