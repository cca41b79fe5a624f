// In which order stdout and stderr were written to, and where an activation's output ends: as ../python/order.py, whose
// docstring has the theory.
'use strict';

const fs = require('fs');

const [STDOUT, STDERR] = [1, 2];
const MOST = 10000; // turns; who takes more is not followed any further
const AT_ONCE = 512;
const WHOLE = '\0whole\n';
const SENTINEL = 'XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n';
const unended = new Set(); // streams whose last line still lacks its newline
let marks = false;
let turns = [0]; // lines of stdout, of stderr, of stdout …

/** Count what is written to the two streams from now on. `marks`: end activations, and hand over no turns. */
function follow(options = {}) {
  ({ marks = false } = options);
  for (const [fd, stream] of [[STDOUT, process.stdout], [STDERR, process.stderr]]) {
    const write = stream.write;
    stream.write = function (chunk, ...rest) {
      note(fd, chunk);
      return write.call(this, chunk, ...rest);
    };
  }
}

/** Before anything else is printed: a platform of ours need not wait for the ends of activations. */
function promise() {
  write(STDOUT, WHOLE);
}

/** `chunk`, a text or bytes, goes to `fd`. */
function note(fd, chunk) {
  const text = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : '';
  const newline = typeof text === 'string' ? '\n' : 10;
  let lines = 0;
  for (let at = text.indexOf(newline); at >= 0; at = text.indexOf(newline, at + 1)) lines += 1;
  if (turns.length % 2 === fd - 1 && turns.length <= MOST) turns.push(0);
  turns[turns.length - 1] += lines;
  if (text.length && text[text.length - 1] !== newline) unended.add(fd);
  else if (text.length) unended.delete(fd);
}

/** An answer is due; `last`: no other one of this activation comes after it. */
function end(last) {
  if (marks && last) for (const fd of unended) endLine(fd);
  tell();
  if (marks && last) for (const fd of [STDOUT, STDERR]) write(fd, SENTINEL);
}

function endLine(fd) {
  write(fd, '\n');
  note(fd, '\n');
}

/** Hand the turns over, if both streams were used, and start anew. */
function tell() {
  if (turns.length === 1 && turns[0] === 0) return;
  const told = turns;
  turns = [0];
  const used = (stream) => told.some((lines, at) => lines && at % 2 === stream);
  if (marks || told.length > MOST || !used(0) || !used(1)) return;
  for (let at = 0; at < told.length; at += AT_ONCE) {
    write(STDERR, `\0order ${told.slice(at, at + AT_ONCE).join(' ')}\n`);
  }
}

function write(fd, line) {
  try {
    fs.writeSync(fd, line);
  } catch {
    // the user's code has closed it
  }
}

module.exports = { end, follow, note, promise };
