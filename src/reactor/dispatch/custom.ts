/** Dispatch by a function of the user's, which sees each packet. Runs in the reactor. */
import { ServerError } from '../../errors/index.js';

/** What the function is told of a packet. */
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
  /** Workers there are: an answer is below. */
  readonly workerNum: number;
}

/** A worker's id; 'discard': the packet is dropped; 'close': its connection is closed; 'fallback': as fd-mod. */
export type DispatchAnswer = number | 'discard' | 'close' | 'fallback';
export type DispatchFunction = (info: DispatchInfo) => DispatchAnswer;

/** @throws ServerError ERR_DISPATCH_MODULE */
export async function loadDispatch(module: string): Promise<DispatchFunction> {
  let exported: { dispatch?: unknown };
  try {
    exported = await import(module);
  } catch (error) {
    throw new ServerError('ERR_DISPATCH_MODULE', { module, why: 'it cannot be loaded' }, { cause: error });
  }
  if (typeof exported.dispatch !== 'function') {
    throw new ServerError('ERR_DISPATCH_MODULE', { module, why: 'it exports no function dispatch' });
  }
  const dispatch = exported.dispatch as DispatchFunction;
  return (info) => safely(dispatch, info);
}

/** What it throws, and any answer that means nothing, counts as 'fallback': it must not stop the reactor. */
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
