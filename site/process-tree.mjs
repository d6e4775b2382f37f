// The picture of the process tree on the first page, once for each colour scheme.

const schemes = {
  light: { line: '#9aa7a4', text: '#20302d', quiet: '#60716d', fill: '#ffffff', master: '#e3f3ef', user: '#fff3df' },
  dark: { line: '#566662', text: '#e6efed', quiet: '#a0b0ac', fill: '#1f2725', master: '#173a34', user: '#3a2f1a' },
};

const WIDTH = 760;
const HEIGHT = 330;

/** @returns SVG by the name of its file */
export function drawProcessTree() {
  return Object.entries(schemes).map(([name, colours]) => [`process-tree-${name}.svg`, draw(colours)]);
}

function draw(colours) {
  const box = (part) => drawBox(part, colours);
  const line = (path) =>
    `<path d="${path}" fill="none" stroke="${colours.line}" stroke-width="1.5" marker-end="url(#tip)"/>`;
  const label = (x, y, text) => `<text x="${x}" y="${y}" font-size="12" fill="${colours.quiet}">${text}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif">
<title>The process tree: the master holds the reactor threads and starts the manager, which starts workers and task workers</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="${colours.line}"/></marker></defs>
${box({ x: 10, y: 120, width: 96, title: 'clients', note: 'TCP, TLS, HTTP', fill: colours.fill })}
${box({ x: 170, y: 20, width: 250, height: 232, title: 'master', note: 'accepts, keeps everything running', fill: colours.master, top: true })}
${box({ x: 190, y: 84, width: 210, title: 'reactor thread 0', note: 'owns connections, frames', fill: colours.fill })}
${box({ x: 190, y: 166, width: 210, title: 'reactor thread 1', note: 'epoll, dispatch, send', fill: colours.fill })}
${box({ x: 170, y: 274, width: 250, height: 46, title: 'manager', note: 'spawns, reaps, replaces', fill: colours.master })}
${box({ x: 560, y: 20, width: 190, title: 'worker 0', note: 'your callbacks', fill: colours.user })}
${box({ x: 560, y: 98, width: 190, title: 'worker 1', note: 'your callbacks', fill: colours.user })}
${box({ x: 560, y: 176, width: 190, title: 'task worker', note: 'slow work', fill: colours.user })}
${line('M106 148H186')}${line('M106 156C140 156 150 194 186 194')}
${line('M400 104C470 104 480 48 556 48')}${line('M400 112C470 112 480 126 556 126')}${line('M400 188C470 188 490 136 556 136')}
${line('M655 154V172')}
${line('M295 252V270')}
${line('M420 297C500 297 520 210 556 210')}
${label(425, 40, 'rings in shared memory')}
${label(664, 168, 'tasks')}
</svg>
`;
}

function drawBox({ x, y, width, height = 56, title, note, fill, top = false }, colours) {
  const [centre, first] = [x + width / 2, top ? y + 26 : y + height / 2 - 4];
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" fill="${fill}" stroke="${colours.line}"/>
<text x="${centre}" y="${first}" text-anchor="middle" font-size="15" font-weight="600" fill="${colours.text}">${title}</text>
<text x="${centre}" y="${first + 18}" text-anchor="middle" font-size="12" fill="${colours.quiet}">${note}</text>`;
}
