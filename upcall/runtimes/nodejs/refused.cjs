// An answer other than 200, with its text.
'use strict';

class Refused extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

module.exports = { Refused };
