/**
 * A file that a serial port's output is appended to.
 *
 * @module
 */
import { closeSync, constants, createWriteStream, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { ByteSink } from '../../bus/byte-stream.ts';
import { systemError } from './files.ts';
import { OutputQueue } from './output-queue.ts';

/** An open file; `close` waits until everything is written. */
export interface OutputFile extends AsyncDisposable {
  readonly sink: ByteSink;
  close(): Promise<void>;
}

/**
 * Opens a file for appending and makes it when there is none. `role` starts every error message; opening throws FileError.
 * When writing fails later (the disk is full), `onError` is told once, and further output is dropped. A named pipe needs a
 * reader already: waiting for one would hold up the whole machine.
 */
export function openOutputFile(path: string, role: string, onError: (error: Error) => void): OutputFile {
  let fd: number;
  try {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
    fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o644);
  } catch (error) {
    throw systemError(role, path, error);
  }
  const stat = fstatSync(fd);
  // A write to a full pipe would block a thread of Node's pool, and with it the end of the process; a socket waits aside.
  const stream =
    stat.isFIFO() || stat.isSocket()
      ? new Socket({ fd, readable: false, writable: true })
      : createWriteStream('', { fd, autoClose: false });
  const queue = new OutputQueue(stream, (error) => onError(systemError(role, path, error)));
  const close = async (): Promise<void> => {
    await queue.end();
    if (stream instanceof Socket) stream.destroy();
    else closeSync(fd);
  };
  return { sink: queue, close, [Symbol.asyncDispose]: close };
}
