"""Where logs go from sandboxes of this host (spec: logs.md §6)."""

import json
import subprocess
import sys
from pathlib import Path

from tests.docker.platform import printed, recorded
from tests.system.serving import QUIET, running

CODE = """
import sys
def main(args):
    for number in range(args.get("lines", 1)):
        print("out", number)
        print("err", number, file=sys.stderr)
    return {}
"""


def test_files_have_each_line_and_each_record_in_the_order_of_their_ends(tmp_path: Path) -> None:
    variables = {"UPCALL_LOGS_STORE": "activation-file", "UPCALL_LOGS_FOLDER": str(tmp_path / "logs")}
    with running(tmp_path / "data", environment=variables) as platform:
        platform.create("prints", CODE)
        platform.create("silent", CODE, limits={"logs": 0})
        first, second = recorded(platform, "prints", lines=2), recorded(platform, "prints", lines=1)
        assert recorded(platform, "silent")["logs"] == []
    assert printed(first) == ["stdout: out 0", "stderr: err 0", "stdout: out 1", "stderr: err 1"]
    (path,) = (tmp_path / "logs").iterdir()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert {each.get("name", "prints") for each in found} == {"prints"}
    for record in (first, second):
        mine = [each for each in found if each["activationId"] == record["activationId"]]
        assert [f"{each['time']} {each['stream']}: {each['log']}" for each in mine[:-1]] == [
            f"{line}\n" for line in record["logs"]
        ]
        assert {each["action"] for each in mine[:-1]} == {"guest/prints"}
        assert mine[-1] == {**mine[-1], **{name: record[name] for name in ("logs", "annotations", "start", "end")}}
        assert {each["namespaceId"] for each in mine} == {platform.auth.split(":")[0]}
    assert [each["activationId"] for each in found if "logs" in each] == [
        first["activationId"],
        second["activationId"],
    ]


def test_left_to_a_log_driver_they_are_nowhere_and_hold_nobody_up(tmp_path: Path) -> None:
    with running(tmp_path / "data", environment={"UPCALL_LOGS_STORE": "driver"}) as platform:
        assert "what actions print in sandboxes of this host is kept by nobody" in platform.output.read_text()
        platform.create("prints", CODE)
        for _ in range(3):
            record = recorded(platform, "prints", lines=50_000)
            assert (record["response"]["status"], record["logs"]) == ("success", [])
        logs = platform.call("GET", f"activations/{record['activationId']}/logs")
        assert logs.body == {"logs": ["Logs are not available."]}


def test_a_folder_that_cannot_be_made_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    variables = {"UPCALL_LOGS_STORE": "activation-file", "UPCALL_LOGS_FOLDER": str(tmp_path / "file" / "logs")}
    command = [sys.executable, "-m", "upcall", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", **QUIET, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "No file for actions' logs can be made in" in done.stderr
    assert "Traceback" not in done.stderr
