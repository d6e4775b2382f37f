/** Errors of shared objects that no call can be told of: in a server they go to its log. */
type Report = (message: string, fields: { readonly [name: string]: unknown; readonly error: unknown }) => void;

let write: Report = (message, { error, ...fields }) =>
  process.emitWarning(`${message} ${JSON.stringify(fields)}: ${String(error)}`, { code: 'TSWOOLE_SHARED' });

/** Called once this process has the log of its server. */
export function reportTo(given: Report): void {
  write = given;
}

export const report: Report = (message, fields) => write(message, fields);
