/**
 * Checks on a host in the nest. They share one; after a check that failed the next has a new one, for what is left in the console of the
 * old one would be taken for its answers.
 *
 * @module
 */
import { after, test } from 'node:test';
import { Nest, skipWithoutNest } from '../guest/nest.ts';
import { NoAnswerError } from '../guest/qemu.ts';

const PROCESSORS = 2;

export class NestKeeper<T extends AsyncDisposable> implements AsyncDisposable {
  readonly #boot: () => Promise<T>;
  #nest: T | undefined;

  constructor(boot: () => Promise<T>) {
    this.#boot = boot;
  }

  /**
   * Does something on a host. QEMU's emulation of SVM stops now and then, under QEMU in the nest too: what never shows what was waited for has another
   * try on a new host, an assertion that fails has not. @returns the reason if there was a second try.
   */
  async run(body: (nest: T) => Promise<void>): Promise<string | undefined> {
    try {
      await this.#attempt(body);
      return undefined;
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      await this.#attempt(body);
      return error.message;
    }
  }

  async #attempt(body: (nest: T) => Promise<void>): Promise<void> {
    this.#nest ??= await this.#boot();
    try {
      await body(this.#nest);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const nest = this.#nest;
    this.#nest = undefined;
    await nest?.[Symbol.asyncDispose]();
  }
}

/** What registers the checks of a test file. */
export function checksInNest(): (name: string, body: (nest: Nest) => Promise<void>) => void {
  const skip = skipWithoutNest();
  const keeper = new NestKeeper(() => Nest.boot(PROCESSORS));
  after(() => keeper[Symbol.asyncDispose]());
  return (name, body) => {
    test(name, { skip }, async (context) => {
      const reason = await keeper.run(body);
      if (reason !== undefined) context.diagnostic(`answered only when tried again on a new host: ${reason}`);
    });
  };
}
