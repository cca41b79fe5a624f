"""Actions that the checks run, and the pieces that tell from outside what happens inside."""

from base64 import b64encode

ECHO = "def main(args):\n    return args"

MARKED = """
import os, time
ME = os.urandom(8).hex()
def main(args):
    time.sleep(args.get("sleep", 0))
    return {"me": ME}
"""
"""Says which container it is in. Python; `sleep` in seconds."""

SHARED = """
const me = require('crypto').randomBytes(8).toString('hex');
let active = 0, most = 0;
function main(args) {
  if (args.fail) throw new Error('asked to');
  active += 1; most = Math.max(most, active);
  return new Promise((resolve) => setTimeout(() => {
    active -= 1;
    resolve({ me, most, active });
  }, args.sleep || 0));
}
"""
"""The same for several at a time. Node.js; `sleep` in ms, `fail` for a developer error."""

BEATING = """
import os, threading, time
ME = os.urandom(8).hex()
BEATS = []
def beat():
    while True:
        BEATS.append(time.monotonic())
        time.sleep(0.02)
threading.Thread(target=beat, daemon=True).start()
def main(args):
    beats = [*BEATS, time.monotonic()]
    gap = max((b - a for a, b in zip(beats, beats[1:])), default=0)
    BEATS.clear()
    return {"me": ME, "gap": gap}
"""
"""A thread that never rests: a gap in its beats is a pause of the container."""

SEEN = """
import os
FIRST = dict(os.environ)
def main(args):
    return {"args": args, "first": FIRST, "now": dict(os.environ)}
"""
"""What it was given: arguments and environment, of /init and of /run."""

ANSWERING = """
const net = require('net');
const write = net.Socket.prototype.write;
let answer = %s;
let muted = null;
net.Socket.prototype.write = function (data, ...rest) {
  const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
  if (text.startsWith('HTTP/1.')) {
    muted = null;
    if (answer !== null) {
      const raw = Buffer.from(answer, 'base64');
      answer = null;
      muted = this;
      if (raw.length === 0) { this.destroy(); return true; }
      return write.call(this, raw, ...rest);
    }
  }
  return this === muted ? true : write.call(this, data, ...rest);
};
const me = require('crypto').randomBytes(8).toString('hex');
function main(args) {
  if (args.answer !== undefined) answer = args.answer;
  return { me };
}
"""
"""Puts bytes of the caller's choice (base64) in the place of the runtime's answer; none of them: the connection is
closed. `%s` is what answers /init: `null` for the runtime's own. Node.js."""


def http(status: int, body: bytes, *headers: str, length: bool = True) -> bytes:
    """An answer as bytes."""
    lines = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(init: bytes | None = None) -> str:
    """`ANSWERING`, whose /init is answered by these bytes; None: by the runtime's own."""
    return ANSWERING % ("null" if init is None else f"'{b64encode(init).decode()}'")


def said(raw: bytes) -> dict[str, str]:
    """Arguments of `ANSWERING` that make it answer these bytes."""
    return {"answer": b64encode(raw).decode()}
