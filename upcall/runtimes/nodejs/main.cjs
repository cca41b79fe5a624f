// The runtime of Node.js actions in a sandbox (spec: container.md §2, §8): main.cjs FOLDER BYTES.
//
// It answers on the listening socket that it finds as descriptor 3 and says "ok" on descriptor 4 when it does. FOLDER
// is for the user's code, BYTES the container's memory. Standard library of Node.js 16 and later, nothing else.
'use strict';

const fs = require('fs');
const net = require('net');
const { runtime } = require('./runtime.cjs');
const { serve } = require('./server.cjs');

const LISTENING = 3;
const STATUS = 4;

const action = runtime(process.argv[2], Number(process.argv[3]));
const server = net.createServer((socket) => serve(socket, action));
server.listen({ fd: LISTENING }, () => {
  fs.writeSync(STATUS, 'ok');
  fs.closeSync(STATUS);
});
