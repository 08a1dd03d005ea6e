/**
 * Device timers on Node's event loop.
 *
 * Node's timers count whole milliseconds. A deadline that is nearer than one is waited for by turning the event loop, so it
 * is met within microseconds; one that is further is left to a Node timer first. The timers do not keep the process up:
 * the machine does.
 *
 * @module
 */
import type { Clock } from '../../util/clock.ts';
import { TimerQueue, type Timers } from '../../util/timers.ts';

const NS_PER_MS = 1e6;

/** Timers on this thread's event loop; disposing of them forgets what is set. */
export interface HostTimers extends Timers, Disposable {}

export function createTimers(clock: Clock): HostTimers {
  let timeout: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;

  const disarm = (): void => {
    clearTimeout(timeout);
    clearImmediate(immediate);
    timeout = undefined;
    immediate = undefined;
  };

  const arm = (deadlineNs: number): void => {
    disarm();
    if (deadlineNs === Infinity) return;
    const milliseconds = (deadlineNs - clock.nanoseconds()) / NS_PER_MS;
    if (milliseconds >= 1) timeout = setTimeout(wake, milliseconds - 1).unref();
    else immediate = setImmediate(wake);
  };

  const queue = new TimerQueue(arm);

  function wake(): void {
    queue.run(clock.nanoseconds());
    arm(queue.nextDeadline());
  }

  return {
    set: (deadlineNs, callback) => queue.set(deadlineNs, callback),
    clear: (handle) => queue.clear(handle),
    [Symbol.dispose]: disarm,
  };
}
