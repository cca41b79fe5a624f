"""How the Node.js runtime treats the user's code, in the sandbox in which it runs (spec: container.md §2, §8).

Run by root, `ordinary` runs this file again as an ordinary user.
"""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.language import NODE
from tests.unit.containers.calls import collected, connected, exhausted, init, result, run, spec
from upcall.containers.process import ProcessContainers
from upcall.errors import StartFailed
from upcall.ports import Container

OK = (200, {"ok": True})


@pytest.fixture
async def container(driver: ProcessContainers) -> Container:
    return await driver.create(spec(kind=NODE))


@pytest.mark.parametrize(
    ("code", "main"),
    [
        ("function main(args) { return args; }", "main"),
        ("const main = (args) => args; // the end", "main"),
        ("exports.main = (args) => args;", "main"),
        ("module.exports = { other: (args) => args };", "other"),
        ("const lib = { deep: { er: (args) => args } };", "lib.deep.er"),
        ("exports.a = { b: (args) => args };", "a.b"),
        ("async function main(args) { await null; return args; }", "main"),
        ("const main = (args) => new Promise((done) => setTimeout(done, 1, args));", "main"),
        ("const main = (args) => ({ then: (done) => done(args) });", "main"),
        ("const assert = require('assert'); main = (args) => { assert(true); return args; };", "main"),
        ("const main = async (args) => { const { sep } = await import('node:path'); return sep && args; };", "main"),
    ],
)
async def test_main_is_found_by_its_name_exported_or_not_and_may_be_asynchronous(
    container: Container, code: str, main: str
) -> None:
    assert await init(container, code, main=main) == OK
    assert await run(container, {"a": "☃"}) == (200, {"a": "☃"})
    assert await run(container, [1, {"b": 2}]) == (200, [1, {"b": 2}])


@pytest.mark.parametrize(
    ("code", "status", "answer"),
    [
        ("return;", 200, {}),
        ("return Promise.resolve();", 200, {}),
        ("return null;", 200, None),
        ("return { error: 'mine', more: 1 };", 200, {"error": "mine", "more": 1}),
        ("return Promise.reject({ code: 4 });", 200, {"error": {"code": 4}}),
        ("return Promise.reject('text');", 200, {"error": "text"}),
        ("return Promise.reject();", 200, {"error": {}}),
        ("return Promise.reject(() => 1);", 200, {"error": "() => 1"}),
        ("throw new TypeError('boom');", 502, {"error": "An error has occurred: TypeError: boom"}),
        ("throw 'text';", 502, {"error": "An error has occurred: text"}),
        ("throw Object.create(null);", 502, {"error": "An error has occurred: an exception that cannot be shown"}),
        ("return 5;", 502, {"error": "The action did not return a dictionary or array."}),
        ("return 'x';", 502, {"error": "The action did not return a dictionary or array."}),
        ("return () => 1;", 502, {"error": "The action did not return a dictionary or array."}),
        (
            "return { n: 1n };",
            502,
            {"error": "The action returned a value that is not JSON: TypeError: Do not know how to serialize a BigInt"},
        ),
        (
            "return { toJSON() {} };",
            502,
            {"error": "The action returned a value that is not JSON: its toJSON gives nothing"},
        ),
    ],
)
async def test_what_main_gives_becomes_the_answer_and_the_next_run_works(
    container: Container, code: str, status: int, answer: Any
) -> None:
    await init(container, f"function main(args) {{ if (args.ok) return args; {code} }}")
    assert await run(container) == (status, answer)
    assert await run(container, {"ok": 1}) == (200, {"ok": 1})


async def test_a_rejection_with_an_error_tells_its_message_and_the_users_stack(container: Container) -> None:
    code = "async function main() {\n  const e = new RangeError('boom');\n  e.code = 'E1';\n  throw e;\n}"
    error = (await result(container, code))["error"]
    assert (error["name"], error["message"], error["code"]) == ("RangeError", "boom", "E1")
    first, place, *rest = error["stack"].split("\n")
    assert (first, place.endswith("main.js:2:13)")) == ("RangeError: boom", True)
    assert "upcall" not in error["stack"]
    assert rest == [] or rest[0].lstrip().startswith("at")


async def test_what_main_throws_is_in_the_log_with_its_line(container: Container) -> None:
    await init(container, "function main() {\n  null.x;\n}")
    status, answer = await run(container)
    assert status == 502
    assert answer["error"].startswith("An error has occurred: TypeError: Cannot read properties of null")
    log = await collected(container)
    assert log[0].startswith("stderr: TypeError: Cannot read properties of null")
    assert log[1].endswith("main.js:2:8)")


@pytest.mark.parametrize(
    ("code", "main", "status", "text"),
    [
        ("", "main", 403, "Missing main/no code to execute."),
        (" \n", "main", 403, "Missing main/no code to execute."),
        ("function main( {", "main", 502, "Initialization has failed due to: "),
        ("null.x", "main", 502, "Initialization has failed due to: TypeError: Cannot read properties of null"),
        ("require('missing-package')", "main", 502, "Initialization has failed due to: Error: Cannot find module"),
        ("const x = 1;", "main", 502, "Action entrypoint 'main' is not a function."),
        ("const main = 1;", "main", 502, "Action entrypoint 'main' is not a function."),
        ("function main() {}", "other", 502, "Action entrypoint 'other' is not a function."),
        ("function main() {}", "a b; main", 502, "Action entrypoint 'a b; main' is not a function."),
    ],
)
async def test_code_that_does_not_load_is_told_apart(
    container: Container, code: str, main: str, status: int, text: str
) -> None:
    got, answer = await init(container, code, main=main)
    assert (got, answer["error"][: len(text)]) == (status, text)


async def test_a_syntax_error_shows_its_line_in_the_log(container: Container) -> None:
    await init(container, "let x;\nlet 1y;\n")
    log = "\n".join(await collected(container))
    assert "main.js:2" in log
    assert "SyntaxError" in log


async def test_init_is_done_once_and_comes_before_run(container: Container) -> None:
    assert await run(container) == (403, {"error": "Cannot invoke an uninitialized action."})
    assert await init(container, "const main = () => ({});") == OK
    assert await init(container, "const main = () => ({});") == (
        403,
        {"error": "Cannot initialize the action more than once."},
    )


async def test_requests_that_are_none_are_answered(container: Container) -> None:
    async with connected(container) as call:
        assert (await call.send("/init", b"{"))[0] == 400
        assert await call.send("/run", b"[]") == (400, {"error": "The request is not a JSON object."})
        assert await call.post("/other", {}) == (404, {"error": "Not found."})


async def test_parallel_runs_share_the_process_and_each_reads_its_own_context(container: Container) -> None:
    code = """
let waiting = [];
async function main({ all }) {
  const before = process.env.__OW_ACTIVATION_ID;
  await new Promise((done) => { waiting.push(done); if (waiting.length === all) waiting.forEach((go) => go()); });
  await new Promise((done) => setTimeout(done, 5));
  const after = { ...process.env }.__OW_ACTIVATION_ID;
  return { before, after, pid: process.pid, allowed: process.env.__OW_ALLOW_CONCURRENT };
}
"""
    await init(container, code)
    names = [f"id{n}" for n in range(8)]
    answers = [one[1] for one in await asyncio.gather(*(run(container, {"all": 8}, activation_id=n) for n in names))]
    assert [(one["before"], one["after"]) for one in answers] == [(name, name) for name in names]
    assert {one["pid"] for one in answers} == {2}
    assert {one["allowed"] for one in answers} == {"true"}


async def test_the_environment_can_be_changed_and_reaches_children(container: Container) -> None:
    code = """
const { execFileSync } = require('child_process');
function main(args) {
  process.env.MINE = 'm';
  process.env.__OW_DEADLINE = 'changed';
  delete process.env.GREETING;
  const child = String(execFileSync('env')).split('\\n');
  return { has: 'MINE' in process.env, keys: Object.keys(process.env).includes('MINE'), child,
           gone: process.env.GREETING === undefined, deadline: process.env.__OW_DEADLINE };
}
"""
    await init(container, code, env={"GREETING": "hi"})
    _, answer = await run(container, {}, deadline="17", activation_id="a")
    assert (answer["has"], answer["keys"], answer["gone"], answer["deadline"]) == (True, True, True, "changed")
    assert {"MINE=m", "__OW_ACTIVATION_ID=a", "__OW_DEADLINE=changed"} <= set(answer["child"])


async def test_a_variable_that_cannot_be_set_is_named(container: Container) -> None:
    status, answer = await init(container, "const main = () => ({});", env={"a=b": "x"})
    assert (status, answer["error"].partition(" cannot be set")[0]) == (502, "The environment variable 'a=b'")


async def test_an_exception_between_runs_is_logged_and_costs_nobody_else(container: Container) -> None:
    code = """
function main({ late }) {
  if (late) setTimeout(() => { throw new Error('too late'); }, 1);
  if (late) Promise.reject(new Error('unheard'));
  return { pid: process.pid };
}
"""
    await init(container, code)
    assert (await run(container, {"late": True}))[0] == 200
    log: list[str] = []
    async with asyncio.timeout(10):
        while not any("too late" in line for line in log):
            log += await collected(container)
            await asyncio.sleep(0.005)
    assert any("unheard" in line for line in log)
    assert await run(container) == (200, {"pid": 2})


@pytest.mark.parametrize(
    "body",
    ["process.exit(0)", "setTimeout(() => { throw new Error('now'); }, 1); return new Promise(() => {})"],
)
async def test_what_ends_the_process_during_a_run_ends_the_container(container: Container, body: str) -> None:
    await init(container, f"function main() {{ console.log('here'); {body}; }}")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)
    log = await collected(container)
    assert log[0] == "stdout: here"
    assert not await exhausted(container)


async def test_much_output_is_whole_before_the_answer_and_from_both_streams(container: Container) -> None:
    code = "function main() { for (let i = 0; i < 20000; i++) { console.log('o' + i); console.error('e' + i); } }"
    assert await result(container, code) == {}
    log = await collected(container, 10 << 20)
    assert [line for line in log if line.startswith("stdout")] == [f"stdout: o{n}" for n in range(20_000)]
    assert [line for line in log if line.startswith("stderr")] == [f"stderr: e{n}" for n in range(20_000)]


async def test_lines_of_both_streams_are_in_the_order_in_which_they_were_printed(container: Container) -> None:
    code = """
console.error('load'); console.log('loaded');
function main({ fail }) {
  for (let i = 0; i < 3; i++) { console.log('o' + i + '\\nmore'); console.error('x' + i); }
  if (fail) throw new Error('last');
  return {};
}
"""
    expected = ["stdout: o0", "stdout: more", "stderr: x0", "stdout: o1", "stdout: more", "stderr: x1"]
    expected += ["stdout: o2", "stdout: more", "stderr: x2"]
    assert await result(container, code) == {}
    assert await collected(container) == ["stderr: load", "stdout: loaded", *expected]
    await run(container, {"fail": True})
    assert (await collected(container))[:10] == [*expected, "stderr: Error: last"]


async def test_an_action_that_closes_its_output_goes_on(container: Container) -> None:
    code = "const fs = require('fs');\nfunction main({ n }) { if (!n) { fs.closeSync(1); fs.closeSync(2); }\n"
    code += "console.log('x'.repeat(1e5)); if (n) throw new Error('unseen'); return { ok: 1 }; }"
    assert await result(container, code) == {"ok": 1}
    assert await run(container, {"n": 1}) == (502, {"error": "An error has occurred: Error: unseen"})


async def test_deep_json_and_lone_surrogates_do_no_harm(container: Container) -> None:
    code = """
function main({ deep }) {
  let x = [];
  for (let i = 0; deep && i < 1e6; i++) x = [x];
  return deep ? { x } : { x: '\\ud800' };
}
"""
    await init(container, code)
    status, answer = await run(container, {"deep": True})
    assert (status, answer["error"].partition(":")[0]) == (502, "The action returned a value that is not JSON")
    assert await run(container) == (200, {"x": "\ud800"})


async def test_the_code_runs_as_pid_2_without_arguments_below_tmp_and_sees_no_descriptor_of_the_platform(
    container: Container,
) -> None:
    code = """
const fs = require('fs');
function main() {
  const open = fs.readdirSync('/proc/self/fd').map((n) => {
    try { return [Number(n), fs.readlinkSync('/proc/self/fd/' + n)]; } catch { return null; }
  });
  return { pid: process.pid, args: process.argv.slice(1), cwd: process.cwd(), open: open.filter(Boolean) };
}
"""
    seen = await result(container, code)
    assert (seen["pid"], seen["args"], seen["cwd"]) == (2, [], "/tmp")
    kinds = {target.partition(":")[0] for _, target in seen["open"]}
    assert kinds <= {"/dev/null", "pipe", "socket", "anon_inode", "/proc/2/fd"}, seen["open"]
    assert sorted(number for number, target in seen["open"] if number < 4) == [0, 1, 2, 3]


LISTENING = """
async function main() {
  const server = require('net').createServer((s) => s.end('found'));
  await new Promise((done) => server.listen(4000, '127.0.0.1', done));
  return {};
}
"""
ASKING = """
import socket
def main(args):
    try:
        with socket.create_connection(("127.0.0.1", 4000), 5) as found:
            return {"said": found.recv(99).decode()}
    except OSError as error:
        return {"said": type(error).__name__}
"""


async def test_a_prewarmed_containers_network_becomes_its_tenants_and_nobody_elses(driver: ProcessContainers) -> None:
    prewarmed = await driver.create(spec(kind=NODE, tenant=""))
    await prewarmed.claim("one")
    assert await result(prewarmed, LISTENING) == {}
    for tenant, said in (("one", "found"), ("two", "ConnectionRefusedError")):
        assert await result(await driver.create(spec(tenant)), ASKING) == {"said": said}


async def test_a_prewarmed_container_of_a_tenant_that_has_a_network_stays_alone(driver: ProcessContainers) -> None:
    prewarmed = await driver.create(spec(kind=NODE, tenant=""))
    asking = await driver.create(spec("one"))
    await prewarmed.claim("one")
    assert await result(prewarmed, LISTENING) == {}
    assert await result(asking, ASKING) == {"said": "ConnectionRefusedError"}


FAKE = """#!/bin/sh
[ "$1" = -p ] && { echo "$0"; echo 20.1.2; echo 40000; exit; }
echo "no such luck" >&2; exit 1
"""


async def started(folder: Path) -> tuple[ProcessContainers, Container]:
    """A driver that finds its Node.js in the folder, and a prewarmed container."""
    driver = ProcessContainers(folder / "run", pids=64)
    await driver.start()
    try:
        return driver, await driver.create(spec(kind=driver.kinds[-1], tenant=""))
    except BaseException:
        await driver.close()
        raise


async def test_a_runtime_that_does_not_come_up_is_told_with_what_it_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "node").write_text(FAKE)
    (folder / "node").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with pytest.raises(StartFailed, match=r"^The sandbox has ended before it was ready: no such luck\.$"):
        await started(folder)


async def test_a_node_outside_of_usr_is_seen_without_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(os.path.realpath(shutil.which("node") or ""), folder / "node")
    (folder / "secret").write_text("x")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    driver, container = await started(folder)
    try:
        await container.claim("guest")
        code = f"const main = () => ({{ path: process.execPath, secret: require('fs').existsSync('{folder}') }});"
        assert await result(container, code) == {"path": "/opt/upcall/bin/node", "secret": False}
    finally:
        await driver.close()
