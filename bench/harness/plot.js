// Bar charts as SVG. The background stays transparent and the greys are of middle lightness: they can be read on white and
// on dark.
const INK = '#7a828e';
const OURS = '#3b82f6';
const OTHERS = '#98a1ae';
const [NAMES_WIDTH, BAR_WIDTH, VALUE_WIDTH, ROW, TOP] = [230, 250, 80, 24, 40];
const PANEL = BAR_WIDTH + VALUE_WIDTH;

/**
 * @param sections of each: `title` (may be missing), `rows` (`name`, `isOurs` and figures), and side by side `panels`:
 *   `title`, `figure` of a row and `format`
 * @returns the SVG
 */
export function drawBars(title, sections) {
  const width = NAMES_WIDTH + Math.max(...sections.map(({ panels }) => panels.length)) * PANEL;
  let y = TOP;
  const parts = sections.flatMap((section) => {
    const drawn = drawSection(section, y);
    y += heightOf(section);
    return drawn;
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<g font-family="system-ui, sans-serif" font-size="13" fill="${INK}">`,
    text(10, 18, title, 'font-weight="600" font-size="15"'),
    ...parts,
    '</g>',
    '</svg>',
  ].join('\n')}\n`;
}

const heightOf = ({ title, rows }) => (title === undefined ? 0 : ROW) + ROW + rows.length * ROW + 8;

function drawSection({ title, rows, panels }, top) {
  const heading = title === undefined ? [] : [text(10, top + ROW / 2, title, 'font-weight="600"')];
  const y = top + heading.length * ROW;
  const names = rows.map(({ name }, index) =>
    text(NAMES_WIDTH - 10, y + ROW + index * ROW + ROW / 2, name, 'text-anchor="end"'),
  );
  return [...heading, ...names, ...panels.flatMap((panel, index) => drawPanel(panel, rows, index, y))];
}

function drawPanel({ title, figure, format }, rows, index, top) {
  const x = NAMES_WIDTH + index * PANEL;
  const most = Math.max(...rows.map((row) => row[figure] ?? 0), Number.MIN_VALUE);
  const bars = rows.flatMap((row, at) => {
    if (row[figure] === undefined) return [];
    const [width, y] = [(row[figure] / most) * BAR_WIDTH, top + ROW + at * ROW];
    return [
      `<rect x="${x}" y="${y + 4}" width="${width.toFixed(1)}" height="${ROW - 8}" rx="2" fill="${row.isOurs ? OURS : OTHERS}"/>`,
      text(x + width + 6, y + ROW / 2, format(row[figure])),
    ];
  });
  return [text(x, top + ROW / 2, title, 'font-weight="600"'), ...bars];
}

function text(x, y, content, attributes = '') {
  return `<text x="${Number(x.toFixed(1))}" y="${y}" dominant-baseline="central" ${attributes}>${escapeXml(content)}</text>`;
}

function escapeXml(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
