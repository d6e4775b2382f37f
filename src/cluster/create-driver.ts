import { choice } from '../options/check.js';
import {
  type DriverName,
  type DriverOptions,
  driverNames,
  type ResolvedDriverOptions,
  resolveDriverOptions,
} from '../options/cluster.js';
import type { ClusterDriver } from './driver.js';
import { BrokerDriver } from './drivers/broker-driver.js';
import type { Engine } from './drivers/engine.js';
import { memoryEngine } from './drivers/memory.js';
import { natsEngine } from './drivers/nats.js';
import { redisEngine } from './drivers/redis.js';

const engines: Readonly<Record<DriverName, (options: ResolvedDriverOptions) => Engine>> = {
  memory: memoryEngine,
  redis: redisEngine,
  nats: natsEngine,
};

/**
 * A driver that has not been started: nothing is loaded and nothing connects before `start`.
 * @throws ServerError ERR_OPTION_*: an unknown driver, or an option of the wrong type, range or value
 */
export function createDriver(name: DriverName, options: DriverOptions): ClusterDriver {
  const driver = choice(driverNames).check('cluster.driver', name);
  const resolved = resolveDriverOptions(driver, options);
  return new BrokerDriver(createEngine(driver, resolved), resolved);
}

export function createEngine(name: DriverName, options: ResolvedDriverOptions): Engine {
  return engines[name](options);
}
