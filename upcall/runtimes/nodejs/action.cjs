// The user's code: loaded once by /init, called by each /run (spec: container.md §2, §8).
//
// As OpenWhisk's runtime has it: what is returned or resolved is the result, undefined is {}; what is rejected is an
// application error (200, `{"error": reason}`); what `main` throws itself is a developer error (502). Anything that is
// no object or array is refused.
'use strict';

const fs = require('fs');
const environment = require('./environment.cjs');
const { load } = require('./load.cjs');
const { Refused } = require('./refused.cjs');
const { reason, report, sentence, trace } = require('./report.cjs');

const NO_CODE = 'Missing main/no code to execute.';
const TWICE = 'Cannot initialize the action more than once.';
const UNINITIALISED = 'Cannot invoke an uninitialized action.';
const NOT_OBJECT = 'The action did not return a dictionary or array.';

class Action {
  constructor(folder, memory) {
    this._folder = folder;
    this._memory = memory;
    this._main = null;
    this._loading = false;
    this._active = 0;
  }

  /** Whether the user's code is at work for an activation. */
  get busy() {
    return this._active > 0;
  }

  /** Load the code; rejects with Refused. */
  async init(body) {
    if (this._loading) throw new Refused(403, TWICE);
    const value = body.value || {};
    if (typeof value.code !== 'string' || !value.code.trim()) throw new Refused(403, NO_CODE);
    environment.set(value.env || {});
    this._loading = true;
    this._active += 1;
    try {
      this._main = await load(value.code, value.main || 'main', Boolean(value.binary), this._folder, this._memory);
    } catch (error) {
      if (error instanceof Refused) throw error;
      report(error);
      throw new Refused(502, `Initialization has failed due to: ${trace(error)}`);
    } finally {
      this._ended();
    }
  }

  /** Call the code; its result as JSON. Rejects with Refused. */
  async run(body) {
    if (this._main === null) throw new Refused(403, UNINITIALISED);
    const { value, ...context } = body;
    this._active += 1;
    try {
      return await environment.during(context, () => this._call(value === undefined ? {} : value));
    } finally {
      this._ended();
    }
  }

  /** The next connection must not get the number of a standard stream that the user's code has closed. */
  _ended() {
    this._active -= 1;
    for (const fd of [0, 1, 2]) {
      try {
        fs.fstatSync(fd);
      } catch {
        fs.openSync('/dev/null', 'r+'); // takes the lowest number
      }
    }
  }

  async _call(value) {
    let result;
    try {
      result = this._main(value);
    } catch (error) {
      report(error);
      throw new Refused(502, `An error has occurred: ${sentence(error)}`);
    }
    try {
      result = await result;
    } catch (error) {
      return reason(error);
    }
    if (result === undefined) return '{}';
    if (typeof result !== 'object') throw new Refused(502, NOT_OBJECT);
    return encoded(result);
  }
}

function encoded(result) {
  let text;
  let why = 'its toJSON gives nothing';
  try {
    text = JSON.stringify(result);
  } catch (error) {
    report(error);
    why = sentence(error);
  }
  if (text === undefined) throw new Refused(502, `The action returned a value that is not JSON: ${why}`);
  return text;
}

module.exports = { Action };
