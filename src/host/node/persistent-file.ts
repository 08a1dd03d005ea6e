/**
 * A file of the host as persistent memory of a guest: mapped over its place in the machine's memory, so that the guest's loads and
 * stores are the file's, and made durable with fdatasync(2), which on Linux covers what was written through a mapping.
 *
 * A read-only file is mapped privately: the guest may write to its memory, as it can be told by no means that it must not, and
 * what it writes is gone at the end. The file is locked as disk images are. Its length must not change meanwhile, and
 * what it has of holes must find room when the guest writes there: Linux ends a process that touches a mapping with nothing behind
 * it (SIGBUS).
 *
 * Refuses hosts where nothing can be mapped, for want of koffi or `node:ffi`.
 *
 * @module
 */
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '../../hypervisor/kvm/defs.ts';
import { expectSuccess, type SystemCalls } from '../../hypervisor/kvm/system-calls.ts';
import { FileError } from './files.ts';
import { type NodeImageFile, openImageFile } from './image-file.ts';
import { loadSystemCalls, NoSystemCallsError } from './kvm/load-system-calls.ts';

const ROLE = 'pmem';
const PRIVATE = MAP_PRIVATE | MAP_NORESERVE;

export interface PersistentFileOptions {
  readonly path: string;
  readonly readOnly: boolean;
  /** Whether two writers, or a writer and a reader, are kept apart. The default is true. */
  readonly lock?: boolean;
}

/** Opens and locks a file. @throws FileError */
export async function openPersistentFile(options: PersistentFileOptions): Promise<PersistentFile> {
  const { path, readOnly, lock = true } = options;
  const calls = await systemCalls(path);
  const file = await openImageFile(path, { readOnly, lock, role: ROLE });
  if (file.bytes > 0) return new PersistentFile(file, calls);
  await file.close();
  throw new FileError(ROLE, path, 'EMPTY', 'it has no bytes');
}

async function systemCalls(path: string): Promise<SystemCalls> {
  try {
    return await loadSystemCalls();
  } catch (error) {
    if (!(error instanceof NoSystemCallsError)) throw error;
    throw new FileError(ROLE, path, 'ENOSYS', `it cannot be mapped: ${error.message}`, error);
  }
}

export class PersistentFile implements AsyncDisposable {
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly #file: NodeImageFile;
  readonly #calls: SystemCalls;
  #place: Uint8Array | undefined;

  constructor(file: NodeImageFile, calls: SystemCalls) {
    this.#file = file;
    this.#calls = calls;
    this.bytes = file.bytes;
    this.readOnly = file.readOnly;
  }

  /** Puts the file at a place in memory that is at least as long, at the start of a page; what follows its end stays as it is. Once. */
  map(place: Uint8Array): void {
    if (this.#place !== undefined) throw new Error(`${this.#file.name} is mapped already`);
    this.#replace(place, this.readOnly ? PRIVATE : MAP_SHARED, this.#file.descriptor);
    this.#place = place;
  }

  /** All that was written through the mapping is on the disk when this resolves. Once it has failed it does for ever. @throws FileError */
  flush(): Promise<void> {
    return this.#file.flush();
  }

  /** The file keeps what was written; the memory it was mapped over is zeroed, and the machine's to give back. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.readOnly) await this.flush();
    } finally {
      if (this.#place !== undefined) this.#replace(this.#place, PRIVATE | MAP_ANONYMOUS, -1);
      this.#place = undefined;
      await this.#file.close();
    }
  }

  #replace(place: Uint8Array, flags: number, descriptor: number): void {
    const address = this.#calls.addressOf(place.buffer) + place.byteOffset;
    const protection = PROT_READ | PROT_WRITE;
    const mapped = this.#calls.mmap(address, this.bytes, protection, flags | MAP_FIXED, descriptor, 0);
    expectSuccess(mapped, `mmap of ${ROLE} ${JSON.stringify(this.#file.name)}`);
  }
}
