"""Actions that the contract of containers is tried with, in each language that a driver runs."""

from typing import NamedTuple

from upcall.containers import kinds

NODE = (*kinds.node_kinds(kinds.find_node()), "nodejs:20")[0]
"""The kind that runs here; where none does its tests fail, which is right: `scripts/setup test` installs it."""


class Language(NamedTuple):
    """Source code by what it does."""

    kind: str
    hello: str
    """Prints `hello {'a': …}` in the language's own form and gives its arguments back as `got`."""
    printed: str
    """What `hello` prints for {"a": "☃"}."""
    counter: str
    """Counts in the background from its load on, some 1000 a second; gives how far it is."""
    calls: str
    """Counts its own runs."""
    environment: str
    """All variables, and GREETING as it was at load."""
    death: str
    """Prints `last words` and ends its process."""
    children: str
    """Leaves three pairs of processes behind, which have `token` as an argument."""
    words: str
    """Has a child print `child`, then prints `end` without a newline."""
    flood: str
    """Prints as many `lines` as it is told, each of 999 characters."""
    echo: str


PYTHON = Language(
    kind="python:3",
    hello="def main(args):\n    print('hello', args)\n    return {'got': args}\n",
    printed="hello {'a': '☃'}",
    counter="""
import threading, time
n = 0
def count():
    global n
    while True:
        n += 1
        time.sleep(0.001)
threading.Thread(target=count, daemon=True).start()
def main(args):
    return {"n": n}
""",
    calls="n = 0\ndef main(args):\n    global n\n    n += 1\n    return {'n': n}\n",
    environment="import os\nseen = os.environ.get('GREETING')\n"
    "def main(args):\n    return {'seen': seen, 'all': dict(os.environ)}\n",
    death="import os\ndef main(args):\n    print('last words')\n    os._exit(3)\n",
    children="""
import subprocess
def main(args):
    for _ in range(3):
        subprocess.Popen(["/bin/sh", "-c", f"sleep {args['token']} & sleep {args['token']}"], start_new_session=True)
    return {}
""",
    words="""
import subprocess
def main(args):
    subprocess.run(['echo', 'child'])
    print('end', end='')
    return {}
""",
    flood="""
def main(args):
    line = "x" * 999
    for _ in range(args.get("lines", 0)):
        print(line)
    return {}
""",
    echo="def main(args):\n    return args\n",
)

NODEJS = Language(
    kind=NODE,
    hello="function main(args) {\n  console.log('hello', args);\n  return { got: args };\n}\n",
    printed="hello { a: '☃' }",
    counter="let n = 0;\nsetInterval(() => n++, 1);\nconst main = () => ({ n });\n",
    calls="let n = 0;\nexports.main = () => ({ n: ++n });\n",
    environment="const seen = process.env.GREETING || null;\nconst main = () => ({ seen, all: { ...process.env } });\n",
    death="function main() {\n  console.log('last words');\n  process.exit(3);\n}\n",
    children="""
const { spawn } = require('child_process');
function main({ token }) {
  for (let i = 0; i < 3; i++) {
    spawn('/bin/sh', ['-c', `sleep ${token} & sleep ${token}`], { detached: true, stdio: 'inherit' }).unref();
  }
  return {};
}
""",
    words="""
function main() {
  require('child_process').execFileSync('echo', ['child'], { stdio: 'inherit' });
  process.stdout.write('end');
  return {};
}
""",
    flood="""
function main({ lines = 0 }) {
  const line = 'x'.repeat(999);
  for (let i = 0; i < lines; i++) console.log(line);
  return {};
}
""",
    echo="const main = (args) => args;\n",
)

LANGUAGES = {"python": PYTHON, "nodejs": NODEJS}
