import Fastify from 'fastify';
import { JSON_VALUE, KIB, TEXT } from '../answers.js';

const app = Fastify();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.get('/', (_request, reply) => reply.type('text/plain').send(TEXT));
app.get('/json', (_request, reply) => reply.send(JSON_VALUE));
app.get('/kib', (_request, reply) => reply.type('text/plain').send(KIB));
app.post('/post', (request, reply) => reply.type('text/plain').send(String(request.body.length)));
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
console.log('ready');
