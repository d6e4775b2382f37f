/** From the option `framing` to the framer of a port. */
import { ServerError } from '../errors/index.js';
import type { ResolvedFraming } from '../options/index.js';
import { CustomFramer, type PacketLengthFunction } from '../protocol/framing/custom.js';
import { EofCheckFramer, EofFramer } from '../protocol/framing/eof.js';
import type { Framer } from '../protocol/framing/framer.js';
import { LengthFramer } from '../protocol/framing/length.js';
import { importFile } from '../util/import-module.js';
import { lineOfFailure } from '../util/module-line.js';

/** @returns undefined for raw framing @throws ServerError ERR_FRAMING_MODULE */
export async function createFramer(framing: ResolvedFraming): Promise<Framer | undefined> {
  switch (framing.type) {
    case 'raw':
      return undefined;
    case 'eof':
      return framing.split ? new EofFramer(framing.delimiter) : new EofCheckFramer(framing.delimiter);
    case 'length':
      return new LengthFramer(framing.field, framing.offset, framing.bodyOffset);
    case 'custom':
      return new CustomFramer(await loadPacketLength(framing.module));
  }
}

async function loadPacketLength(module: string): Promise<PacketLengthFunction> {
  let exported: { packetLength?: unknown };
  try {
    exported = await importFile(module);
  } catch (error) {
    const why = `it cannot be loaded${lineOfFailure(module, error)}`;
    throw new ServerError('ERR_FRAMING_MODULE', { module, why }, { cause: error });
  }
  if (typeof exported.packetLength === 'function') return exported.packetLength as PacketLengthFunction;
  throw new ServerError('ERR_FRAMING_MODULE', { module, why: 'it exports no function packetLength' });
}
