"""How often the container client asks a server that is still starting."""

import asyncio
from pathlib import Path

import pytest

from upcall.core.outcome import Ending, Outcome
from upcall.deadlines import Deadlines
from upcall.invoker.call import Allowance
from upcall.invoker.runtime import Runtime
from upcall.ports import Address


async def test_soon_at_first_and_then_each_50_ms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, sleep = [], asyncio.sleep
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    runtime = Runtime(Address(path=str(tmp_path / "nobody")), Deadlines(0.01))

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    runtime.post(b"/init", b"{}", Allowance(10.0, 1000, 100), done.set_result, retry=True)
    while len(pauses) < 60:
        await sleep(0)
    runtime.give_up()
    assert (await done).ending is Ending.REFUSED
    assert pauses[0] == 0.002
    assert [each for number, each in enumerate(pauses) if each > 0.002 + sum(pauses[:number]) / 9] == []
    assert [each for each in pauses if each >= 0.05] == [0.05] * 26
