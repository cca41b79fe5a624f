"""Where an activation's log goes (spec: logs.md §5, §6; bus.md §7.1)."""

import json
from pathlib import Path

from tests.unit.invoker.conftest import Stage, answers
from upcall.logs.files import LogFiles
from upcall.logs.places import Place
from upcall.ports import Lines
from upcall.testing import Reply, an_action

LINE = "2026-01-02T03:04:05.123456789Z stdout: hi"


async def test_files_have_what_the_record_has(stage: Stage, tmp_path: Path) -> None:
    with LogFiles(tmp_path) as files:
        async with stage.started(logs=Place(files=files)):
            await stage.call(an_action("first"))
            stage.container.lines = Lines([LINE])
            stage.containers.script = answers(Reply(status=502))
            message = await stage.call(an_action("first"))
            record = await stage.stored(message)
    assert [line[31:] for line in record.logs] == [
        "stdout: hi",
        "stderr: The action did not initialize or run as expected. Log data might be missing.",
    ]
    (path,) = tmp_path.iterdir()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    mine = [each for each in found if each["activationId"] == message.activation_id]
    assert [each.get("log") for each in mine] == [
        "hi\n",
        "The action did not initialize or run as expected. Log data might be missing.\n",
        None,
    ]
    assert mine[-1]["logs"] == record.logs
    assert {each["namespaceId"] for each in mine} == {message.user.namespace.uuid}


async def test_what_is_left_to_a_log_driver_is_not_collected_and_nothing_waits_for_it(stage: Stage) -> None:
    async with stage.started(logs=Place(collected=False)):
        for blocking in (True, False):
            message = await stage.call(an_action("hello"), blocking=blocking)
            stage.container.lines = Lines([LINE])
            assert stage.shapes(message) == (["combined"] if blocking else ["completion"])
            assert (await stage.stored(message)).logs == []
        stage.containers.script = answers(Reply(status=502))
        assert (await stage.stored(await stage.call(an_action("fails")))).logs == []
    assert stage.container.collected == []
