// What is said of the user's exceptions, in the log and in answers.
'use strict';

const fs = require('fs');
const { inspect } = require('util');
const order = require('./order.cjs');

const STDERR = 2;

/** Print an exception to stderr, which is the activation's log. */
function report(error) {
  try {
    const text = `${trace(error)}\n`;
    fs.writeSync(STDERR, text);
    order.note(STDERR, text);
  } catch {
    // the user's code has closed it
  }
}

/** The stack down to this runtime's own frames; whatever else was thrown as Node.js shows it. */
function trace(error) {
  try {
    if (error === null || typeof error !== 'object' || typeof error.stack !== 'string') return inspect(error);
    const lines = error.stack.split('\n');
    const own = lines.findIndex((line) => line.includes(__dirname));
    return lines.slice(0, own < 0 ? lines.length : own).join('\n');
  } catch {
    return 'an exception that cannot be shown';
  }
}

/** The exception as a text of one line. */
function sentence(error) {
  try {
    return String(error);
  } catch {
    return 'an exception that cannot be shown';
  }
}

/** JSON of a rejection's reason: errors become objects with name, message, stack and what else they have. */
function reason(error) {
  if (typeof error === 'function' || typeof error === 'symbol') return JSON.stringify({ error: sentence(error) });
  try {
    return JSON.stringify({ error: error || {} }, (key, value) => (value instanceof Error ? plain(value) : value));
  } catch {
    return JSON.stringify({ error: sentence(error) });
  }
}

function plain(error) {
  return { name: error.name, message: error.message, stack: trace(error), ...error };
}

module.exports = { reason, report, sentence, trace };
