'use strict';
// What `require('tswoole')` gives: the same objects as `import` gives, as there is one copy of the program.
const { join } = require('node:path');

module.exports = load();

function load() {
  try {
    return require('./index.js');
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM') throw error;
    const text =
      `tswoole is an ES module, and Node ${process.version} does not require() one. Use Node 20.19, 22.12 or newer, ` +
      "or import it: import { Server } from 'tswoole' in a file whose name ends with .mjs, or in a package with " +
      '"type": "module" in its package.json.';
    throw Object.assign(new Error(text, { cause: error }), { code: error.code, path: join(__dirname, 'index.js') });
  }
}
