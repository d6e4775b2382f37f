// Medians over rounds in which all servers take turns, so that a slow minute of the machine meets them all.
export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Thrown where a server cannot be measured here: a program or package is not installed. */
export class Missing extends Error {}

/**
 * @param measure of a server: figures by name, or throws why there are none
 * @param say is told of each run
 * @returns runs as `{ server, round, ...figures }`, and by name why a server is `missing` (what it needs is not there) or
 *   has `failed`. Who fails once is asked no more: its other figures would stand beside none.
 */
export async function inTurn(servers, rounds, measure, say = () => {}) {
  const runs = [];
  const [missing, failed] = [{}, {}];
  const isOut = (name) => name in missing || name in failed;
  for (let round = 1; round <= rounds; round++) {
    for (const server of servers.filter(({ name }) => !isOut(name))) {
      try {
        const figures = await measure(server);
        runs.push({ server: server.name, round, ...figures });
        say(server.name, round, figures);
      } catch (error) {
        (error instanceof Missing ? missing : failed)[server.name] = error.message;
      }
    }
  }
  return { runs: runs.filter(({ server }) => !isOut(server)), missing, failed };
}

/** @returns what an option says as a whole number of at least 1; ends the process otherwise */
export function countOf(name, text) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  console.error(`--${name} takes a whole number of at least 1, not "${text}"`);
  return process.exit(1);
}
