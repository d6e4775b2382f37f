// Server-sent events: every browser on the page sees each message, whichever worker has its connection.
import { HttpServer } from 'tswoole';

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), workerNum: 2 });

const page = `<!doctype html><title>Events</title><ul></ul><form><input autofocus></form><script>
const list = document.querySelector('ul'), input = document.querySelector('input');
new EventSource('/events').onmessage = ({ data }) => { list.append(Object.assign(document.createElement('li'), { textContent: data })); };
document.querySelector('form').onsubmit = (event) => { event.preventDefault(); fetch('/say', { method: 'POST', body: input.value }); input.value = ''; };
</script>`;

/** The open streams of this worker. */
const streams = new Set();
let id = 0;

function tell(text) {
  for (const stream of streams) stream.send({ id: String(++id), data: text });
}

server.on('request', async (req, res) => {
  if (req.path === '/') return res.setHeader('content-type', 'text/html').end(page);
  if (req.path === '/events') {
    const stream = res.sse();
    streams.add(stream);
    stream.closed.addEventListener('abort', () => streams.delete(stream));
    return stream.comment('welcome');
  }
  if (req.path !== '/say') return res.fail(404, 'there is no such thing');
  const text = await req.text();
  tell(text);
  for (const worker of server.workers) if (worker.id !== server.workerId) await server.sendMessage(text, worker.id);
  res.end();
});
server.on('pipeMessage', tell);

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
