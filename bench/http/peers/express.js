import { createServer } from 'node:http';
import { app } from '../apps/express.js';

createServer(app).listen(Number(process.env.PORT), '127.0.0.1', 511, () => console.log('ready'));
