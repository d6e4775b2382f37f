const SHOWN_CHARACTERS = 40;
const SHOWN_KEYS = 5;

/** The type and a short form of any value, for the "what came" of a message. Never throws, never runs long. */
export function describe(value: unknown): string {
  try {
    return describeUnguarded(value);
  } catch {
    return typeof value; // a proxy or an accessor that throws
  }
}

function describeUnguarded(value: unknown): string {
  switch (typeof value) {
    case 'undefined':
      return 'undefined';
    case 'string':
      return describeString(value);
    case 'bigint':
      return `bigint ${shorten(String(value))}n`;
    case 'symbol':
      return `symbol ${shorten(value.description ?? '')}`.trimEnd();
    case 'function':
      return describeFunction(value);
    case 'object':
      return value === null ? 'null' : describeObject(value);
    default:
      return `${typeof value} ${Object.is(value, -0) ? '-0' : String(value)}`;
  }
}

function describeString(value: string): string {
  if (value.length <= SHOWN_CHARACTERS) return `string ${JSON.stringify(value)}`;
  return `string ${JSON.stringify(shorten(value))} (${value.length} characters)`;
}

function describeFunction(value: object): string {
  const name: unknown = Reflect.get(value, 'name');
  return typeof name === 'string' && name !== '' ? `function ${shorten(name)}` : 'function';
}

function describeObject(value: object): string {
  if (Array.isArray(value)) return `array of length ${value.length}`;
  if (ArrayBuffer.isView(value)) return `${className(value)} of ${value.byteLength} bytes`;
  if (value instanceof Error) return `${shorten(String(value.name))} ${JSON.stringify(shorten(String(value.message)))}`;
  const name = className(value);
  if (name !== 'Object') return name;
  const keys = Object.keys(value);
  const shown = keys.slice(0, SHOWN_KEYS).map(shorten);
  return `object {${[...shown, ...(keys.length > SHOWN_KEYS ? ['…'] : [])].join(', ')}}`;
}

function className(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (typeof prototype !== 'object' || prototype === null) return 'Object';
  const maker: unknown = Reflect.get(prototype, 'constructor');
  const name: unknown = typeof maker === 'function' ? maker.name : '';
  return typeof name === 'string' && name !== '' ? shorten(name) : 'object';
}

function shorten(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
