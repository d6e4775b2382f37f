// Drives wrk, which takes the requests from a Lua file and prints its figures through the same.
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const REPORT = `
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{"durationUs":%d,"requests":%d,"socketErrors":%d,"badStatuses":%d,"p50Us":%d,"p99Us":%d}\\n',
    summary.duration, summary.requests, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50), latency:percentile(99)))
end
`;

export function hasWrk() {
  return spawnSync('wrk', ['-v'], { stdio: 'ignore' }).error === undefined;
}

/** Writes the requests of a case for wrk; with `pipelined` so many leave together on each connection. */
export function writeScript(file, { fields = {}, body, pipelined }) {
  const lines = Object.entries(fields).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  if (body !== undefined) lines.push('wrk.method = "POST"', `wrk.body = "${body}"`);
  if (pipelined !== undefined) {
    lines.push(`init = function() batch = string.rep(wrk.format(), ${pipelined}) end`);
    lines.push('request = function() return batch end');
  }
  writeFileSync(file, `${lines.join('\n')}\n${REPORT}`);
}

/**
 * Warms a server up, for `warmUp` seconds, and measures it.
 * @returns requests, requests/s, CPU µs per request, p50Us, p99Us, errors of both kinds
 */
export async function measureRequests({ port, cpuUs }, script, one, { warmUp = 1, seconds }) {
  await runWrk(script, port, one, warmUp);
  const before = cpuUs();
  const { durationUs, requests, ...figures } = await runWrk(script, port, one, seconds);
  return {
    requests,
    requestsPerSecond: (requests * 1e6) / durationUs,
    cpuUs: (cpuUs() - before) / Math.max(1, requests),
    ...figures,
  };
}

/** One run: as many connections, one request in flight on each. */
function runWrk(script, port, { connections, path, isSecure }, seconds) {
  const args = [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '-s',
    script,
    `${isSecure ? 'https' : 'http'}://127.0.0.1:${port}${path}`,
  ];
  const wrk = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: (seconds + 20) * 1000 });
  const end = () => wrk.kill('SIGKILL');
  process.once('exit', end);
  return new Promise((resolve, reject) => {
    let output = '';
    wrk.stdout.on('data', (data) => {
      output += data;
    });
    wrk.once('error', reject);
    wrk.once('close', () => {
      process.off('exit', end);
      const figures = /^\{.*\}$/m.exec(output)?.[0];
      if (figures === undefined) reject(new Error('wrk said nothing'));
      else resolve(JSON.parse(figures));
    });
  });
}
