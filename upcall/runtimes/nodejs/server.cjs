// HTTP/1.1 of the action container protocol (spec: container.md §2, §8).
//
// The only client is the platform. What it sends is well formed, or the connection is closed. A connection carries one
// request at a time and stays open; several run side by side, which is what an action's concurrency means here. An
// answer is one write.
'use strict';

const order = require('./order.cjs');
const { Refused } = require('./refused.cjs');

const REASONS = { 200: 'OK', 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found', 502: 'Bad Gateway' };
const LONGEST_HEAD = 65536;

/** Answer the requests of one connection until it ends. */
function serve(socket, action) {
  let head = Buffer.alloc(0); // what came before a request's head was whole
  let path = null;
  let body = null;
  let held = 0;

  function take(chunk) {
    if (path === null) {
      head = head.length ? Buffer.concat([head, chunk]) : chunk;
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) {
        if (head.length > LONGEST_HEAD) socket.destroy();
        return;
      }
      const text = head.toString('latin1', 0, end);
      path = text.split(' ', 2)[1];
      try {
        body = Buffer.allocUnsafe(Number((/\r\ncontent-length: *(\d+)/i.exec(text) || [])[1] || 0));
      } catch {
        socket.destroy(); // nobody sends that much, but in a container's network others than the platform may say so
        return;
      }
      chunk = head.subarray(end + 4);
    }
    const fits = chunk.subarray(0, body.length - held);
    fits.copy(body, held);
    held += fits.length;
    if (held < body.length) return;
    const request = [path, body];
    [head, path, body, held] = [chunk.subarray(fits.length), null, null, 0];
    answer(action, ...request).then(([code, text]) => {
      order.end(request[0] !== '/init' || code !== 200);
      socket.write(message(code, text));
    });
  }

  socket.on('data', take);
  socket.on('error', () => {}); // the platform has given the connection up
}

function message(code, text) {
  const head = `HTTP/1.1 ${code} ${REASONS[code]}\r\nContent-Type: application/json\r\n`;
  return Buffer.from(`${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
}

/** Status and JSON; never rejects. */
async function answer(action, path, body) {
  try {
    if (path === '/run') return [200, await action.run(parsed(body))];
    if (path !== '/init') throw new Refused(404, 'Not found.');
    await action.init(parsed(body));
    return [200, '{"ok":true}'];
  } catch (error) {
    if (error instanceof Refused) return [error.code, JSON.stringify({ error: error.message })];
    return [502, JSON.stringify({ error: `The runtime has failed: ${error}` })];
  }
}

function parsed(body) {
  let found;
  try {
    found = JSON.parse(body.toString());
  } catch (error) {
    throw new Refused(400, `The request is not valid JSON: ${error.message}`);
  }
  if (found === null || typeof found !== 'object' || Array.isArray(found)) {
    throw new Refused(400, 'The request is not a JSON object.');
  }
  return found;
}

module.exports = { serve };
