/**
 * Chains that the host has filled, until the driver may see them: what was written may lie over code that the processors have decoded
 * (`DriverSession.hostWrote`). They are shown together and in their order, as drivers that negotiated VIRTIO_F_IN_ORDER expect.
 *
 * @module
 */
import type { DriverSession } from './device.ts';
import type { Chain } from './queue/chain.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

export class FilledChains {
  #chains: { readonly chain: Chain; readonly written: number }[] = [];

  /** Its first `written` bytes are there. */
  add(chain: Chain, written: number): void {
    this.#chains.push({ chain, written });
  }

  /**
   * Gives the chains back, not yet published. Undefined when that is done; else it is when what comes back resolves, and nothing may
   * be given back in this queue before. A queue that was closed meanwhile takes nothing.
   */
  complete(queue: Virtqueue, hostWrote: DriverSession['hostWrote']): Promise<void> | undefined {
    const chains = this.#chains;
    if (chains.length === 0) return undefined;
    this.#chains = [];
    const dropped = hostWrote(chains.flatMap(({ chain, written }) => chain.writableViews(0, written)));
    const give = (): void => {
      for (const { chain, written } of chains) queue.complete(chain, written);
    };
    if (dropped !== undefined) return dropped.then(give);
    give();
    return undefined;
  }
}
