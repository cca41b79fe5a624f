// Unpacks a base64 zip, which Node.js has no means for: the central directory, stored and deflated entries.
//
// Archives are refused, not repaired, when an entry climbs out of the folder or when unpacking would fill it. Sizes are
// believed as an upper bound only: inflating stops at the declared one. Symbolic links (node_modules/.bin) are made
// when all files are there, so that none is written through one; where they lead is looked at when all of them exist.
'use strict';

const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const { Refused } = require('./refused.cjs');

const MAX_ENTRIES = 50000;
const realpath = fs.realpathSync.native; // the other one takes `link/..` for the link's own folder
const [END, ENTRY, LOCAL] = [0x06054b50, 0x02014b50, 0x04034b50];
const [END_BYTES, ENTRY_BYTES, LOCAL_BYTES] = [22, 46, 30];
const LONGEST_COMMENT = 65535;
const [STORED, DEFLATED] = [0, 8];
const [TYPE, LINK, EXECUTABLE] = [0o170000, 0o120000, 0o100];

/** Extract into the folder, which exists; throws Refused. `memory` bounds it where its free space cannot be had. */
function unpack(code, folder, memory) {
  const data = Buffer.from(code, 'base64');
  const entries = directory(data);
  const free = space(folder, memory);
  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (entries.length > MAX_ENTRIES || size > free) {
    const bounds = `${free} bytes or ${MAX_ENTRIES} files`;
    throw new Refused(502, `The action's zip file is too large: it would unpack to more than ${bounds}.`);
  }
  for (const entry of entries) {
    if (path.isAbsolute(entry.name) || !within(folder, path.join(folder, entry.name))) throw outside(entry);
  }
  try {
    for (const entry of entries) if (!entry.link) write(data, entry, path.join(folder, entry.name));
    const links = entries.filter((entry) => entry.link);
    for (const entry of links) link(data, entry, folder);
    for (const entry of links) if (!leadsInside(entry, folder)) throw leadingOut(entry);
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(502, `The action's zip file cannot be unpacked: ${error.message}`);
  }
}

/** The entries as the central directory lists them. */
function directory(data) {
  const end = endOf(data);
  if (end < 0) throw notZip('File is not a zip file');
  const count = data.readUInt16LE(end + 10);
  const length = data.readUInt32LE(end + 12);
  const start = data.readUInt32LE(end + 16);
  const shift = end - length - start; // something may stand before the archive
  if (count === 0xffff || length === 0xffffffff || shift < 0) throw notZip('Bad magic number for central directory');
  const entries = [];
  for (let at = start + shift; entries.length < count; ) {
    if (at + ENTRY_BYTES > end || data.readUInt32LE(at) !== ENTRY) throw notZip('Truncated central directory');
    const [nameBytes, extra, comment] = [28, 30, 32].map((offset) => data.readUInt16LE(at + offset));
    entries.push(read(data, at, nameBytes, shift));
    at += ENTRY_BYTES + nameBytes + extra + comment;
  }
  return entries;
}

function endOf(data) {
  const last = Math.max(0, data.length - END_BYTES - LONGEST_COMMENT);
  for (let at = data.length - END_BYTES; at >= last; at--) if (data.readUInt32LE(at) === END) return at;
  return -1;
}

function read(data, at, nameBytes, shift) {
  const mode = data.readUInt32LE(at + 38) >>> 16;
  return {
    name: data.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes),
    encrypted: (data.readUInt16LE(at + 8) & 1) === 1,
    method: data.readUInt16LE(at + 10),
    check: data.readUInt32LE(at + 16),
    packed: data.readUInt32LE(at + 20),
    size: data.readUInt32LE(at + 24),
    offset: data.readUInt32LE(at + 42) + shift,
    link: (mode & TYPE) === LINK,
    executable: (mode & EXECUTABLE) !== 0,
  };
}

function write(data, entry, target) {
  if (entry.name.endsWith('/')) {
    fs.mkdirSync(target, { recursive: true });
    return;
  }
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.writeFileSync(target, content(data, entry), { mode: entry.executable ? 0o755 : 0o644 });
}

function link(data, entry, folder) {
  const target = path.join(folder, entry.name);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.symlinkSync(content(data, entry).toString(), target);
}

/** Whether a link leads, over others too, to something in the folder; what it names need not exist. */
function leadsInside(entry, folder) {
  const root = realpath(folder);
  const target = path.join(folder, entry.name);
  try {
    return within(root, realpath(target));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return within(root, path.resolve(realpath(path.dirname(target)), fs.readlinkSync(target)));
  }
}

function content(data, entry) {
  const { name, offset, packed, size } = entry;
  if (entry.encrypted) throw new Error(`File '${name}' is encrypted`);
  if (offset + LOCAL_BYTES > data.length || data.readUInt32LE(offset) !== LOCAL) throw new Error(`'${name}' is missing`);
  const start = offset + LOCAL_BYTES + data.readUInt16LE(offset + 26) + data.readUInt16LE(offset + 28);
  const raw = data.subarray(start, start + packed);
  const found = inflated(raw, entry);
  if (raw.length < packed || found.length !== size) throw new Error(`File '${name}' is not as long as it says`);
  if (zlib.crc32 && zlib.crc32(found) !== entry.check) throw new Error(`Bad CRC-32 for file '${name}'`);
  return found;
}

function inflated(raw, { name, method, size }) {
  if (method === STORED) return raw;
  if (method !== DEFLATED) throw new Error(`File '${name}' is compressed by method ${method}; deflate is needed`);
  return zlib.inflateRawSync(raw, { maxOutputLength: Math.max(1, size) });
}

function space(folder, memory) {
  if (!fs.statfsSync) return memory; // Node.js 16
  const found = fs.statfsSync(folder);
  return found.bavail * found.bsize;
}

function within(folder, target) {
  return path.join(target, '/').startsWith(path.join(folder, '/'));
}

function notZip(why) {
  return new Refused(502, `The action's code is not a zip file in base64: ${why}`);
}

function leadingOut(entry) {
  return new Refused(502, `The action's zip file holds a link that leads out of it: ${entry.name}`);
}

function outside(entry) {
  return new Refused(502, `The action's zip file holds a path outside of it: ${entry.name}`);
}

module.exports = { unpack };
