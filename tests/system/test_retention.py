"""`--keep` of a real platform: at its start, while it runs, and what its callers notice of it."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.operating import Caller, upcall
from tests.system.serving import Platform, running


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that within 30 s"
        time.sleep(0.05)


def ids(platform: Platform) -> list[str]:
    return [record["activationId"] for record in platform.call("GET", "activations?limit=200").body]


def test_records_go_by_age_and_everything_else_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--keep", "forever") as platform:
        platform.create("hello", "def main(args): return args")
        old = platform.invoke("hello").body["activationId"]
        until(lambda: ids(platform) == [old])
        assert upcall("user", "create", "alice", data=data).code == 0
    with running(data) as platform:
        assert ids(platform) == [old], "30 days by default"
    with running(data, "--keep", "1 s") as platform:
        until(lambda: ids(platform) == [])
        assert platform.call("GET", f"activations/{old}").status == 404
        assert platform.invoke("hello").status == 200
        assert upcall("user", "get", "alice", data=data).code == 0
        assert "1 activation records removed by --keep 1 s" in platform.output.read_text()


def test_records_go_by_size_while_calls_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--keep", "forever", environment={"LIMITS_ACTIONS_INVOKES_CONCURRENT": "100"}) as platform:
        platform.create("hello", "def main(args): return {'x': 'y' * 200_000}")
        caller = Caller(platform, platform.auth)
        made = [caller.call("POST", "actions/hello?blocking=true", {})[1]["activationId"] for _ in range(60)]
        until(lambda: ids(platform)[0] == made[-1])
        caller.close()
    before = (data / "upcall.db").stat().st_size
    assert before > 10_000_000
    with running(data, "--keep", "30d,5MB") as platform:
        caller = Caller(platform, platform.auth)
        assert {caller.invoke() for _ in range(20)} == {200}
        until(lambda: "records removed by --keep 30d,5MB" in platform.output.read_text())
        kept = [id for id in reversed(ids(platform)) if id in made]
        assert 0 < len(kept) < 60
        assert kept == made[-len(kept) :], "the newest stay"
        caller.close()
    assert (data / "upcall.db").stat().st_size < before


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    for text in ("7", "1 KB", "sometimes"):
        code, out, err = upcall("serve", "--keep", text, data=tmp_path / "data")
        assert (code, out) == (1, "")
        assert re.fullmatch(rf"upcall: --keep: '{text}': write a time .* as in 7d,10GB; or forever\n", err)
