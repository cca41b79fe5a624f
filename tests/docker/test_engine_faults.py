"""The engine is stopped, killed, hung and slow under load: each accepted activation runs once, health tells, and all is
well by itself when the engine is.

Actions write down that they run in a folder of the host, so that what ran is known whatever became of its answer.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.docker.platform import eventually, on_docker, ready
from tests.system.engine import Engine, engine_of_its_own, required
from tests.system.serving import Platform

CODE = """
import os, time
def main(args):
    os.close(os.open(f"/ledger/{args['token']}-{time.time_ns()}", os.O_CREAT | os.O_EXCL))
    time.sleep(args.get("seconds", 0))
    return {"token": args["token"]}
"""
ACTIONS, AT_ONCE = 3, 2
"""More than fit into memory at once."""
SLOW = 6
"""Times that an engine stands still for most of a moment."""
CUT_SHORT = "action developer error"
"""In its /run, or in its /init, where nothing is written down yet."""


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that may be broken."""
    required(request)
    with engine_of_its_own() as made:
        yield made


class Trial:
    """A platform under load, with what it has accepted."""

    def __init__(self, platform: Platform, ledger: Path) -> None:
        self.platform = platform
        self.ledger = ledger
        self.accepted: dict[str, str] = {}
        """Tokens by activation id."""
        self._count = 0
        for number in range(ACTIONS):
            limits = {"memory": 512 // AT_ONCE, "timeout": 60_000}
            assert platform.create(f"note{number}", CODE, limits=limits).status == 200

    def send(self, count: int, seconds: float = 0) -> None:
        """To all actions in turn; what is turned away is not accepted."""
        for _ in range(count):
            self._count += 1
            token = f"token{self._count}"
            arguments = {"token": token, "seconds": seconds}
            answer = self.platform.invoke(f"note{self._count % ACTIONS}", arguments, query="blocking=false")
            assert answer.status in (202, 503), answer
            if answer.status == 202:
                self.accepted[answer.body["activationId"]] = token

    def runs(self, token: str) -> int:
        return len(list(self.ledger.glob(f"{token}-*")))

    def settle(self) -> dict[str, str]:
        """How each one ended, when all have."""
        ends: dict[str, str] = {}

        def ended(id: str) -> bool:
            answer = self.platform.call("GET", f"activations/{id}")
            if answer.status == 200:
                ends[id] = answer.body["response"]["status"]
            return answer.status == 200

        for id in self.accepted:
            eventually(partial(ended, id), lambda: f"{len(ends)} of {len(self.accepted)} have ended")
        return ends

    def check(self) -> None:
        """None has run twice, and only what had begun and was cut short has not succeeded."""
        ends = self.settle()
        found = [(end, self.runs(self.accepted[id])) for id, end in ends.items()]
        odd = [each for each in found if each not in (("success", 1), (CUT_SHORT, 1), (CUT_SHORT, 0))]
        assert not odd, f"an end, and how often its code has run: {odd}"
        cut_short = sum(end == CUT_SHORT for end, _ in found)
        assert cut_short <= AT_ONCE, f"{cut_short} were cut short, though no more than {AT_ONCE} could run at once"


@contextlib.contextmanager
def trial(engine: Engine, folder: Path) -> Iterator[Trial]:
    ledger = folder / "ledger"
    ledger.mkdir(mode=0o777)
    mount = f"volume={ledger}:/ledger"
    options = ("--memory", "512 MB", "--docker-extra-args", mount)
    with on_docker(engine, folder / "data", *options, breaking=True) as platform:
        made = Trial(platform, ledger)
        made.send(ACTIONS)
        made.check()
        yield made


def away(platform: Platform) -> None:
    """Health says so, with the reason."""
    eventually(lambda: ready(platform)[0] == 503, lambda: "the platform says that it is ready")
    assert "engine" in str(ready(platform)[1])


def back(platform: Platform) -> None:
    eventually(lambda: ready(platform)[0] == 200, lambda: ready(platform))


def stopped(engine: Engine) -> Callable[[], None]:
    engine.stop()
    return engine.start


def killed(engine: Engine) -> Callable[[], None]:
    engine.kill()
    return engine.start


def hung(engine: Engine) -> Callable[[], None]:
    engine.freeze()
    return engine.thaw


@pytest.mark.parametrize("fault", [stopped, killed, hung])
def test_the_engine_goes_away_under_load_and_comes_back(
    own: Engine, tmp_path: Path, fault: Callable[[Engine], Callable[[], None]]
) -> None:
    with trial(own, tmp_path) as under:
        under.send(3 * ACTIONS, seconds=0.2)
        mend = fault(own)
        under.send(ACTIONS)
        away(under.platform)
        under.send(ACTIONS)
        mend()
        back(under.platform)
        under.send(ACTIONS)
        under.check()


def test_a_slow_engine_loses_nothing(own: Engine, tmp_path: Path) -> None:
    with trial(own, tmp_path) as under:
        under.send(2 * ACTIONS, seconds=0.1)
        for _ in range(SLOW):
            own.freeze()
            time.sleep(0.4)
            own.thaw()
            time.sleep(0.1)
            under.send(1)
        ends = under.settle()
        assert set(ends.values()) == {"success"}
        under.check()
