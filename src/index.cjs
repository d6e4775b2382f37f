'use strict';
// What `require('tswoole')` gives: the same objects as `import` gives, as there is one copy of the program.
module.exports = require('./load.cjs')('server');
