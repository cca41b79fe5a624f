// The runtime of Node.js actions (spec: container.md §2, §8): main.cjs FOLDER BYTES.
//
// It answers on the listening socket that it finds as descriptor 3 and says "ok" on descriptor 4 when it does. FOLDER
// is for the user's code, BYTES the container's memory. Standard library of Node.js 16 and later, nothing else.
//
// Stdout and stderr block: what was printed before an answer is in the pipes when the answer is read, so that no
// sentinel is needed. An exception that nobody catches ends the process, as it does in Node.js, while a run is under
// way; what happens between runs (a timer of an activation that has been answered) is printed and costs nobody else.
'use strict';

const fs = require('fs');
const net = require('net');
const { Action } = require('./action.cjs');
const order = require('./order.cjs');
const { serve } = require('./server.cjs');
const { report } = require('./report.cjs');

const LISTENING = 3;
const STATUS = 4;

const action = new Action(process.argv[2], Number(process.argv[3]));
process.argv.length = 1; // the user's code gets no arguments

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', () => {}); // closed by the user's code
  if (stream._handle && stream._handle.setBlocking) stream._handle.setBlocking(true);
}
order.follow();

process.on('uncaughtException', (error) => {
  report(error);
  if (action.busy) process.exit(1);
});

const server = net.createServer((socket) => serve(socket, action));
server.listen({ fd: LISTENING }, () => {
  fs.writeSync(STATUS, 'ok');
  fs.closeSync(STATUS);
});
