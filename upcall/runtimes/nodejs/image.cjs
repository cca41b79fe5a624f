// The runtime in a container of its own image, for any Invoker: image.cjs BYTES. HTTP on port 8080, and a mark where an
// activation's output ends (spec: container.md §2, §8; logs.md §1). BYTES is the container's memory, 0 for no bound.
//
// The port is open before all the rest is loaded, so that who wants it waits for an answer, and not until it tries
// again. Runs are side by side unless the Invoker says that they may not be: then each waits for the one before it.
'use strict';

const net = require('net');

const PORT = 8080;
const FOLDER = '/action';
const OURS = '/dev/upcall.'; // where a platform of ours has led the output to; any other has a pipe there

const server = net.createServer({ noDelay: true }).listen(PORT, '0.0.0.0', 1024);

const fs = require('fs');
const order = require('./order.cjs');
const { runtime } = require('./runtime.cjs');
const { serve } = require('./server.cjs');

/** An action that is called once at a time. */
class OneByOne {
  constructor(action) {
    this._action = action;
    this._last = Promise.resolve();
  }

  init(body) {
    return this._action.init(body);
  }

  run(body) {
    const run = this._last.then(() => this._action.run(body));
    this._last = run.catch(() => {});
    return run;
  }
}

const parallel = process.env.__OW_ALLOW_CONCURRENT !== 'false';
const ours = fs.readlinkSync('/proc/self/fd/2').startsWith(OURS);
const action = runtime(FOLDER, Number(process.argv[2]) || Infinity, { marks: !ours });
if (ours) order.promise();
const served = parallel ? action : new OneByOne(action);
server.on('connection', (socket) => serve(socket, served));
