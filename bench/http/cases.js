import { JSON_VALUE, KIB, TEXT } from './answers.js';

const plain = { path: '/', answer: TEXT, contentType: 'text/plain' };

/** What a browser sends with a request: ten fields with Host, which wrk adds. */
const browserFields = {
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.7',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  Referer: 'http://localhost/articles/index.html?page=2&order=newest',
  Cookie: 'session=6f1d2c9a4b7e4f0f9c3d; theme=dark; consent=1; _seen=1732549200',
  'Cache-Control': 'max-age=0',
  'Sec-Fetch-Mode': 'navigate',
  'Upgrade-Insecure-Requests': '1',
};

export const PLAIN_64 = 'plain text, 64 connections';

/** Of each: `body` and `fields` are of the request, `answer` and `contentType` of what must come back. */
export const cases = [
  { id: 'plain-64', title: PLAIN_64, connections: 64, ...plain },
  { id: 'plain-512', title: 'plain text, 512 connections', connections: 512, ...plain },
  {
    id: 'json',
    title: 'JSON, 64 connections',
    connections: 64,
    path: '/json',
    answer: JSON.stringify(JSON_VALUE),
    contentType: 'application/json',
  },
  {
    id: 'headers',
    title: '1 KiB of text, 10 request fields, 64 connections',
    connections: 64,
    path: '/kib',
    fields: browserFields,
    answer: KIB,
    contentType: 'text/plain',
  },
  {
    id: 'post',
    title: 'POST of 4 KiB, 64 connections',
    connections: 64,
    path: '/post',
    fields: { 'Content-Type': 'application/octet-stream' },
    body: 'x'.repeat(4096),
    answer: '4096',
    contentType: 'text/plain',
  },
];
