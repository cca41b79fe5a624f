"""How containers begin with FIFOs in the place of their output: nobody inside need notice."""

import json
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.docker.printing import ENDS, IMAGE, SERVER, Boxes, boxes
from tests.system.engine import Engine
from upcall.containers.docker.engine import EngineError
from upcall.containers.docker.output import Outputs

SAYS = "import os, sys; print('out', flush=True); print('err', file=sys.stderr)"


@pytest.fixture
async def made(inside: Engine, tmp_path: Path) -> AsyncIterator[Boxes]:
    async with boxes(inside, tmp_path) as found:
        yield found


@pytest.fixture
async def streams(inside: Engine, tmp_path: Path) -> AsyncIterator[Boxes]:
    (tmp_path / "s").mkdir()
    async with boxes(inside, tmp_path / "s", "stream") as found:
        yield found


def image(engine: Engine, name: str, *lines: str, base: str = IMAGE) -> str:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        text = "\n".join([f"FROM {base}", *lines]).encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        tar.addfile(entry, BytesIO(text))
    engine.build(data.getvalue(), f"test/{name}:1")
    return f"test/{name}:1"


FORMS = {
    "shell": ['ENTRYPOINT python3 -c "$WHAT"'],
    "exec": [f"ENTRYPOINT {json.dumps(['python3', '-c', SAYS])}"],
    "both": ['ENTRYPOINT ["python3", "-c"]', f"CMD {json.dumps([SAYS])}"],
    "command": [f"CMD {json.dumps(['python3', '-c', SAYS])}"],
    "path": [f"CMD {json.dumps(['/usr/bin/python3', '-c', SAYS])}"],
    "relative": ["WORKDIR /usr", f"CMD {json.dumps(['bin/python3', '-c', SAYS])}"],
    "user": ["USER 4321", f"CMD {json.dumps(['python3', '-c', SAYS])}"],
    "path-without-bin": ["ENV PATH=/usr/local/bin", f"CMD {json.dumps(['/usr/bin/python3', '-c', SAYS])}"],
    "elsewhere": [
        "RUN mkdir /x && mv /bin/dash /x/sh",
        "ENV PATH=/x:/usr/bin",
        f"CMD {json.dumps(['python3', '-c', SAYS])}",
    ],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("readonly", [False, True])
async def test_images_of_every_form_print_to_fifos(made: Boxes, form: str, readonly: bool) -> None:
    name = image(made.dockerd, form, f"ENV WHAT={json.dumps(SAYS)}", *FORMS[form])
    box = await made.make(name, command=None, host={"ReadonlyRootfs": readonly})
    assert await box.ended() == 0
    assert sorted(await box.texts(complete=False)) == ["stderr: err", "stdout: out"]
    assert bool(made.dockerd.inspect(box.id)["HostConfig"]["Mounts"])
    assert made.tries == (2 if form == "path-without-bin" else 1)
    assert made.outputs.mode == "fifo"


async def test_an_image_without_a_shell_is_found_out_once(made: Boxes) -> None:
    for _ in range(2):
        box = await made.make("odd/bare:1", command=("python3", "-c", SAYS))
        assert await box.ended() == 0
        assert sorted(await box.texts(complete=False)) == ["stderr: err", "stdout: out"]
    assert made.tries == 3
    assert made.outputs.mode == "fifo"


async def test_a_shell_that_cannot_run_is_as_good_as_none(made: Boxes) -> None:
    name = image(made.dockerd, "broken", f"RUN {json.dumps(['cp', '/bin/true', '/bin/dash'])}")
    box = await made.make(name, command=("python3", "-c", SAYS))
    assert await box.ended() == 0
    assert sorted(await box.texts(complete=False)) == ["stderr: err", "stdout: out"]
    assert made.outputs.mode == "fifo"


@pytest.mark.parametrize("program", ["nosuch", "/no/such", "./nosuch"])
async def test_a_missing_program_is_refused_as_the_engine_refuses_it(made: Boxes, streams: Boxes, program: str) -> None:
    for each in (made, streams):
        with pytest.raises(EngineError, match=r"executable file not found|no such file or directory") as raised:
            await each.make(command=(program, "x"))
        assert raised.value.reply == 400
        assert program in str(raised.value)
        assert each.tries == 1


@pytest.mark.parametrize("program", ["/etc", "/etc/passwd"])
async def test_what_is_no_program_is_refused_as_the_engine_refuses_it(
    made: Boxes, streams: Boxes, program: str
) -> None:
    for each in (made, streams):
        with pytest.raises(EngineError, match="permission denied") as raised:
            await each.make(command=(program, "x"))
        assert (raised.value.reply, each.tries) == (400, 1)
        assert program in str(raised.value)


async def test_an_image_that_runs_nothing_is_refused_by_the_engine(made: Boxes) -> None:
    with pytest.raises(EngineError, match="No command specified"):
        await made.make(command=())


async def test_the_environment_is_as_without_a_shell_in_front(made: Boxes, streams: Boxes) -> None:
    told = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), os.getpid()]))"
    found = []
    for each in (made, streams):
        box = await each.make(
            command=("python3", "-c", told), Env=["A=1", "EMPTY=", "LINES=a\nb"], Hostname="h", WorkingDir="/usr"
        )
        await box.ended()
        (line,) = await box.texts(complete=False)
        found.append(json.loads(line.removeprefix("stdout: ")))
    found[0][0].pop("PWD", None)
    assert found[0] == found[1]


async def test_a_variable_that_a_shell_would_drop_arrives(made: Boxes) -> None:
    name = image(made.dockerd, "dotted", "ENV spring.profile=x")
    box = await made.make(name, command=("python3", "-c", "import os; print(os.environ['spring.profile'])"))
    await box.ended()
    assert await box.texts(complete=False) == ["stdout: x"]
    assert made.tries == 1


@pytest.mark.parametrize(
    ("code", "signal", "status"),
    [
        ("sys.exit(7)", None, 7),
        ("os.kill(os.getpid(), 9); time.sleep(1000)", "SIGKILL", 137),
        ("signal.signal(15, lambda *_: os._exit(5)); print('up', flush=True); time.sleep(1000)", "SIGTERM", 5),
    ],
)
async def test_signals_and_the_exit_status_are_the_programs_own(
    made: Boxes, code: str, signal: str | None, status: int
) -> None:
    box = await made.make(command=("python3", "-c", f"import os, signal, sys, time; print('up', flush=True); {code}"))
    while not await box.texts(complete=False):
        pass
    if signal is not None:
        made.dockerd.call("POST", f"/containers/{box.id}/kill", signal=signal)
    assert await box.ended() == status


DAEMON = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.2)
        print('from the daemon', flush=True); {ENDS}
    os._exit(0)
"""


@pytest.mark.parametrize("user", ["", "4321"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open('/dev/stdout', 'w').write('by path\\n')", ["stdout: by path"]),
        ("open('/dev/stderr', 'a').write('by path\\n')", ["stderr: by path"]),
        ("open('/proc/self/fd/1', 'w').write('by number\\n')", ["stdout: by number"]),
        ("os.system('echo from a shell > /dev/stdout')", ["stdout: from a shell"]),
        ("os.close(1); os.close(2); os.open('/dev/upcall.stdout', 1); os.open('/dev/upcall.stderr', 1)", []),
    ],
)
async def test_the_streams_may_be_opened_anew(made: Boxes, user: str, code: str, expected: list[str]) -> None:
    box = await made.make(User=user)
    for _ in range(2):
        await box.run(f"{code}; {ENDS}")
        assert await box.texts() == expected


async def test_a_daemon_of_the_program_prints_too(made: Boxes) -> None:
    box = await made.make()
    await box.run(DAEMON)
    assert await box.texts() == ["stdout: from the daemon"]


async def test_who_closes_the_streams_loses_only_them(made: Boxes) -> None:
    box = await made.make()
    await box.run("print('last', flush=True); null = os.open('/dev/null', 1); os.dup2(null, 1); os.dup2(null, 2)")
    assert await box.texts(complete=False) == ["stdout: last"]
    await box.run("print('nobody hears')")
    assert await box.texts(complete=False) == []
    await box.run("os.dup2(os.open('/dev/upcall.stdout', 1), 1); print('again')")
    assert await box.texts(complete=False) == ["stdout: again"]


async def test_the_folder_is_ours_alone_and_the_fifos_go_with_the_container(made: Boxes, tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        box = await made.make(command=("python3", "-c", SERVER))
    finally:
        os.umask(umask)
    (folder,) = (tmp_path / "logs").iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs", folder)] == [0o700, 0o700]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o222 for path in folder.iterdir()} == {0o222}
    assert {stat.S_ISFIFO(path.stat().st_mode) for path in folder.iterdir()} == {True}
    await box.close()
    made.boxes.remove(box)
    assert not folder.exists()


async def test_what_an_earlier_life_left_is_swept(made: Boxes, tmp_path: Path) -> None:
    await made.make()
    outputs = Outputs(tmp_path / "logs", made.engine, 1)
    await outputs.start()
    assert list((tmp_path / "logs").iterdir()) == []
