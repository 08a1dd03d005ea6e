/**
 * What a run of the benchmarks found: plain data, kept as JSON beside the binary, from which the report is written.
 *
 * @module
 */
import type { Group } from './programs.ts';
import type { SystemName } from './systems.ts';

/** One number a round; undefined where a run failed. */
export type Samples = readonly (number | undefined)[];

export interface Row {
  readonly name: string;
  readonly group: Group | 'boot';
  readonly title: string;
  /** Seconds for the whole work, by system. A system that was not asked is absent. */
  readonly seconds: Readonly<Partial<Record<SystemName, Samples>>>;
}

export interface Measurements {
  /** What was measured on and with: name and value, in order. */
  readonly environment: readonly (readonly [name: string, value: string])[];
  readonly systems: readonly SystemName[];
  readonly rounds: number;
  /** Share of the whole work that ran natively and in the guests. */
  readonly nativeWork: number;
  readonly guestWork: number;
  readonly rows: readonly Row[];
  /** Million guest instructions a second of typervisor on the integer programs. */
  readonly mips: Samples;
  /** MiB resident in the guests' processes after all programs. */
  readonly residentMib: Readonly<Partial<Record<SystemName, Samples>>>;
  /** What of them is guest RAM, which the guest has touched. */
  readonly guestRamMib: Readonly<Partial<Record<SystemName, Samples>>>;
  /** What the guests' clocks measured, divided by what passed on the host meanwhile. */
  readonly clockShare: Readonly<Partial<Record<SystemName, Samples>>>;
  /** What failed, one line each. */
  readonly failures: readonly string[];
}

/** Collects samples by row, system and round. */
export class SampleTable {
  readonly #rounds: number;
  readonly #samples = new Map<string, (number | undefined)[]>();

  constructor(rounds: number) {
    this.#rounds = rounds;
  }

  set(row: string, system: SystemName, round: number, value: number | undefined): void {
    const key = `${row}/${system}`;
    const samples = this.#samples.get(key) ?? new Array<number | undefined>(this.#rounds).fill(undefined);
    samples[round] = value;
    this.#samples.set(key, samples);
  }

  /** The samples of a row by system; a system without any entry is absent. */
  row(row: string, systems: readonly SystemName[]): Partial<Record<SystemName, Samples>> {
    return Object.fromEntries(
      systems.flatMap((system) => {
        const samples = this.#samples.get(`${row}/${system}`);
        return samples === undefined ? [] : [[system, samples]];
      }),
    );
  }
}
