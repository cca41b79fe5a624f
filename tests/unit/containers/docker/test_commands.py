"""What the engine was told is counted by upstream's names (spec: metrics.md §3)."""

import pytest

from upcall.containers.docker.commands import Commands


def told() -> Commands:
    commands = Commands()
    for _ in range(2):
        with commands.timed("run"):
            pass
    with pytest.raises(TimeoutError), commands.timed("rm"):
        raise TimeoutError
    return commands


def counts(commands: Commands, tags: bool) -> dict[str, float]:
    """Samples that count, by name, with the label."""
    return {
        f"{sample.name}{''.join(sample.labels.values())}": sample.value
        for family in commands.metrics(tags)
        for sample in family.samples
        if sample.name.endswith(("_total", "_count"))
    }


def test_what_goes_well_is_finished_and_what_raises_has_failed() -> None:
    assert counts(told(), tags=True) == {
        "counter_invoker_docker_start_totalrun": 2,
        "counter_invoker_docker_start_totalrm": 1,
        "histogram_invoker_docker_finish_seconds_countrun": 2,
        "counter_invoker_docker_error_totalrm": 1,
        "histogram_invoker_docker_error_seconds_countrm": 1,
    }


def test_without_tags_the_command_is_part_of_the_name() -> None:
    assert counts(told(), tags=False) == {
        "counter_invoker_docker_run_start_total": 2,
        "counter_invoker_docker_rm_start_total": 1,
        "histogram_invoker_docker_run_finish_seconds_count": 2,
        "counter_invoker_docker_rm_error_total": 1,
        "histogram_invoker_docker_rm_error_seconds_count": 1,
    }


def test_what_is_under_way_has_begun_and_not_ended() -> None:
    commands = Commands()
    with commands.timed("pull"):
        assert counts(commands, tags=True) == {"counter_invoker_docker_start_totalpull": 1}
