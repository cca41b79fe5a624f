// What the process is as long as it lives: its streams, its action, what becomes of exceptions.
//
// Stdout and stderr block: what was printed before an answer is in the pipes when the answer is read. An exception that
// nobody catches ends the process, as it does in Node.js, while a run is under way; what happens between runs (a timer
// of an activation that has been answered) is printed and costs nobody else.
'use strict';

const { Action } = require('./action.cjs');
const order = require('./order.cjs');
const { report } = require('./report.cjs');

/** The action, whose code goes to `folder`, in `memory` bytes; `options` are those of `order.follow`. */
function runtime(folder, memory, options) {
  process.argv.length = 1; // the user's code gets no arguments
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => {}); // closed by the user's code
    if (stream._handle && stream._handle.setBlocking) stream._handle.setBlocking(true);
  }
  order.follow(options);
  const action = new Action(folder, memory);
  process.on('uncaughtException', (error) => {
    report(error);
    if (action.busy) process.exit(1);
  });
  return action;
}

module.exports = { runtime };
