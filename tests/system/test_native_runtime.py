"""How the native runtime treats a program, in the sandbox in which it runs (spec: container.md §2, §8).

What more the platform makes of it is in test_native_action.py. Run by root, `ordinary` runs this
file again as an ordinary user.
"""

import asyncio
import base64
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.system.test_python_action import zipped
from tests.unit.containers.calls import MB, collected, init, run
from upcall.containers.process import ProcessContainers
from upcall.errors import StartFailed
from upcall.ports import Container, ContainerSpec

SKELETON = "openwhisk/dockerskeleton"
OK = (200, {"ok": True})
NOT_OBJECT = {"error": "The action did not return a dictionary or array."}


def native(image: str = SKELETON, memory: int = 128) -> ContainerSpec:
    return ContainerSpec(kind="blackbox", image=image, memory=memory, name="test_native", tenant="guest")


def sh(body: str) -> str:
    return f"#!/bin/sh\n{body}\n"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
async def container(driver: ProcessContainers) -> Container:
    return await driver.create(native())


async def ran(container: Container, code: str, value: Any = None, **context: str) -> tuple[int, Any]:
    assert await init(container, code) == OK
    return await run(container, value, **context)


async def test_a_script_gets_its_arguments_twice_and_its_last_line_is_the_result(container: Container) -> None:
    code = sh('echo "first $#"\necho oops >&2\nread -r line\necho "second"\n[ "$line" = "$1" ] && cat <<X\n$1\nX')
    value = {"name": "Ada ☃", "n": [1, None, 2.5]}
    assert await ran(container, code, value) == (200, value)
    assert sorted(await collected(container)) == ["stderr: oops", "stdout: first 1", "stdout: second"]


async def test_arguments_look_as_upstreams_skeleton_writes_them(container: Container) -> None:
    """Scripts cut them with sed."""
    code = sh("""name=$(echo "$1" | sed -n 's/.*"name": "\\([^"]*\\)".*/\\1/p')\necho "[\\"$name\\"]" """)
    assert await ran(container, code, {"a": 1, "name": "Ada"}) == (200, ["Ada"])


@pytest.mark.parametrize(
    "image", [SKELETON, f"{SKELETON}:nightly", f"{SKELETON}:1@sha256:{'0' * 64}", f"mirror.test/{SKELETON}"]
)
async def test_the_skeletons_image_is_known_whatever_its_tag_and_registry(
    driver: ProcessContainers, image: str
) -> None:
    assert await ran(await driver.create(native(image)), sh("echo []")) == (200, [])


@pytest.mark.parametrize("image", ["me/img:1", f"{SKELETON}2", "dockerskeleton", "mirror.test/dockerskeleton", ""])
async def test_other_images_are_refused_by_name(driver: ProcessContainers, image: str) -> None:
    with pytest.raises(StartFailed) as raised:
        await driver.create(native(image))
    assert raised.value.developer
    assert str(raised.value) == (
        f"Failed to pull container image '{image}'. The process driver runs no images, only native executables as "
        "openwhisk/dockerskeleton; images need the Docker driver."
    )


async def test_an_executable_comes_in_base64(container: Container) -> None:
    """`echo` is a compiled C program which the host has; its argument is its last line."""
    data = Path(shutil.which("echo") or "").read_bytes()
    assert data.startswith(b"\x7fELF")
    assert await init(container, encoded(data), binary=True) == OK
    assert await run(container, {"x": 1}) == (200, {"x": 1})


async def test_a_script_may_come_in_base64_too(container: Container) -> None:
    assert await init(container, encoded(sh("echo '{}'").encode()), binary=True) == OK
    assert await run(container) == (200, {})


async def test_a_zip_holds_exec_and_what_it_needs(container: Container) -> None:
    code = zipped(
        {"exec": sh('. ./lib/part.sh; say "$(cat data)"'), "lib/part.sh": "say() { echo [$1]; }", "data": "7"}
    )
    assert await init(container, code, binary=True) == OK
    assert await run(container) == (200, [7])


async def test_the_program_lies_in_action_and_starts_anew_for_each_run(container: Container) -> None:
    code = sh('echo x >> runs; echo "[\\"$0\\", \\"$PWD\\", $(wc -l < runs), $$]"')
    status, first = await ran(container, code)
    _, second = await run(container)
    assert status == 200
    assert first[:3] == ["/action/exec", "/action", 1]
    assert second[:3] == ["/action/exec", "/action", 2]
    assert first[3] != second[3]


async def test_action_and_tmp_have_one_bound_and_do_not_see_each_other(container: Container) -> None:
    code = sh(
        """echo x > /tmp/seen; size() { df -B1 --output=size "$1" | tail -n 1; }
        echo "[\\"$(ls -A /tmp)\\", \\"$(ls -A /action)\\", $(stat --printf %d, /tmp /action) $(size /action)]" """
    )
    status, (tmp, action, device, other, size) = await ran(container, code)
    assert (status, tmp, action, size) == (200, "seen", "exec", 128 * MB)
    assert device == other


async def test_the_environment_is_inits_and_the_runs(container: Container) -> None:
    code = sh('echo "[\\"$GREETING\\", \\"$__OW_NAMESPACE\\", \\"$__OW_DEADLINE\\", \\"$HOME\\"]"')
    env = {"GREETING": "hi ☃", "__OW_NAMESPACE": "old"}
    assert await init(container, code, env=env) == OK
    assert await run(container, {}, namespace="guest", deadline="17") == (200, ["hi ☃", "guest", "17", "/tmp"])


@pytest.mark.parametrize("size", [(128 << 10) - 9, (128 << 10) - 8, MB])
async def test_arguments_beyond_what_the_kernel_takes_come_on_standard_input_alone(
    container: Container, size: int
) -> None:
    """`{"x": ""}` has 9 bytes, and a zero follows: the first fits exactly."""
    code = sh('echo "[$#, $(wc -c)]"')
    value = {"x": "y" * (size - 1)}
    assert await ran(container, code, value) == (200, [int(size == (128 << 10) - 9), size + 8])


@pytest.mark.parametrize(
    "output",
    [
        "true",
        "echo",
        "echo hello",
        "echo 5",
        "echo '\"text\"'",
        "echo '{\"a\": 1}'; echo",
        "printf '\\377'",
        "printf '{\"a\": 1'",
    ],
)
async def test_a_last_line_that_is_no_object_or_array_is_an_error_and_stays_in_the_log(
    container: Container, output: str
) -> None:
    assert await ran(container, sh(output)) == (502, NOT_OBJECT)
    told = "stderr: The program ended with exit code 0 and its last line is no JSON object or array."
    log = await collected(container)
    assert told in log
    if "hello" in output:
        assert "stdout: hello" in log
    assert await run(container) == (502, NOT_OBJECT)


@pytest.mark.parametrize(
    "line", ["'{\"a\": 1}\\n'", "'{\"a\": 1}'", "'\\n\\n {\"a\": 1} \\n'", "'one\\n{\"a\": 1}\\r\\n'"]
)
async def test_the_result_may_end_in_a_newline_or_not(container: Container, line: str) -> None:
    assert await ran(container, sh(f"printf {line}")) == (200, {"a": 1})


async def test_a_result_counts_whatever_the_exit_code_is(container: Container) -> None:
    assert await ran(container, sh("""echo '{"a": 1}'; exit 3""")) == (200, {"a": 1})


async def test_an_exit_code_without_a_result_is_in_the_log(container: Container) -> None:
    assert await ran(container, sh("echo hm >&2; exit 3")) == (502, NOT_OBJECT)
    told = "stderr: The program ended with exit code 3 and its last line is no JSON object or array."
    assert await collected(container) == ["stderr: hm", told]


async def test_a_crash_is_named_in_the_log_and_the_next_run_works(container: Container) -> None:
    code = sh('case "$1" in *crash*) kill -SEGV $$;; esac; echo {}')
    assert await ran(container, code, {"crash": 1}) == (502, NOT_OBJECT)
    log = await collected(container)
    assert log[0].startswith("stderr: The program ended by signal 11 (Segmentation fault)")
    assert await run(container) == (200, {})


@pytest.mark.parametrize("code", ["kill -KILL $$", "sh -c 'kill -KILL $$'"])
async def test_a_killed_program_without_result_ends_the_container(container: Container, code: str) -> None:
    await init(container, sh(f"echo before; {code}"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)
    assert "stdout: before" in await collected(container)


async def test_what_a_program_leaves_running_is_not_waited_for(container: Container) -> None:
    """It keeps both outputs open, and writes to the one in which no result is looked for."""
    code = sh("(trap '' PIPE; while sleep 0.01; do echo more >&2; done) &\necho '{\"x\": 1}'\n")
    async with asyncio.timeout(20):
        assert await ran(container, code) == (200, {"x": 1})
        assert await run(container) == (200, {"x": 1})


async def test_a_program_that_closes_its_output_is_waited_for(container: Container) -> None:
    """The sandbox is thus not paused or used again while it runs."""
    code = sh("[ ! -e ended ] || { echo '[2]'; exit; }; echo '[1]'; exec >&-; sleep 0.3; touch ended")
    assert await ran(container, code) == (200, [1])
    assert await run(container) == (200, [2])


async def test_much_output_streams_and_the_result_is_found_behind_it(container: Container) -> None:
    code = sh("head -c 60000000 /dev/zero | tr '\\0' x | fold -w 999; echo; echo '{\"a\": 1}'")
    assert await ran(container, code) == (200, {"a": 1})
    lines = await collected(container, MB)
    assert lines[0] == "stdout: " + "x" * 999
    assert "Logs were truncated" in lines[-1]


async def test_a_line_that_is_no_line_is_not_kept(container: Container) -> None:
    code = sh("head -c 100000000 /dev/zero | tr '\\0' '['")
    assert await ran(container, code) == (502, {"error": "The action's last line is longer than 8388608 bytes."})
    assert await init(container, code) == (403, {"error": "Cannot initialize the action more than once."})


async def test_output_appears_while_the_program_runs(container: Container) -> None:
    await init(container, sh("echo now; echo '{}'; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo {}"))
    running = asyncio.ensure_future(run(container))
    seen: list[str] = []
    async with asyncio.timeout(20):
        while not seen:
            await asyncio.sleep(0.01)
            seen += await collected(container)
    assert seen == ["stdout: now"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("code", "binary", "status", "text"),
    [
        ("", False, 403, "Missing main/no code to execute."),
        (
            "echo {}",
            False,
            502,
            "The action's code is no program: it is neither a script that begins with `#!` nor an executable (ELF), "
            "nor a zip file with one.",
        ),
        ("abcd", True, 502, "The action's code is no program"),
        ("abc", True, 502, "The action's code is not base64: Incorrect padding"),
        (zipped({"other": "x"}), True, 502, "Zip file does not include exec."),
        (zipped({"exec": "echo {}"}), True, 502, "The action's code is no program"),
        (zipped({"exec/": ""}), True, 502, "Zip file does not include exec."),
        (zipped({"exec": sh("")}) + "AAAA", True, 200, ""),
        (zipped({"exec": "", "../up": ""}), True, 502, "The action's zip file holds a path outside of it: ../up"),
        (encoded(b"PK\3\4 broken"), True, 502, "The action's code is not a zip file in base64: "),
        (
            "#!/bin/bash\r\necho {}\r\n",
            False,
            502,
            "The action's program asks for the interpreter '/bin/bash\\r', which there is not here. "
            "Its lines end in CR LF: write it with LF.",
        ),
        (
            "#! /usr/bin/perl6 -w\n",
            False,
            502,
            "The action's program asks for the interpreter '/usr/bin/perl6', which there is not here.",
        ),
    ],
)
async def test_code_that_is_no_program_is_told_apart(
    container: Container, code: str, binary: bool, status: int, text: str
) -> None:
    got, answer = await init(container, code, binary=binary)
    assert got == status
    assert status == 200 or answer["error"].startswith(text)


async def test_an_executable_of_another_machine_is_named(container: Container) -> None:
    data = bytearray(Path(shutil.which("echo") or "").read_bytes())
    data[18:20] = b"\x02\x00"  # SPARC
    assert await init(container, encoded(bytes(data)), binary=True) == OK
    assert await run(container) == (502, {"error": "The action's program cannot be started: Exec format error."})


async def test_a_run_before_its_init_is_refused(container: Container) -> None:
    assert await run(container) == (403, {"error": "Cannot invoke an uninitialized action."})


async def test_without_isolation_the_same_program_runs(folder: Path) -> None:
    driver = ProcessContainers(folder, isolation="none")
    await driver.start()
    try:
        code = sh('echo "[\\"$PWD\\", $1]"')
        status, (place, value) = await ran(await driver.create(native()), code, {"a": 1})
        assert (status, value) == (200, {"a": 1})
        assert os.path.dirname(os.path.dirname(place)).startswith(str(folder))
    finally:
        await driver.close()
