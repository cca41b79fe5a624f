"""What a container prints, through FIFOs and through the engine's stream (spec: logs.md)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.docker.contained import SENTINEL
from tests.docker.printing import ENDS, MB, Boxes, boxes
from tests.system.engine import Engine
from upcall.model import texts

MISSING = f"stderr: {texts.LOGS_MISSING}"


@pytest.fixture(params=["fifo", "stream"])
async def made(inside: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Boxes]:
    async with boxes(inside, tmp_path, request.param) as found:
        yield found


async def test_lines_of_both_streams_are_the_activations(made: Boxes) -> None:
    box = await made.make()
    for number in range(3):
        await box.run(f"print('out', {number}); print('err', {number}, file=sys.stderr); {ENDS}")
        assert sorted(await box.texts()) == [f"stderr: err {number}", f"stdout: out {number}"]
    assert made.tries == 1


async def test_what_is_printed_before_the_first_activation_is_its(made: Boxes) -> None:
    box = await made.make(command=("sh", "-c", "echo early; sleep 1000"))
    found: list[str] = []
    async with asyncio.timeout(30):
        while not found:
            found = await box.texts(complete=False)
    assert found == ["stdout: early"]


async def test_sentinels_that_come_after_the_answer_are_waited_for(made: Boxes) -> None:
    box = await made.make()
    late = f"threading.Timer(0.3, lambda: (print('late', flush=True), {ENDS.replace(';', ',')})).start()"
    await box.run(f"print('in time'); {late}")
    assert await box.texts() == ["stdout: in time", "stdout: late"]
    await box.run(f"print('next', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: next"]


async def test_a_missing_sentinel_is_told_and_the_next_activation_has_its_own_lines_alone(made: Boxes) -> None:
    box = await made.make()
    begun = time.monotonic()
    await box.run(f"print('first', flush=True); os.write(2, b'{SENTINEL}\\n')")
    taken = await box.take()
    assert time.monotonic() - begun > 2
    assert ([line[31:] for line in taken.lines], taken.failed) == (["stdout: first", MISSING], True)
    await box.run(f"os.write(1, b'too late\\n{SENTINEL}\\n'); print('second', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: second"]
    await box.run(f"print('third', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: third"]


async def test_after_an_error_of_the_developer_nothing_is_missing(made: Boxes) -> None:
    box = await made.make()
    await box.run("print('what there is', flush=True)")
    taken = await box.take(complete=False)
    assert ([line[31:] for line in taken.lines], taken.failed) == (["stdout: what there is"], False)


async def test_a_foreign_image_is_given_a_little_time(made: Boxes) -> None:
    box = await made.make(sentinels=False)
    found = []
    for number in range(20):
        await box.run(f"print({number})")
        found.append(await box.texts())
        assert made.way == "stream" or found[-1] == [f"stdout: {number}"]
    assert [line for lines in found for line in lines] == [f"stdout: {number}" for number in range(20)]


async def test_a_last_line_that_nothing_ends_is_a_line(made: Boxes) -> None:
    box = await made.make()
    await box.run(f"sys.stdout.write('begun'); sys.stdout.flush(); {ENDS}")
    assert await box.texts() == ["stdout: begun"]


async def test_overlapping_activations_take_what_is_there_and_wait_for_nothing(made: Boxes) -> None:
    box = await made.make(concurrency=2)
    await box.run(f"print('one', flush=True); {ENDS}")
    found = await box.texts()
    assert await box.texts() == []
    if made.way == "fifo":
        assert found == ["stdout: one"]


async def test_who_prints_the_sentinel_is_not_cut_short(made: Boxes) -> None:
    box = await made.make()
    await box.run(f"print('before', flush=True); {ENDS}; print('after', flush=True); {ENDS}")
    assert (await box.texts())[0] == "stdout: before"
    await box.run(f"print('next', flush=True); {ENDS}")
    found = await box.texts()
    assert found[-1] == "stdout: next"
    if made.way == "fifo":
        assert found == ["stdout: next"]


async def test_the_last_words_of_a_container_are_there_without_waiting(made: Boxes) -> None:
    box = await made.make(command=("sh", "-c", "echo last words; exit 3"))
    assert await box.ended() == 3
    begun = time.monotonic()
    box.output.over()
    assert await box.texts() == ["stdout: last words", MISSING]
    assert time.monotonic() - begun < 2


async def test_without_a_limit_nothing_is_kept_and_the_container_goes_on(made: Boxes) -> None:
    box = await made.make()
    await box.run("print('x' * 10_000_000)")
    assert (await box.take(0, complete=False)).lines == []
    await box.run(f"print('next', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: next"]


async def test_who_exceeds_the_limit_keeps_what_fits_and_the_next_one_starts_anew(made: Boxes) -> None:
    box = await made.make()
    for _ in range(2):
        await box.run(f"print(('x' * 1023 + '\\n') * 5000, flush=True); {ENDS}")
        taken = await box.take(MB)
        assert not taken.failed
        assert taken.lines[-1][31:] == f"stderr: {texts.logs_truncated(MB)}"
        assert {line[31:] for line in taken.lines[:-1]} == {f"stdout: {'x' * 1023}"}
    await box.run(f"print('next', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: next"]


ODD = r"""
text = ['plain', '"quoted" \\ back', '<a href=x>&amp;</a>', 'tab\tand\x01\x1f\x7f', 'caf\xe9 \u2603 \U0001f4a1', '',
        'dos\r', 'mid\rdle', '\u2028 \u2029', 'x' * 16383, 'y' * 16385, 'z' * 50_000]
for line in text:
    os.write(1, (line + '\n').encode())
os.write(1, b'bad \xff\xfe \xe2\x98 bytes\n')
"""


async def test_the_size_of_a_line_is_what_the_engine_writes(inside: Engine, tmp_path: Path) -> None:
    async with boxes(inside, tmp_path, "stream") as made:
        box = await made.make()
        await box.run(ODD + ENDS)
        await box.take()
        written = Path(inside.inspect(box.id)["LogPath"]).read_text().splitlines()
        written = [line for line in written if SENTINEL not in line]
        size = sum(len(line.encode()) + 1 + 30 - len(json.loads(line)["time"]) for line in written)
        await box.run(ODD + ENDS)
        lines = (await box.take(size)).lines
        await box.run(ODD + ENDS)
        cut = (await box.take(size - 1)).lines
    assert len(lines) == len(written)
    assert cut[-1][31:] == f"stderr: {texts.logs_truncated(size - 1)}"
    assert [line[31:] for line in cut[:-1]] == [line[31:] for line in lines[:-1]]
