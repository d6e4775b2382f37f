/* Run by Bun. */
import { app } from '../apps/hono.js';

Bun.serve({ hostname: '127.0.0.1', port: Number(process.env.PORT), fetch: app.fetch });
console.log('ready');
