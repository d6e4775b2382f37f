/** Dispatch by a user function, which sees each packet. Runs in the reactor. */
import { ServerError } from '../../errors/index.js';
import { importFile } from '../../util/import-module.js';
import { lineOfFailure } from '../../util/module-line.js';

/** What the function receives about a packet. */
export interface DispatchInfo {
  /** Session id of its connection. */
  readonly fd: number;
  /** The packet; it must not be kept. */
  readonly data: Buffer;
  /** 0: `bind` was not called. */
  readonly uid: number;
  /** IP address of the client. */
  readonly remoteAddress: string;
  /** Index of the listen port: 0 is the server's own address. */
  readonly portIndex: number;
  /** Number of workers: an id in the answer is below it. */
  readonly workerNum: number;
}

/** A worker's id; 'discard': drop the packet; 'close': close its connection; 'fallback': choose as fd-mod. */
export type DispatchAnswer = number | 'discard' | 'close' | 'fallback';
export type DispatchFunction = (info: DispatchInfo) => DispatchAnswer;

/** @throws ServerError ERR_DISPATCH_MODULE */
export async function loadDispatch(module: string): Promise<DispatchFunction> {
  let exported: { dispatch?: unknown };
  try {
    exported = await importFile(module);
  } catch (error) {
    const why = `it cannot be loaded${lineOfFailure(module, error)}`;
    throw new ServerError('ERR_DISPATCH_MODULE', { module, why }, { cause: error });
  }
  if (typeof exported.dispatch !== 'function') {
    throw new ServerError('ERR_DISPATCH_MODULE', { module, why: 'it exports no function dispatch' });
  }
  const dispatch = exported.dispatch as DispatchFunction;
  return (info) => safely(dispatch, info);
}

/** An exception, and any invalid answer, counts as 'fallback': neither may stop the reactor. */
function safely(dispatch: DispatchFunction, info: DispatchInfo): DispatchAnswer {
  try {
    const answer: unknown = dispatch(info);
    if (answer === 'discard' || answer === 'close') return answer;
    const isWorker = Number.isInteger(answer) && Number(answer) >= 0 && Number(answer) < info.workerNum;
    return isWorker ? Number(answer) : 'fallback';
  } catch {
    return 'fallback';
  }
}
