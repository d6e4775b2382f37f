'use strict';
// Loads a part of the bundled program, with V8's code cache: what an earlier process has compiled is read, not compiled
// again. Every start, reload and replacement of a worker loads the program, so this is much of what they cost
// (docs/decisions/0029-start-and-memory.md). Runs in every process and thread, before all else. Written by hand: the
// compiler makes ES modules only, and Node loads CommonJS sooner.
//
// The cache lies beside the program, so who can write it can write the program too. A process that may not write there,
// or does not own the program (root in a user's folder), goes without.
const fs = require('node:fs');
const { createRequire } = require('node:module');
const { basename, join } = require('node:path');
const { constants, Script } = require('node:vm');

const HEAD = '(function (exports, require, module, __filename, __dirname) {';
const TAIL = '\n})';
/** The build ends each file with a hash of it, in as many letters. */
const HASH_LENGTH = 16;
/** By then a process has called what it needs to start, and V8 caches only what it has compiled. */
const WRITE_AFTER_MS = 1000;
const CACHE = join(__dirname, '.cache');

const loaded = new Map();

module.exports = load;

/**
 * @param {string} name of a bundled file, such as `server`
 * @returns what it exports
 */
function load(name) {
  const file = join(__dirname, `${name}.cjs`);
  const known = loaded.get(file);
  if (known !== undefined) return known.exports;
  const requireOther = createRequire(file);
  // Node knows the source maps only of what it has loaded itself.
  if (process.sourceMapsEnabled) return requireOther(file);
  const module = { exports: {} };
  loaded.set(file, module);
  const requireAny = (id) => (id.startsWith('./') ? load(basename(id, '.cjs')) : requireOther(id));
  compile(file, name)(module.exports, requireAny, module, file, __dirname);
  return module.exports;
}

/** @returns the function that Node makes of a CommonJS module */
function compile(file, name) {
  const text = readWrapped(file);
  const hash = text.slice(-HASH_LENGTH - TAIL.length, -TAIL.length);
  const cacheFile = join(CACHE, `${name}-${hash}-${process.version}-${process.arch}`);
  const cachedData = readCache(cacheFile);
  const script = new Script(text, {
    filename: file,
    cachedData,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  if (cachedData === undefined || script.cachedDataRejected) writeLater(script, cacheFile);
  return script.runInThisContext();
}

/** In one string: V8 keeps it, and would keep a text that was put together twice. The build writes ASCII. */
function readWrapped(file) {
  const descriptor = fs.openSync(file, 'r');
  try {
    const { size } = fs.fstatSync(descriptor);
    const bytes = Buffer.allocUnsafeSlow(HEAD.length + size + TAIL.length);
    bytes.write(HEAD, 'latin1');
    fs.readSync(descriptor, bytes, HEAD.length, size, 0);
    bytes.write(TAIL, HEAD.length + size, 'latin1');
    return bytes.toString('latin1');
  } finally {
    fs.closeSync(descriptor);
  }
}

function readCache(file) {
  try {
    return fs.readFileSync(file);
  } catch {
    return undefined;
  }
}

function writeLater(script, file) {
  if (fs.statSync(__dirname).uid !== process.geteuid?.()) return;
  const write = () => {
    clearTimeout(timer);
    process.off('exit', write);
    writeCache(script, file);
  };
  const timer = setTimeout(write, WRITE_AFTER_MS).unref();
  process.on('exit', write);
}

/** Whole or not at all, as V8 believes what it reads. Without a cache the next process compiles, as this one did. */
function writeCache(script, file) {
  const own = `${file}.${process.pid}`;
  try {
    fs.mkdirSync(CACHE, { recursive: true });
    fs.writeFileSync(own, script.createCachedData(), { flag: 'wx', flush: true });
    fs.renameSync(own, file);
  } catch {
    fs.rmSync(own, { force: true });
  }
}
