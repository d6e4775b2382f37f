// What could be changed in the files of `src`, one token each: see docs/decisions/0024-mutants.md.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAst } from 'rolldown/parseAst';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs in the tests. It writes in a microtask, since a system call within a function of `src` would change errno. */
function noteTaker(path) {
  const { appendFileSync } = process.getBuiltinModule('node:fs');
  const later = queueMicrotask;
  const seen = new Set();
  let fresh = [];
  const write = () => {
    appendFileSync(path, fresh.join(''));
    fresh = [];
  };
  return (place) => {
    if (seen.has(place)) return;
    seen.add(place);
    if (fresh.push(`${place}\n`) === 1) later(write);
  };
}

/** The files of `src` with what could be changed in them, and the places where it is noted that a test came by. */
export function readSources() {
  const files = filesIn(join(root, 'src')).filter((file) => /(?<!\.d)\.ts$/.test(file));
  return files.map((file) => new Source(file, readFileSync(join(root, file), 'utf8')));
}

export function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return files.map((file) => relative(root, file)).sort();
}

const OTHER_OPERATOR = {
  ...{ '<': '<=', '<=': '<', '>': '>=', '>=': '>', '===': '!==', '!==': '===', '==': '!=', '!=': '==' },
  ...{ '+': '-', '-': '+', '*': '/', '/': '*', '%': '*', '<<': '>>', '>>': '<<', '>>>': '<<' },
  ...{ '&': '|', '|': '&', '^': '&', '&&': '||', '||': '&&', '??': '&&', '++': '--', '--': '++' },
  ...{ '+=': '-=', '-=': '+=', '*=': '/=', '/=': '*=', '|=': '&=', '&=': '|=', '<<=': '>>=', '>>=': '<<=' },
};
const LOG_CALL = /(^|\.|#)log(\(\))?\??\.(trace|debug|info|notice|warn|error|fatal)$/i;
/** Values of these keys, and arguments of these calls, are text for people. */
const FOR_PEOPLE = /^(help|advice|sentence|says|summary|description|usage|hint)$/;
const THREE_WORDS = /[a-z]+,? [a-z]+,? [a-z]+/i;
const TYPES = /^TS(?!(As|Satisfies|NonNull)|ParameterProperty)/;

/** One file of `src`: its mutants, and its places (each function, and the file itself, which is loaded). */
class Source {
  mutants = [];
  #inserts = [];
  #place;
  #places = 0;

  constructor(file, text) {
    this.file = file;
    this.text = text;
    this.place = this.#place = this.#newPlace();
    for (const node of parseAst(text, { lang: 'ts' }).body) this.#visit(node);
    for (const mutant of this.mutants) mutant.key = keyOf(mutant, this.mutants);
  }

  /** The file with a note at the begin of each function. */
  instrumented(notes) {
    const open = `globalThis.__pass ??= (${String(noteTaker).replaceAll('\n', ' ')})(${JSON.stringify(notes)}); `;
    const start = this.text.startsWith('#!') ? this.text.indexOf('\n') + 1 : 0;
    const inserts = [[start, `${open}__pass('${this.place}'); `], ...this.#inserts].sort((a, b) => b[0] - a[0]);
    return inserts.reduce((text, [at, added]) => text.slice(0, at) + added + text.slice(at), this.text);
  }

  with({ start, end, after }) {
    return this.text.slice(0, start) + after + this.text.slice(end);
  }

  #visit(node) {
    if (Array.isArray(node)) for (const one of node) this.#visit(one);
    if (typeof node?.type !== 'string' || isLeftOut(node, this.text)) return;
    const outer = this.#place;
    if (isFunction(node)) this.#enter(node.body);
    if (isForCompiler(node)) return this.#visit(node.left);
    this.#mutate(node);
    for (const [key, child] of Object.entries(node)) {
      if (typeof child === 'object' && !isName(node, key)) this.#visit(child);
    }
    this.#place = outer;
  }

  #newPlace() {
    return `${this.file}#${this.#places++}`;
  }

  #enter(body) {
    this.#place = this.#newPlace();
    const note = `globalThis.__pass?.('${this.#place}')`;
    if (body.type === 'BlockStatement') this.#inserts.push([body.start + 1, ` ${note};`]);
    else this.#inserts.push([body.start, `(${note}, `], [body.end, ')']);
  }

  #mutate(node) {
    switch (node.type) {
      case 'BinaryExpression':
      case 'LogicalExpression':
      case 'AssignmentExpression':
        return this.#operator(node);
      case 'UpdateExpression':
        return this.#add(node.start, node.end, swap(this.#slice(node), node.operator), 'operator');
      case 'UnaryExpression':
        if (/[!~-]/.test(node.operator)) this.#add(node.start, node.start + 1, '', 'operator');
        return undefined;
      case 'Literal':
        return this.#literal(node);
      case 'TemplateLiteral':
        return this.#add(node.start, node.end, '``', 'text');
      case 'ExpressionStatement':
        if (isCall(node.expression)) this.#add(node.start, node.end, ';', 'call');
        return undefined;
      case 'ReturnStatement':
        return this.#returned(node);
      case 'IfStatement':
      case 'ConditionalExpression':
      case 'WhileStatement':
      case 'DoWhileStatement':
      case 'ForStatement':
        return this.#condition(node.test);
    }
  }

  #operator({ left, right, operator }) {
    const other = OTHER_OPERATOR[operator];
    const between = this.text.slice(left.end, right.start);
    const at = left.end + between.indexOf(operator);
    if (other !== undefined) this.#add(at, at + operator.length, other, 'operator');
  }

  #literal({ start, end, value }) {
    if (typeof value === 'boolean') this.#add(start, end, String(!value), 'boolean');
    if (typeof value === 'string') this.#add(start, end, value === '' ? "'mutant'" : "''", 'text');
    if (typeof value !== 'number') return;
    this.#add(start, end, String(value + 1), 'number');
    this.#add(start, end, value === 0 ? '(-1)' : String(value - 1), 'number');
  }

  /** Literals are changed as such. */
  #returned({ start, end, argument }) {
    if (argument === null) this.#add(start, end, ';', 'return');
    else if (argument.name !== 'undefined' && argument.type !== 'Literal')
      this.#add(argument.start, argument.end, 'undefined', 'return');
  }

  #condition(test) {
    if (!test || typeof test.value === 'boolean') return;
    this.#add(test.start, test.end, 'true', 'condition');
    this.#add(test.start, test.end, 'false', 'condition');
  }

  #add(start, end, after, kind) {
    const before = this.text.slice(start, end);
    const line = this.text.slice(0, start).split('\n').length;
    this.mutants.push({ source: this, place: this.#place, start, end, line, before, after, kind, result: 'untried' });
  }

  #slice({ start, end }) {
    return this.text.slice(start, end);
  }
}

function swap(text, operator) {
  return text.replace(operator, OTHER_OPERATOR[operator]);
}

/** `list[i] ?? 0`: an index out of bounds is only what the compiler fears. */
function isForCompiler({ type, operator, left, right }) {
  const isElement = type === 'LogicalExpression' && operator === '??' && left.computed === true;
  return isElement && right.type === 'Literal' && typeof right.value === 'number';
}

/** Types, imports, and what is said to people: another sentence is no other behaviour. */
function isLeftOut(node, text) {
  const { type, source, callee, value } = node;
  if (TYPES.test(type) || type === 'ImportDeclaration' || type === 'ImportExpression' || node.directive) return true;
  if (type.startsWith('Export') && source) return true;
  const called = callee === undefined ? '' : text.slice(callee.start, callee.end);
  if (type === 'NewExpression') return /Error$/.test(called) && called !== 'ServerError';
  if (type === 'CallExpression') return LOG_CALL.test(called) || /\.(description|usage)$/.test(called);
  if (type === 'ExpressionStatement') return isLeftOut(unwrapped(node.expression), text);
  if (type === 'Property') return FOR_PEOPLE.test(node.key.name ?? '');
  if (type === 'TemplateLiteral') return node.quasis.some((quasi) => THREE_WORDS.test(quasi.value.cooked));
  return type === 'Literal' && typeof value === 'string' && THREE_WORDS.test(value);
}

function unwrapped(expression) {
  return /^(Await|Chain)Expression$/.test(expression.type)
    ? unwrapped(expression.argument ?? expression.expression)
    : expression;
}

function isCall(expression) {
  return unwrapped(expression).type === 'CallExpression';
}

function isFunction({ type, body }) {
  return /^(Arrow)?Function(Declaration|Expression)?(Expression)?$/.test(type) && Boolean(body);
}

function isName(node, key) {
  if (/^(typeAnnotation|typeArguments|typeParameters|returnType|superTypeArguments|implements)$/.test(key)) return true;
  return (key === 'key' || key === 'property') && node.computed !== true;
}

/** Tells a mutant by its line's text, not by the line's number, so that a sample stays the same when code moves. */
function keyOf(mutant, all) {
  const { text, file } = mutant.source;
  const from = text.lastIndexOf('\n', mutant.start) + 1;
  const words = [file, text.slice(from, text.indexOf('\n', mutant.end)).trim(), mutant.before, mutant.after];
  const twins = all.filter((other) => other.start <= mutant.start && other.words === words.join('\0')).length;
  mutant.words = words.join('\0');
  return `${mutant.words}\0${twins}`;
}

/** Those with the lowest hashes: another count only adds or removes some, and another file leaves them as they are. */
export function choose(sources, seed, count) {
  const hash = ({ key }) => createHash('sha1').update(`${seed}\0${key}`).digest('hex');
  const all = sources.flatMap((source) => source.mutants.map((mutant) => ({ mutant, rank: hash(mutant) })));
  return all
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ mutant }) => mutant);
}

export function sentenceOf({ source, line, before, after, kind }) {
  const short = (text) => `\`${text.replaceAll(/\s+/g, ' ').slice(0, 90)}\``;
  return `${source.file}:${line} ${kind}: ${short(before)} → ${short(after)}`;
}

export function folderOf(file) {
  return file.split('/').length > 2 ? file.split('/')[1] : '(root)';
}
