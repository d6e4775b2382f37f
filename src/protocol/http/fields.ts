export function parseFields(text: string): string[] {
  const out: string[] = [];
  for (const line of text.split('\r\n')) {
    const i = line.indexOf(':');
    if (i > 0) out.push(line.slice(0, i), line.slice(i + 1).trim());
  }
  return out;
}
