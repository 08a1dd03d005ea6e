/**
 * The measuring itself: rounds in which the systems take turns, program by program, then boot by boot.
 *
 * @module
 */
import { type BootKind, measureBoot } from './boots.ts';
import { type Measurements, type Row, SampleTable } from './measurements.ts';
import type { Program } from './programs.ts';
import {
  type Boot,
  type GuestSystem,
  GuestSession,
  ProgramError,
  type Session,
  type SystemName,
  TITLES,
} from './systems.ts';

export interface Plan {
  readonly systems: readonly SystemName[];
  readonly rounds: number;
  readonly nativeWork: number;
  readonly guestWork: number;
  readonly programs: readonly Program[];
  readonly boots: readonly BootKind[];
  /** The programs on which instructions a second are measured; none: not measured. */
  readonly ratePrograms: readonly Program[];
  readonly native: Session;
  /** The guest in which the programs run. */
  readonly guest: Boot;
  /** The guest in which instructions are counted: one that boots with few. */
  readonly rateGuest: Boot;
  /** For one run of a program, in milliseconds. */
  readonly limitMs: number;
  /** Told what was measured, one line each. */
  readonly progress: (line: string) => void;
}

type Findings = Omit<Measurements, 'environment'>;

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const unitsOf = (program: Program, work: number): number => Math.max(1, Math.round(program.units * work));

interface Rate {
  readonly seconds: number;
  readonly instructions: number | undefined;
}

class Run {
  readonly #plan: Plan;
  readonly #table: SampleTable;
  readonly #failures: string[] = [];
  readonly #sessions = new Map<GuestSystem, GuestSession>();
  /** Guests that do not boot are not tried for every program. */
  readonly #dead = new Set<GuestSystem>();

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#table = new SampleTable(plan.rounds);
  }

  async all(): Promise<Findings> {
    const { programs, boots, systems, rounds, nativeWork, guestWork } = this.#plan;
    const guests = systems.filter((system) => system !== 'native');
    for (let round = 0; round < rounds; round++) {
      this.#dead.clear();
      for (const [index, program] of programs.entries()) await this.#programInTurn(program, round, index);
      for (const system of guests) await this.#endSession(system, round);
      for (const [index, kind] of boots.entries()) await this.#bootInTurn(kind, round, index);
      if (this.#plan.ratePrograms.length > 0) await this.#rate(round);
    }
    const bootRows = boots.flatMap(({ name, sign, end }): Row[] => {
      const row = (key: string, title: string): Row => {
        return { name: key, group: 'boot', title, seconds: this.#table.row(key, systems) };
      };
      return [row(name, sign), ...(end === undefined ? [] : [row(`${name}-end`, end)])];
    });
    const rows = programs.map(({ name, group, title, units }): Row => {
      return { name, group, title: `${units} × ${title}`, seconds: this.#table.row(name, systems) };
    });
    return {
      systems,
      rounds,
      nativeWork,
      guestWork,
      rows: [...rows, ...bootRows],
      mips: this.#table.row('#mips', ['typervisor']).typervisor ?? [],
      residentMib: this.#table.row('#resident', systems),
      guestRamMib: this.#table.row('#guest-ram', systems),
      clockShare: this.#table.row('#clock', systems),
      failures: this.#failures,
    };
  }

  /** Ends what still runs. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.kill();
  }

  /** The systems in an order that differs from turn to turn. */
  #order<S extends SystemName>(systems: readonly S[], turn: number): S[] {
    const first = turn % systems.length;
    return [...systems.slice(first), ...systems.slice(0, first)];
  }

  #report(round: number, what: string, found: readonly string[]): void {
    this.#plan.progress(`round ${round + 1}/${this.#plan.rounds}  ${what.padEnd(18)} ${found.join('   ')}`);
  }

  #failed(round: number, system: SystemName, what: string, error: unknown): void {
    const line = `round ${round + 1}, ${what} under ${TITLES[system]}: ${message(error)}`;
    this.#failures.push(line);
    this.#plan.progress(`FAILED ${line}`);
  }

  async #programInTurn(program: Program, round: number, index: number): Promise<void> {
    const { systems, limitMs, nativeWork, guestWork } = this.#plan;
    const found = new Map<SystemName, string>();
    for (const system of this.#order(systems, round + index)) {
      const units = unitsOf(program, system === 'native' ? nativeWork : guestWork);
      let seconds: number | undefined;
      try {
        const session = await this.#session(system);
        if (session !== undefined) seconds = ((await session.run(program, units, limitMs)) / units) * program.units;
      } catch (error) {
        this.#failed(round, system, program.name, error);
        // A guest that does not answer is replaced for the next program.
        if (system !== 'native' && !(error instanceof ProgramError)) await this.#drop(system);
      }
      this.#table.set(program.name, system, round, seconds);
      found.set(system, `${TITLES[system]} ${seconds === undefined ? '-' : `${seconds.toFixed(3)} s`}`);
    }
    this.#report(
      round,
      program.name,
      systems.map((system) => found.get(system) ?? ''),
    );
  }

  async #session(system: SystemName): Promise<Session | undefined> {
    if (system === 'native') return this.#plan.native;
    if (this.#dead.has(system)) return undefined;
    const running = this.#sessions.get(system);
    if (running !== undefined) return running;
    try {
      const started = await GuestSession.start(system, this.#plan.guest);
      this.#sessions.set(system, started);
      return started;
    } catch (error) {
      this.#dead.add(system);
      throw error;
    }
  }

  async #drop(system: GuestSystem): Promise<void> {
    await this.#sessions.get(system)?.kill();
    this.#sessions.delete(system);
  }

  async #endSession(system: GuestSystem, round: number): Promise<void> {
    const session = this.#sessions.get(system);
    if (session === undefined) return;
    this.#sessions.delete(system);
    const { residentMib, guestRamMib, clockShare } = await session.end();
    this.#table.set('#resident', system, round, residentMib);
    this.#table.set('#guest-ram', system, round, guestRamMib);
    this.#table.set('#clock', system, round, clockShare);
  }

  async #bootInTurn(kind: BootKind, round: number, index: number): Promise<void> {
    const found: string[] = [];
    const guests = this.#plan.systems.filter((system) => system !== 'native');
    for (const system of this.#order(guests, round + index)) {
      try {
        const { signSeconds, endSeconds } = await measureBoot(system, kind);
        this.#table.set(kind.name, system, round, signSeconds);
        if (kind.end !== undefined) this.#table.set(`${kind.name}-end`, system, round, endSeconds);
        found.push(`${TITLES[system]} ${signSeconds.toFixed(3)} s`);
      } catch (error) {
        this.#table.set(kind.name, system, round, undefined);
        this.#failed(round, system, `boot "${kind.name}"`, error);
      }
    }
    this.#report(round, `boot ${kind.name}`, found);
  }

  /**
   * The instructions of the integer programs: those of a guest that runs them, less those of one that only boots. The seconds are those of a
   * third guest, for counting costs time.
   */
  async #rate(round: number): Promise<void> {
    const { rateGuest, limitMs, guestWork, ratePrograms } = this.#plan;
    let session: GuestSession | undefined;
    try {
      const runAll = async (programs: readonly Program[], counts: boolean): Promise<Rate> => {
        session = await GuestSession.start('typervisor', { ...rateGuest, counts });
        let seconds = 0;
        for (const program of programs) seconds += await session.run(program, unitsOf(program, guestWork), limitMs);
        const { instructions } = await session.end();
        return { seconds, instructions };
      };
      const { instructions: idle } = await runAll([], true);
      const { instructions: busy } = await runAll(ratePrograms, true);
      const { seconds } = await runAll(ratePrograms, false);
      if (idle === undefined || busy === undefined) throw new Error('--stats gave no instructions');
      const mips = (busy - idle) / seconds / 1e6;
      this.#table.set('#mips', 'typervisor', round, mips);
      this.#report(round, 'integer programs', [`${mips.toFixed(0)} million instructions a second`]);
    } catch (error) {
      await session?.kill();
      this.#table.set('#mips', 'typervisor', round, undefined);
      this.#failed(round, 'typervisor', 'instructions a second', error);
    }
  }
}

/** Runs the plan. Failures of single runs are findings; nothing is left running. */
export async function measure(plan: Plan): Promise<Findings> {
  const run = new Run(plan);
  try {
    return await run.all();
  } finally {
    await run.close();
  }
}
