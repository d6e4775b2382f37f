/** The type of one detail field: `?` when it may be missing, `|null` when it may be null. */
export type FieldType = 'string' | 'number' | 'string?' | 'number?' | 'string|null' | 'number|null';

export type Fields = { readonly [name: string]: FieldType };

type ValueOf<T extends FieldType> = T extends `string${infer Rest}`
  ? string | NullOf<Rest>
  : T extends `number${infer Rest}`
    ? number | NullOf<Rest>
    : never;
type NullOf<Rest extends string> = Rest extends '|null' ? null : never;

type OptionalNames<F extends Fields> = { [N in keyof F]: F[N] extends `${string}?` ? N : never }[keyof F];

/** The detail object that a field list describes. */
export type DetailOf<F extends Fields> = {
  readonly [N in Exclude<keyof F, OptionalNames<F>>]: ValueOf<F[N]>;
} & {
  readonly [N in OptionalNames<F>]?: ValueOf<F[N]> | undefined;
};

/** Whether a value from another process matches its field list. */
export function fitsFields(fields: Fields, detail: unknown): boolean {
  if (typeof detail !== 'object' || detail === null) return false;
  return Object.entries(fields).every(([name, type]) => fitsType(type, Reflect.get(detail, name)));
}

function fitsType(type: FieldType, value: unknown): boolean {
  if (value === undefined) return type.endsWith('?');
  if (value === null) return type.endsWith('|null');
  return type.startsWith(typeof value);
}
