// A stand-in for upstream's Node.js: connections are kept for five idle seconds, as Node has it; one run at a time
// unless __OW_ALLOW_CONCURRENT says otherwise, and a second one beside it is refused with 403. A run's sentinels are
// written around its answer: stdout's before, stderr's after.
'use strict';
const http = require('http');
const SENTINEL = 'XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX';
const many = (process.env.__OW_ALLOW_CONCURRENT || '').toLowerCase() === 'true';
let status = 'ready';
let main;

function init({ value }) {
  if (main) return [403, { error: 'Cannot initialize the action more than once.' }];
  if (!value.main || !value.code) return [403, { error: 'Missing main/no code to execute.' }];
  Object.assign(process.env, value.env);
  try {
    const inside = { exports: {} };
    new Function('module', 'exports', 'require', `${value.code}\nmodule.exports.${value.main} ||= ${value.main}`)(
      inside, inside.exports, require);
    main = inside.exports[value.main];
  } catch (error) {
    console.error('Error during initialization:', error);
    console.log(SENTINEL);
    console.error(SENTINEL);
    return [502, { error: `Initialization has failed due to: ${error}` }];
  }
  return [200, { OK: true }];
}

async function run(message) {
  if (!main || status !== 'ready') return [403, { error: `System is ${main ? status : 'not'} ready.` }];
  if (!many) status = 'running';
  for (const [key, value] of Object.entries(message)) {
    if (typeof value === 'string') process.env[`__OW_${key.toUpperCase()}`] = value;
  }
  try {
    const result = await main(message.value);
    if (!many) status = 'ready';
    if (typeof result !== 'object') return [502, { error: 'The action did not return a dictionary or array.' }];
    return [200, result];
  } catch (error) {
    console.error(error);
    status = 'stopped';
    return [502, { error: `An error has occurred: ${error}` }];
  }
}

http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', async () => {
    const message = JSON.parse(Buffer.concat(pieces));
    const [code, answer] = request.url === '/init' ? init(message) : await run(message);
    if (request.url === '/run') console.log(SENTINEL);
    const text = JSON.stringify(answer);
    response.writeHead(code, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    response.end(text, () => { if (request.url === '/run') console.error(SENTINEL); });
  });
}).listen(8080);
