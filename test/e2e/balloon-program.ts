/**
 * A program on the library that runs a machine and does with its balloon what its parent says: a number resizes it, `statistics`
 * asks for figures. Every message is answered.
 *
 *     node balloon-program.ts '{"memBytes":268435456,...}'      over an IPC channel, the console on standard input and output
 *
 * @module
 */
import { type BalloonControl, DEFAULT_CONFIG, runMachine } from '../../src/index.ts';

const control = Promise.withResolvers<BalloonControl>();

process.on('message', (message: number | 'statistics') => {
  void answer(message);
});

async function answer(message: number | 'statistics'): Promise<void> {
  const balloon = await control.promise;
  if (message === 'statistics') {
    const statistics = await balloon.statistics();
    process.send?.({ statistics, counters: balloon.counters, actualBytes: balloon.actualBytes });
    return;
  }
  balloon.resize(message);
  process.send?.({ actualBytes: balloon.actualBytes });
}

const config = { ...DEFAULT_CONFIG, ...(JSON.parse(process.argv[2] ?? '{}') as object) };
const { status } = await runMachine(config, ({ balloon }) => {
  if (balloon === undefined) control.reject(new Error('the machine has no balloon'));
  else control.resolve(balloon);
});
process.exitCode = status;
process.disconnect?.();
