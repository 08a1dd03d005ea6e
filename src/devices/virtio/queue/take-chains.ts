/**
 * How a device takes what is in a queue: all of it, a bounded number at a time, with the driver told not to notify meanwhile
 * (VIRTIO 1.2, 2.7.10 and 2.8.10).
 *
 * @module
 */
import type { Chain } from './chain.ts';
import type { QueueFault, Virtqueue } from './virtqueue.ts';

/** Chains that a device takes before it lets the host's event loop turn: a guest that floods a queue holds up nobody. */
export const CHAINS_PER_TURN = 256;

/**
 * Gives every chain that is there to `take`. Comes back with 'empty' when the driver will notify of the next one, 'more' after
 * `limit` of them, or the driver's fault.
 */
export function takeChains(
  queue: Virtqueue,
  take: (chain: Chain) => void,
  limit: number = CHAINS_PER_TURN,
): 'empty' | 'more' | QueueFault {
  queue.disableNotifications();
  for (let taken = 0; taken < limit; taken++) {
    const chain = queue.pop();
    if (chain === undefined) {
      if (!queue.enableNotifications()) return 'empty';
      // Something came between the two looks. It counts as a round, for a driver could make it so for ever.
      queue.disableNotifications();
      continue;
    }
    if (typeof chain === 'string') return chain;
    take(chain);
  }
  return 'more';
}
