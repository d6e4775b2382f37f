/**
 * Writes an app's output to the log file of a daemon: line by line, with the time, the process and its pid, as text or as
 * JSON like the rest of that file. The printing process writes each line itself, as it does with its log, without a message
 * to another process. An incomplete line goes to the descriptor, where the parent reads it, like output of Node itself or
 * of other programs; so it is not lost with a killed process.
 */
import { writeSync } from 'node:fs';
import { LineCutter } from './line-cutter.js';
import type { Log } from './log.js';

export type Stream = 'stdout' | 'stderr';

const LINE_FEED = 0x0a;
/** In a process whose output has no reader: an incomplete line is logged after this time. */
const WAIT_FOR_END_MS = 1000;

type Write = typeof process.stdout.write;
type Told = (error?: Error | null) => void;

/**
 * From now on output of this process to `stream` goes to `log`. @param isRead the parent process reads the descriptors
 * @param role the printing role, if it differs from the log's
 */
export function takePrinted(stream: Stream, log: Log, isRead: boolean, role: () => string | undefined): void {
  const take = (line: string): void => {
    const who = role();
    log.print({ stream, pid: process.pid, ...(who === undefined ? {} : { role: who }) }, line);
  };
  replaceWrite(process[stream], isRead ? restToDescriptor(process[stream].fd, take) : restAfterAWhile(take));
}

/** @param put takes the bytes of each write; it must not throw */
export function replaceWrite(stream: NodeJS.WriteStream, put: (bytes: Buffer) => void): void {
  const original = stream.write.bind(stream) as (...given: unknown[]) => boolean;
  const write = (chunk: unknown, encoding?: unknown, told?: unknown): boolean => {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return original(chunk, encoding, told); // throws
    const isNamed = typeof encoding === 'string' && Buffer.isEncoding(encoding);
    put(typeof chunk === 'string' ? Buffer.from(chunk, isNamed ? encoding : 'utf8') : asBuffer(chunk));
    const callback = typeof encoding === 'function' ? encoding : told;
    if (typeof callback === 'function') process.nextTick(callback as Told);
    return true;
  };
  stream.write = write as Write;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function restToDescriptor(descriptor: number, take: (line: string) => void): (bytes: Buffer) => void {
  const cutter = new LineCutter(take);
  let isOpen = false; // the parent holds the beginning of this line
  return (bytes) => {
    const from = isOpen ? bytes.indexOf(LINE_FEED) + 1 : 0;
    const isWholeOpen = isOpen && from === 0;
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    if (isOpen) writeAll(descriptor, isWholeOpen ? bytes : bytes.subarray(0, from));
    if (isWholeOpen) return;
    cutter.write(bytes.subarray(from, end));
    isOpen = end < bytes.length;
    if (isOpen) writeAll(descriptor, bytes.subarray(end));
  };
}

function writeAll(descriptor: number, bytes: Buffer): void {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
  } catch {
    // The parent is gone, and this process will end soon.
  }
}

/** Takes a line when it is complete, or has not grown for a second. */
export function restAfterAWhile(take: (line: string) => void): (bytes: Buffer) => void {
  const cutter = new LineCutter(take);
  let timer: NodeJS.Timeout | undefined;
  process.on('exit', () => cutter.end());
  return (bytes) => {
    clearTimeout(timer);
    cutter.write(bytes);
    if (!cutter.isEmpty) timer = setTimeout(() => cutter.end(), WAIT_FOR_END_MS).unref();
  };
}
