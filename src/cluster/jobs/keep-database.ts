import type { Redis } from 'ioredis';

/** Redis wants a password first: why it did not take the one that it was given, AUTH tells. */
const NO_AUTH = /^NOAUTH/;

/**
 * Never ready in another database than the one it is to have. ioredis goes on in database 0 where the number is too high, or the
 * user may not select: jobs of one stage would be written into, and taken from, those of another. So each SELECT that is refused,
 * the ones of later connections too, tells its error, ends the connection, and is never answered: its handshake does not go on.
 * Must be called before the connection is there.
 */
export function keepDatabase(client: Redis): Redis {
  const select = client.select.bind(client) as (database: number) => Promise<'OK'>;
  client.select = async (database: number | string) => {
    try {
      return await select(Number(database));
    } catch (cause) {
      const { message } = cause as Error;
      if (!NO_AUTH.test(message)) {
        client.emit('error', new Error(`database ${database} cannot be selected: ${message}`, { cause }));
      } else if (!client.options.password) client.emit('error', cause as Error);
      client.disconnect(true);
      return await new Promise<never>(() => {});
    }
  };
  return client;
}
