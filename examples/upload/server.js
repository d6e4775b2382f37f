// Forms with files, and uploads of any size as a stream.
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HttpServer } from 'tswoole';

const folder = process.env.UPLOADS ?? mkdtempSync(join(tmpdir(), 'uploads-'));
const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), bodyLimit: '2g' });

const page = `<!doctype html><title>Upload</title>
<form method="post" enctype="multipart/form-data"><input name="note"><input type="file" name="file"><button>Send</button></form>`;

server.on('request', async (req, res) => {
  if (req.method === 'GET') return res.setHeader('content-type', 'text/html').end(page);
  // PUT: the body is the file. It is read as fast as it is hashed, never held in full.
  if (req.method === 'PUT') {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of req.stream) {
      hash.update(piece);
      bytes += piece.length;
    }
    return res.json({ bytes, sha256: hash.digest('hex') });
  }
  // POST: a form. Its files are on disk, and removed after the answer unless they are kept.
  const { fields, files } = await req.form();
  const kept = [];
  for (const [index, file] of files.entries()) {
    await file.keep(join(folder, `${req.fd}-${index}`));
    kept.push({ name: file.name, filename: file.filename, type: file.type, size: file.size });
  }
  res.json({ fields, files: kept });
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
