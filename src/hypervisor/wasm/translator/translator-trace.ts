/**
 * What the translator does, as slices of traces: translations on the compiler's track, what is put in place and dropped on the vCPU's.
 *
 * @module
 */
import { hexadecimal, type VcpuTrace } from '../../../util/trace.ts';
import type { TranslatedBatch, TranslatedRegion } from './compile-region.ts';

const NS_PER_MS = 1e6;

/** Where a region's entry lies: its page in linear address space, and the offset in linear memory. */
interface Place {
  readonly base: bigint;
  readonly host: number;
}

/** RIP of the entry, for the page that the region was translated for. */
const ripOf = ({ base, host }: Place): string => hexadecimal(base + BigInt(host & 0xfff));

export class TranslatorTrace {
  readonly #trace: VcpuTrace;

  constructor(trace: VcpuTrace) {
    this.#trace = trace;
  }

  now(): number {
    return this.#trace.vcpu.now();
  }

  /** A region has come from the compiler; nobody waits for it any more when `place` is undefined. */
  translated(region: TranslatedRegion, place: Place | undefined): void {
    const from = region.startedMilliseconds * NS_PER_MS;
    const to = from + region.milliseconds * NS_PER_MS;
    const { instructions, bytes, isHot } = region;
    this.#trace.compiler.slice(isHot ? 'translate hot' : 'translate', from, to, {
      ...(place !== undefined && { rip: ripOf(place) }),
      instructions,
      bytes,
    });
  }

  /** Regions have come from WebAssembly's compiler together. */
  compiled({ module, regions, compileMilliseconds, compileStartedMilliseconds }: TranslatedBatch): void {
    if (module === undefined) return;
    const from = compileStartedMilliseconds * NS_PER_MS;
    const bytes = regions.reduce((sum, region) => sum + region.bytes, 0);
    this.#trace.compiler.slice('compile', from, from + compileMilliseconds * NS_PER_MS, { bytes });
  }

  /** It has been put in place since `from`. */
  installed({ instructions, bytes }: TranslatedRegion, place: Place, from: number): void {
    this.#trace.vcpu.slice('install region', from, this.now(), { rip: ripOf(place), instructions, bytes });
  }

  dropped(place: Place): void {
    this.#trace.vcpu.mark('drop region', this.now(), { rip: ripOf(place) });
  }
}
