// Runs a load generator that prints `measuring` when it has warmed up, and then its result as JSON.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** @param args program and arguments of Node @returns its result, and the server's CPU µs per message while it measured */
export async function runLoad(args, cpuUs) {
  const load = spawn(process.execPath, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  let before = 0;
  for await (const line of createInterface({ input: load.stdout })) {
    if (line === 'measuring') before = cpuUs();
    else {
      const passed = cpuUs() - before;
      const result = JSON.parse(line);
      return { ...result, cpuPerMessage: passed / Math.max(1, result.messages) };
    }
  }
  throw new Error('the load generator said nothing');
}
