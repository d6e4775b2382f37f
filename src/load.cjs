'use strict';
// Loads a part of the bundled program, with V8's code cache: what an earlier process has compiled is read, not compiled
// again. Every start, reload and replacement of a worker loads the program, so this is much of what they cost
// (docs/decisions/0029-start-and-memory.md). Runs in every process and thread, before all else. Written by hand: the
// compiler makes ES modules only, and Node loads CommonJS sooner.
//
// The cache lies beside the program, so who can write it can write the program too. A process that may not write there,
// or does not own the program (root in a user's folder), goes without; no fault of the cache is ever an error.

// Where nothing came before the user's modules that could have done so: src/util/heap-argument.ts.
if (process.execArgv.includes('--initial-old-space-size=64'))
  require('node:v8').setFlagsFromString('--initial-old-space-size=0');

const fs = require('node:fs');
const { createRequire } = require('node:module');
const { basename, join } = require('node:path');
const { cachedDataVersionTag } = require('node:v8');
const { Script } = require('node:vm');
const { crc32 } = require('node:zlib');

const HEAD = '(function (exports, require, module, __filename, __dirname) {';
const TAIL = '\n})';
/** The build ends each file with a hash of it, in as many letters. */
const HASH_LENGTH = 16;
/** At the end of a file of the cache. V8 believes what it reads, also a part that did not reach the disk. */
const CHECKSUM_BYTES = 4;
/** By then a process has called what it needs to start, and V8 caches only what it has compiled. */
const WRITE_AFTER_MS = 1000;
const SOON_MS = 1000;
const CACHE = join(__dirname, '.cache');
/**
 * Node knows the source maps only of what it has loaded itself. Node 21 and 22.0 have no checksum. For all files or none, also
 * where the script changes its mind: each loader would have a program of its own.
 */
const isLeftToNode = process.sourceMapsEnabled || crc32 === undefined;
/** As long as the longest file of the program and its cache. */
const SCRATCH_BYTES = 1 << 20;

const loaded = new Map();
/** Descriptors of files that are not loaded yet, in a process that cannot open them any more. */
const held = new Map();
/** What is loaded once the start is over. */
const awaited = [];
/** What was compiled, by the file of the cache that is to hold it. */
const uncached = new Map();
let timer;
/** For a turn of the event loop. */
let scratch;

module.exports = load;

/**
 * @param {string} name of a bundled file, such as `server`
 * @returns what it exports
 * @throws what the file throws, each time it is asked for
 */
function load(name) {
  const file = join(__dirname, `${name}.cjs`);
  const known = loaded.get(name);
  if (known !== undefined) return known.exports;
  const requireOther = createRequire(file);
  if (isLeftToNode) return requireOther(file);
  const requireAny = (id) => (id.startsWith('./') ? load(basename(id, '.cjs')) : requireOther(id));
  const module = { exports: {}, importModule, soon, settle };
  loaded.set(name, module);
  try {
    compile(file, name)(module.exports, requireAny, module, file, __dirname);
  } catch (error) {
    loaded.delete(name);
    throw error;
  }
  return module.exports;
}

/**
 * Loads what is used at any time once the start is over: later the package may have been replaced on disk, or the table of
 * descriptors may be full.
 * @param {() => unknown} load
 */
function soon(load) {
  awaited.push(load);
  if (awaited.length === 1) setTimeout(loadAwaited, SOON_MS).unref();
}

function loadAwaited() {
  for (const load of awaited.splice(0)) {
    try {
      load();
    } catch {
      // It is loaded where it is used, and fails there.
    }
  }
}

/** Before the process gives up rights, or sees other files: what the rest of the start loads is opened, and packages loaded. */
function settle() {
  for (const file of fs.readdirSync(__dirname)) {
    const name = basename(file, '.cjs');
    if (file.endsWith('.cjs') && !loaded.has(name)) held.set(name, fs.openSync(join(__dirname, file), 'r'));
  }
  for (const name of Object.keys(require('../package.json').dependencies)) awaited.push(() => require(name));
  loadAwaited();
}

/** For code from the cache, which has none of its own: src/util/import-module.ts. */
function importModule(specifier) {
  return import(specifier);
}

/** @returns the function that Node makes of a CommonJS module */
function compile(file, name) {
  const text = readWrapped(name, file);
  const hash = text.slice(-HASH_LENGTH - TAIL.length, -TAIL.length);
  // The tag stands for the version of V8, its flags and the processor; the folder stands in what V8 keeps, and so in stacks.
  const place = crc32(__dirname).toString(16);
  const cacheFile = join(CACHE, `${name}-${hash}-${cachedDataVersionTag().toString(16)}-${place}`);
  const cachedData = readCache(cacheFile);
  const script = new Script(text, {
    filename: file,
    columnOffset: -HEAD.length,
    cachedData,
  });
  if (cachedData === undefined || script.cachedDataRejected) writeLater(script, cacheFile);
  return script.runInThisContext();
}

/** In one string: V8 keeps it, and would keep a text that was put together twice. The build writes ASCII. */
function readWrapped(name, file) {
  const descriptor = held.get(name) ?? fs.openSync(file, 'r');
  held.delete(name);
  const bytes = readInto(descriptor, HEAD, TAIL);
  return bytes.latin1Slice(0, bytes.length);
}

/** @returns undefined: there is none, or it is not whole */
function readCache(file) {
  try {
    const bytes = readInto(fs.openSync(file, 'r'), '', '');
    const end = bytes.length - CHECKSUM_BYTES;
    const data = bytes.subarray(0, end);
    return crc32(data) === bytes.readUInt32LE(end) ? data : undefined;
  } catch {
    return undefined;
  }
}

/** All files into the same memory, one after the other: fresh memory is dearer than the reading. Closes the file. */
function readInto(descriptor, head, tail) {
  try {
    const { size } = fs.fstatSync(descriptor);
    const length = head.length + size + tail.length;
    if (scratch === undefined) setImmediate(() => (scratch = undefined)).unref();
    if (scratch === undefined || scratch.length < length)
      scratch = Buffer.allocUnsafeSlow(Math.max(length, SCRATCH_BYTES));
    const bytes = scratch.subarray(0, length);
    bytes.write(head, 'latin1');
    fs.readSync(descriptor, bytes, head.length, size, 0);
    bytes.write(tail, head.length + size, 'latin1');
    return bytes;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** A second after the last file was loaded, or when the process ends before. */
function writeLater(script, cacheFile) {
  uncached.set(cacheFile, script);
  if (timer !== undefined) return timer.refresh();
  timer = setTimeout(writeAll, WRITE_AFTER_MS).unref();
  process.on('exit', writeAll);
}

function writeAll() {
  clearTimeout(timer);
  timer = undefined;
  process.off('exit', writeAll);
  try {
    if (fs.statSync(__dirname).uid !== process.geteuid?.()) return;
    // Nobody else may write there, whatever the umask says.
    fs.mkdirSync(CACHE, { recursive: true, mode: 0o755 });
    for (const [file, script] of uncached) writeCache(script, file);
  } catch {
    // The next process compiles, as this one did.
  } finally {
    uncached.clear();
  }
}

/** Under a name of its own first: several processes and threads may do so at once, and others read meanwhile. */
function writeCache(script, file) {
  const { threadId } = require('node:worker_threads'); // 4 ms, so not in each process
  const own = `${file}.${process.pid}.${threadId}`;
  const data = script.createCachedData();
  const checksum = Buffer.alloc(CHECKSUM_BYTES);
  checksum.writeUInt32LE(crc32(data));
  try {
    fs.writeFileSync(own, Buffer.concat([data, checksum]), { mode: 0o644 });
    fs.renameSync(own, file);
  } catch (error) {
    fs.rmSync(own, { force: true });
    throw error;
  }
}
