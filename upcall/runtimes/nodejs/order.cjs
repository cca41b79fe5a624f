// In which order stdout and stderr were written to: as ../python/order.py, whose docstring has the theory.
'use strict';

const fs = require('fs');

const [STDOUT, STDERR] = [1, 2];
const MOST = 10000; // turns; who takes more is not followed any further
const AT_ONCE = 512;
let turns = [0]; // lines of stdout, of stderr, of stdout …

/** Count what is written to the two streams from now on. */
function follow() {
  for (const [fd, stream] of [[STDOUT, process.stdout], [STDERR, process.stderr]]) {
    const write = stream.write;
    stream.write = function (chunk, ...rest) {
      note(fd, chunk);
      return write.call(this, chunk, ...rest);
    };
  }
}

/** `chunk`, a text or bytes, goes to `fd`. */
function note(fd, chunk) {
  const text = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : '';
  const newline = typeof text === 'string' ? '\n' : 10;
  let lines = 0;
  for (let at = text.indexOf(newline); at >= 0; at = text.indexOf(newline, at + 1)) lines += 1;
  if (turns.length % 2 === fd - 1 && turns.length <= MOST) turns.push(0);
  turns[turns.length - 1] += lines;
}

/** Hand the turns over, if both streams were used, and start anew. */
function tell() {
  if (turns.length === 1 && turns[0] === 0) return;
  const told = turns;
  turns = [0];
  if (told.length > MOST || !(told.some((n, at) => n && at % 2 === 0) && told.some((n, at) => n && at % 2))) return;
  try {
    for (let at = 0; at < told.length; at += AT_ONCE) {
      fs.writeSync(STDERR, `\0order ${told.slice(at, at + AT_ONCE).join(' ')}\n`);
    }
  } catch {
    // the user's code has closed it
  }
}

module.exports = { follow, note, tell };
