/**
 * A program on the library that runs a machine and resizes its disks as its parent says: `[disk, bytes, shrink]` has the answer
 * `{ bytes }`, or `{ reason, message }` when it was refused. The disk is one of `block` by place or ID, or `lun 0` of the SCSI host.
 *
 *     node resize-program.ts '{"block":[...],...}'      over an IPC channel, the console on standard input and output
 *
 * @module
 */
import { DEFAULT_CONFIG, DiskControlError, runMachine, type RunningMachine } from '../../src/index.ts';

export type ResizeMessage = readonly [which: number | string, bytes: number, shrink: boolean];
export interface ResizeAnswer {
  readonly bytes?: number;
  readonly reason?: string;
  readonly message?: string;
}

async function answer(machine: RunningMachine, [which, bytes, shrink]: ResizeMessage): Promise<ResizeAnswer> {
  try {
    const disk = which === 'lun 0' ? machine.scsiDisks[0] : machine.disk(which);
    if (disk === undefined) return { message: 'there is no LUN' };
    await disk.resize(bytes, { shrink });
    return { bytes: disk.bytes };
  } catch (error) {
    const { message } = error as Error;
    return error instanceof DiskControlError ? { reason: error.reason, message } : { message };
  }
}

if (import.meta.main) {
  const machine = Promise.withResolvers<RunningMachine>();
  process.on('message', (message: ResizeMessage) => {
    void machine.promise.then((running) => answer(running, message)).then((reply) => process.send?.(reply));
  });
  const config = { ...DEFAULT_CONFIG, ...(JSON.parse(process.argv[2] ?? '{}') as object) };
  const { status } = await runMachine(config, machine.resolve);
  process.exitCode = status;
  process.disconnect?.();
}
