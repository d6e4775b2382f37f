import { describe, expect, it } from 'vitest';
import { withExplicitValues } from '../../src/cli/option-flags.js';

describe('flags that need no value', () => {
  it.each([
    ['start --daemon app.js', 'start --daemon=true app.js'],
    ['start -d app.js --port 1', 'start --daemon=true app.js --port 1'],
    ['start app.js --daemon', 'start app.js --daemon=true'],
    ['start --daemon false app.js', 'start --daemon false app.js'],
    ['start --watch app.js', 'start --watch=true app.js'],
    ['start --watch=src,lib app.js', 'start --watch=src,lib app.js'],
    ['start --cpu-affinity 0,2 app.js', 'start --cpu-affinity 0,2 app.js'],
    ['start --cpu-affinity app.js', 'start --cpu-affinity=true app.js'],
    ['start app.js -- --daemon -d', 'start app.js -- --daemon -d'],
    ['start app.js -d -- x', 'start app.js --daemon=true -- x'],
    ['start app.js --compression {bad', 'start app.js --compression {bad'],
    ['start app.js --access-log json', 'start app.js --access-log json'],
    ['start --access-log app.js', 'start --access-log=true app.js'],
    ['systemd --keep-alive app.js', 'systemd --keep-alive=true app.js'],
    ['stop --daemon x', 'stop --daemon x'],
  ])('%s means %s', (given, meant) => {
    expect(withExplicitValues(given.split(' ')).join(' ')).toBe(meant);
  });
});
