// From an action's code to the function that is its `main`.
//
// Source is the body of a CommonJS module, in which `main` is found by its name, exported or not. A zip is a package:
// package.json says its main module, else it is index.js; `lib/file.name` as main names another module of it. ES
// modules are imported, in source too when it says `import()`.
'use strict';

const fs = require('fs');
const path = require('path');
const vm = require('vm');
const Module = require('module');
const { pathToFileURL } = require('url');
const { unpack } = require('./archive.cjs');
const { Refused } = require('./refused.cjs');

const NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*(\.[\p{ID_Start}$_][\p{ID_Continue}$]*)*$/u;
const MODULE_AND_NAME = /^(?:(.+)\.)?([^.]+)$/s;
const NO_MODULE = 'Zipped actions must contain either package.json or index.js at the root.';

/** The function `main` of the code. Rejects with Refused, or with what the code throws. */
async function load(code, main, binary, folder, memory) {
  fs.mkdirSync(folder, { recursive: true });
  const found = binary ? await fromZip(code, main, folder, memory) : fromSource(code, main, folder);
  if (typeof found !== 'function') throw new Refused(502, `Action entrypoint '${main}' is not a function.`);
  return found;
}

function fromSource(code, main, folder) {
  const file = path.join(folder, 'main.js');
  const module = new Module(file);
  module.filename = file;
  module.paths = Module._nodeModulePaths(folder);
  const last = NAME.test(main) ? `return ${main}` : '';
  const body = `${code}\n;try { ${last} } catch (error) { if (!(error instanceof ReferenceError)) throw error }`;
  let found;
  try {
    found = module._compile(body, file);
  } catch (error) {
    if (error instanceof SyntaxError) new vm.Script(Module.wrap(code), { filename: file }); // without our part
    throw error;
  }
  return found === undefined ? member(module.exports, main) : found;
}

async function fromZip(code, main, folder, memory) {
  unpack(code, folder, memory);
  process.chdir(folder);
  const [, inner, name] = MODULE_AND_NAME.exec(main) || [null, undefined, main];
  const file = entry(folder, inner);
  const module = isModern(file) ? await import(pathToFileURL(file).href) : Module.createRequire(file)(file);
  const found = member(module, name);
  return found === undefined && module ? member(module.default, name) : found;
}

/** The file of the module to load. */
function entry(folder, inner) {
  const resolve = Module.createRequire(path.join(folder, 'index.js')).resolve;
  if (inner !== undefined) return resolve(path.join(folder, inner));
  const there = (name) => fs.existsSync(path.join(folder, name));
  if (!there('package.json') && !there('index.js')) {
    if (there('index.mjs')) return path.join(folder, 'index.mjs');
    throw new Refused(502, NO_MODULE);
  }
  return resolve(folder);
}

/** Whether a file is an ES module: by its ending, else by the nearest package.json. */
function isModern(file) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const about = path.join(folder, 'package.json');
    if (fs.existsSync(about)) return JSON.parse(fs.readFileSync(about, 'utf8')).type === 'module';
    if (folder === path.dirname(folder)) return false;
  }
}

function member(object, dotted) {
  for (const name of dotted.split('.')) {
    if (object === null || object === undefined) return undefined;
    object = object[name];
  }
  return object;
}

module.exports = { load };
