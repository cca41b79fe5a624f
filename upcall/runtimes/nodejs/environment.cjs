// process.env: /init's values for good, and each /run's own.
//
// Several activations may run side by side in one process. Each, with whatever it starts, reads the values of its own
// /run; everybody else (native code) sees the newest ones, as in OpenWhisk's runtime.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');
const { Refused } = require('./refused.cjs');

const shared = process.env;
const runs = new AsyncLocalStorage();
const has = (object, name) => object !== undefined && Object.prototype.hasOwnProperty.call(object, name);

process.env = new Proxy(shared, {
  get(target, name) {
    const own = runs.getStore();
    return has(own, name) ? own[name] : target[name];
  },
  set(target, name, value) {
    target[name] = value;
    const own = runs.getStore();
    if (has(own, name)) own[name] = target[name];
    return true;
  },
  deleteProperty(target, name) {
    const own = runs.getStore();
    if (has(own, name)) delete own[name];
    return delete target[name];
  },
  getOwnPropertyDescriptor(target, name) {
    const found = Object.getOwnPropertyDescriptor(target, name);
    const own = runs.getStore();
    if (found && has(own, name)) found.value = own[name];
    return found;
  },
});

/** Set variables for good; throws Refused, which names the one that cannot be set. */
function set(values) {
  for (const [name, value] of Object.entries(values)) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    if (name === '' || /[=\0]/.test(name) || text.includes('\0')) {
      throw new Refused(502, `The environment variable '${name}' cannot be set: there is a zero byte in it, or a =`);
    }
    shared[name] = text;
  }
}

/** Call with the context of a /run as variables; what is no text has none. */
function during(context, call) {
  const own = {};
  for (const [name, value] of Object.entries(context)) {
    if (typeof value === 'string') own[`__OW_${name.toUpperCase()}`] = value;
  }
  set(own);
  return runs.run(own, call);
}

module.exports = { during, set };
