"""Logs in the record (spec: logs.md)."""

import re

from upcall.testing.conformance.activation import Json
from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.world import World

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z) *\Z")
BYTES = 1 << 20
ENVELOPE = len('{"log":"\\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}\n')
TRUNCATED = f"Logs were truncated because the total bytes size exceeds the limit of {BYTES} bytes."
DEVELOPER = "The action did not initialize or run as expected. Log data might be missing."


def parts(line: str) -> tuple[str, str, str]:
    """Time, stream, text."""
    stamp, rest = line[:30], line[31:]
    stream, _, text = rest.partition(": ")
    true(f"a line begins with {line[:40]!r}", LINE.match(stamp) and line[30] == " ")
    return stamp, stream, text


def logged(world: World, code: str, **members: Json) -> list[tuple[str, str]]:
    """Stream and text of each line."""
    activation = world.begin(world.action(code, **members))
    activation.ended()
    return [parts(line)[1:] for line in activation.kept()["logs"]]


@check("logs.format", "logs.md §3", "time padded to 30 characters, stream, text; in order, for both streams")
def form(world: World) -> None:
    code = (
        "import sys\ndef main(args):\n    print('one')\n    print('two', file=sys.stderr)\n    print()\n    return {}"
    )
    equal("lines", logged(world, code), [("stdout", "one"), ("stderr", "two"), ("stdout", "")])


@check("logs.own", "logs.md §2", "each activation has its own lines")
def own(world: World) -> None:
    action = world.action("def main(args):\n    print(args['n'])\n    return {}")
    for number in range(3):
        activation = world.begin(action, {"n": number}).ended()
        equal("texts", [parts(line)[2] for line in activation.kept()["logs"]], [str(number)])


@check("logs.unended", "logs.md §2", "a last line without a newline is kept, and no sentinel shows")
def unended(world: World) -> None:
    code = "import sys\ndef main(args):\n    sys.stdout.write('begun')\n    return {}"
    equal("lines", logged(world, code), [("stdout", "begun")])


@check("logs.unicode", "logs.md §3", "text is UTF-8; what is not becomes U+FFFD")
def unicode(world: World) -> None:
    code = "import os\ndef main(args):\n    os.write(1, 'ä💡\\n'.encode() + b'\\xff\\n')\n    return {}"
    equal("texts", [text for _, text in logged(world, code)], ["ä💡", "\ufffd"])


@check("logs.init", "logs.md §2", "what /init prints belongs to the first activation")
def init(world: World) -> None:
    equal("texts", [text for _, text in logged(world, "print('loaded')\ndef main(args): return {}")], ["loaded"])


@check("logs.none", "logs.md §5", "a log limit of 0: no lines")
def none(world: World) -> None:
    code = "def main(args):\n    print('unheard')\n    return {}"
    equal("lines", logged(world, code, limits={"logs": 0}), [])


@check("logs.developer", "logs.md §4", "after a developer error one line more says that some may be missing")
def developer(world: World) -> None:
    code = "def main(args):\n    print('before')\n    raise ValueError('mine')"
    lines = logged(world, code)
    equal("first line", lines[0], ("stdout", "before"))
    equal("last line", lines[-1], ("stderr", DEVELOPER))
    true("the traceback is not there", any("ValueError: mine" in text for _, text in lines))


@check("logs.developer-none", "logs.md §5", "not so where no logs are collected")
def developer_none(world: World) -> None:
    equal("lines", logged(world, "raise ValueError('x')", limits={"logs": 0}), [])


@check("logs.application", "logs.md §4", "an application error adds no line")
def application(world: World) -> None:
    equal("lines", logged(world, "def main(args):\n    print('a')\n    return {'error': 'x'}"), [("stdout", "a")])


@check("logs.limit-exact", "logs.md §2", "lines that make exactly the limit, as raw JSON, are all kept")
def limit_exact(world: World) -> None:
    lines = logged(world, filling(BYTES))
    equal("lines", len(lines), BYTES // LONG)
    true("a line says that it was truncated", TRUNCATED not in {text for _, text in lines})


@check("logs.limit-above", "logs.md §4", "one byte more: the line that crosses the limit goes, and a line says so")
def limit_above(world: World) -> None:
    lines = logged(world, filling(BYTES + 1))
    equal("lines", len(lines), BYTES // LONG)
    equal("last line", lines[-1], ("stderr", TRUNCATED))


@check("logs.limit-kept", "logs.md §7", "too many logs do not cost the container; upstream destroys it")
def limit_kept(world: World) -> None:
    code = "import os\nME = os.urandom(8).hex()\ndef main(args):\n    print('x' * args['n'])\n    return {'me': ME}"
    action = world.action(code)
    first = world.result(action, {"n": 2 * BYTES})
    activation = world.begin(action, {"n": 1}).ended()
    equal("container", activation.told()["response"]["result"], first)
    equal("texts of the next", [parts(line)[2] for line in activation.kept()["logs"]], ["x"])


@check("logs.long", "logs.md §2", "a line longer than 16 KiB becomes several entries; nothing of it is lost")
def long(world: World) -> None:
    lines = logged(world, "def main(args):\n    print('x' * 40000)\n    return {}")
    true(f"{len(lines)} lines", len(lines) >= 3)
    equal("text", "".join(text for _, text in lines), "x" * 40_000)


@check("logs.sentinel", "logs.md §1", "an action that prints the sentinel does not end its own log early")
def sentinel(world: World) -> None:
    code = "def main(args):\n    print('XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX')\n    print('after')\n    return {}"
    true("what follows is lost", ("stdout", "after") in logged(world, code))


LONG = 4096
"""Bytes of a line, as Docker would have written it; a divisor of the limit."""


def filling(size: int) -> str:
    """Code that prints lines of that many bytes in all."""
    return (
        "import sys\ndef main(args):\n"
        f"    line = 'x' * {LONG - ENVELOPE}\n"
        f"    for number in range({BYTES // LONG} - 1):\n        print(line)\n"
        f"    print(line + 'x' * {size - BYTES})\n    return {{}}"
    )
