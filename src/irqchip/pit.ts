/**
 * The 8254 interval timer and port 61h of a PC (Intel 8254 data sheet): three counters at 1.193182 MHz.
 *
 * Nothing counts here: a counter is the time at which it was loaded and the count it was loaded with, and what it
 * stands at is computed when somebody looks. Channel 0 drives interrupt 0; channel 1 drives nothing; channel 2 has
 * its gate and output at port 61h. A count written to a running square wave takes effect at the end of the whole
 * period, not of its half. The caller holds the irqchip's lock.
 *
 * @module
 */
export const PIT_HZ = 1_193_182;
const TICKS_PER_NS = PIT_HZ / 1e9;
/** The refresh request toggles every 15.085 us: channel 1 of the first PCs, still there at bit 4 of port 61h. */
const REFRESH_NS = 15_085;

/** i32 fields of a channel; a channel has 96 bytes. */
const MODE = 0;
/** 1: low byte only, 2: high byte only, 3: low then high. */
const ACCESS = 1;
const BCD = 2;
/** The count that the counting element was loaded with, 1..65536. */
const COUNT = 3;
/** A count written that is not loaded yet (end of period, or trigger); 0 when none. */
const NEXT_COUNT = 4;
/** The counting element has been loaded (and, in modes 1 and 5, triggered). */
const LOADED = 5;
const GATE = 6;
/** The low byte of a two-byte write that awaits its high byte; -1 when none. */
const WRITE_LOW = 7;
/** 1 when the next read of a two-byte count is its high byte. */
const READ_HIGH = 8;
/** Latched count and status; -1 when none. */
const LATCHED_COUNT = 9;
const LATCHED_STATUS = 10;
const CHANNEL_WORDS = 24;
/** f64 fields of a channel: when it was loaded; ticks counted when its gate fell, -1 while it runs. */
const START = 8;
const HELD = 9;
const CHANNEL_DOUBLES = 12;

/** After the channels: the writable bits of port 61h, then the time of channel 0's next interrupt. */
const PORT_61 = 3 * CHANNEL_WORDS;
const NEXT_INTERRUPT = 3 * CHANNEL_DOUBLES + 1;

const SPEAKER_GATE = 0x01;

export class Pit {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #interrupt: (level: boolean) => void;

  /** `words` and `doubles`: the timer's part of the irqchip block; `interrupt` drives interrupt 0. */
  constructor(words: Int32Array, doubles: Float64Array, interrupt: (level: boolean) => void) {
    this.#words = words;
    this.#doubles = doubles;
    this.#interrupt = interrupt;
  }

  /** All counters stand still until they are programmed. */
  reset(): void {
    this.#words.fill(0);
    for (let channel = 0; channel < 3; channel++) {
      const at = channel * CHANNEL_WORDS;
      this.#words[at + ACCESS] = 3;
      this.#words[at + COUNT] = 65536;
      this.#words[at + GATE] = channel === 2 ? 0 : 1;
      this.#words[at + WRITE_LOW] = -1;
      this.#words[at + LATCHED_COUNT] = -1;
      this.#words[at + LATCHED_STATUS] = -1;
      this.#doubles[channel * CHANNEL_DOUBLES + HELD] = -1;
    }
    this.#doubles[NEXT_INTERRUPT] = Infinity;
  }

  /** Machine time of the next interrupt; Infinity when none will come. May be read without the lock. */
  get nextInterrupt(): number {
    return this.#doubles[NEXT_INTERRUPT]!;
  }

  /** Moves every time by `nanoseconds`, for a restored machine. */
  shift(nanoseconds: number): void {
    for (let channel = 0; channel < 3; channel++) {
      const at = channel * CHANNEL_DOUBLES + START;
      this.#doubles[at] = this.#doubles[at]! + nanoseconds;
    }
    this.#doubles[NEXT_INTERRUPT] = this.#doubles[NEXT_INTERRUPT]! + nanoseconds;
  }

  /** Raises interrupt 0 when it is due. Edges that were missed are one edge. */
  poll(now: number): void {
    if (now < this.#doubles[NEXT_INTERRUPT]!) return;
    this.#interrupt(false);
    this.#interrupt(true);
    if (!this.#output(0, now)) this.#interrupt(false);
    this.#schedule(now);
  }

  /** Reads port 40h, 41h or 42h. The control port 43h reads as all ones. */
  read(port: number, now: number): number {
    const channel = port & 3;
    if (channel === 3) return 0xff;
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const status = words[at + LATCHED_STATUS]!;
    if (status >= 0) {
      words[at + LATCHED_STATUS] = -1;
      return status;
    }
    const latched = words[at + LATCHED_COUNT]!;
    const count = latched >= 0 ? latched : this.#count(channel, now);
    if (words[at + ACCESS] === 3 && words[at + READ_HIGH] === 0) {
      words[at + READ_HIGH] = 1;
      return count & 0xff;
    }
    words[at + READ_HIGH] = 0;
    words[at + LATCHED_COUNT] = -1;
    return words[at + ACCESS] === 1 ? count & 0xff : count >> 8;
  }

  /** Writes port 40h..43h. */
  write(port: number, value: number, now: number): void {
    const channel = port & 3;
    if (channel === 3) {
      if (value >> 6 === 3) this.#readBack(value, now);
      else this.#control(value >> 6, value, now);
      return;
    }
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    switch (words[at + ACCESS]) {
      case 1:
        this.#load(channel, value, now);
        break;
      case 2:
        this.#load(channel, value << 8, now);
        break;
      default: {
        const low = words[at + WRITE_LOW]!;
        if (low >= 0) {
          words[at + WRITE_LOW] = -1;
          this.#load(channel, low | (value << 8), now);
          break;
        }
        words[at + WRITE_LOW] = value;
        // In mode 0 the first byte already stops the count and takes the output low.
        if (words[at + MODE] === 0) {
          words[at + LOADED] = 0;
          this.#changed(channel, now);
        }
      }
    }
  }

  /** Port 61h: bits 0-3 as written, refresh toggle, output of channel 2. `origin`: when the toggle stood at zero. */
  readPort61(now: number, origin: number): number {
    const refresh = Math.floor((now - origin) / REFRESH_NS) % 2;
    return this.#words[PORT_61]! | (refresh << 4) | (this.#output(2, now) ? 0x20 : 0);
  }

  writePort61(value: number, now: number): void {
    this.#words[PORT_61] = value & 0x0f;
    this.#setGate(2, (value & SPEAKER_GATE) !== 0, now);
  }

  #control(channel: number, value: number, now: number): void {
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const access = (value >> 4) & 3;
    if (access === 0) {
      this.#latchCount(channel, now);
      return;
    }
    const mode = (value >> 1) & 7;
    words[at + ACCESS] = access;
    words[at + MODE] = mode > 5 ? mode - 4 : mode;
    words[at + BCD] = value & 1;
    words[at + LOADED] = 0;
    words[at + NEXT_COUNT] = 0;
    words[at + WRITE_LOW] = -1;
    words[at + READ_HIGH] = 0;
    words[at + LATCHED_COUNT] = -1;
    words[at + LATCHED_STATUS] = -1;
    this.#doubles[channel * CHANNEL_DOUBLES + HELD] = -1;
    this.#changed(channel, now);
  }

  #readBack(value: number, now: number): void {
    for (let channel = 0; channel < 3; channel++) {
      if ((value & (2 << channel)) === 0) continue;
      if ((value & 0x20) === 0) this.#latchCount(channel, now);
      const at = channel * CHANNEL_WORDS;
      const words = this.#words;
      if ((value & 0x10) !== 0 || words[at + LATCHED_STATUS]! >= 0) continue;
      this.#settle(channel, now);
      const nullCount = words[at + LOADED] === 0 || words[at + NEXT_COUNT] !== 0;
      words[at + LATCHED_STATUS] =
        (this.#output(channel, now) ? 0x80 : 0) |
        (nullCount ? 0x40 : 0) |
        (words[at + ACCESS]! << 4) |
        (words[at + MODE]! << 1) |
        words[at + BCD]!;
    }
  }

  #latchCount(channel: number, now: number): void {
    const at = channel * CHANNEL_WORDS;
    // A latched count stays until it has been read.
    if (this.#words[at + LATCHED_COUNT]! < 0) this.#words[at + LATCHED_COUNT] = this.#count(channel, now);
  }

  /** A whole count was written. */
  #load(channel: number, raw: number, now: number): void {
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const bcd = words[at + BCD] !== 0;
    const value = bcd ? fromBcd(raw) : raw;
    const count = value === 0 ? (bcd ? 10_000 : 65_536) : value;
    switch (words[at + MODE]) {
      case 1:
      case 5: // waits for a trigger at the gate
        words[at + NEXT_COUNT] = count;
        break;
      case 2:
      case 3:
        if (words[at + LOADED] !== 0) {
          this.#rebase(channel, now);
          words[at + NEXT_COUNT] = count;
          break;
        }
        this.#start(channel, count, now);
        break;
      default:
        this.#start(channel, count, now);
    }
    this.#changed(channel, now);
  }

  #start(channel: number, count: number, now: number): void {
    const at = channel * CHANNEL_WORDS;
    this.#words[at + COUNT] = count;
    this.#words[at + NEXT_COUNT] = 0;
    this.#words[at + LOADED] = 1;
    this.#doubles[channel * CHANNEL_DOUBLES + START] = now;
    this.#doubles[channel * CHANNEL_DOUBLES + HELD] = this.#words[at + GATE] !== 0 || this.#triggered(channel) ? -1 : 0;
  }

  /** Modes 1 and 5 run from a trigger on and do not care about the level of the gate. */
  #triggered(channel: number): boolean {
    const mode = this.#words[channel * CHANNEL_WORDS + MODE]!;
    return mode === 1 || mode === 5;
  }

  #setGate(channel: number, level: boolean, now: number): void {
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const held = channel * CHANNEL_DOUBLES + HELD;
    const was = words[at + GATE] !== 0;
    if (was === level) return;
    this.#settle(channel, now);
    const ticks = this.#ticks(channel, now);
    words[at + GATE] = level ? 1 : 0;
    if (this.#triggered(channel)) {
      const count = words[at + NEXT_COUNT] !== 0 ? words[at + NEXT_COUNT]! : words[at + COUNT]!;
      const armed = words[at + LOADED] !== 0 || words[at + NEXT_COUNT] !== 0;
      if (level && armed) this.#start(channel, count, now);
    } else if (words[at + LOADED] !== 0) {
      if (!level) {
        this.#doubles[held] = ticks;
      } else if (words[at + MODE] === 2 || words[at + MODE] === 3) {
        this.#start(channel, words[at + NEXT_COUNT] !== 0 ? words[at + NEXT_COUNT]! : words[at + COUNT]!, now);
      } else {
        this.#doubles[channel * CHANNEL_DOUBLES + START] = now - this.#doubles[held]! / TICKS_PER_NS;
        this.#doubles[held] = -1;
      }
    }
    this.#changed(channel, now);
  }

  /** Clock ticks since the counting element was loaded. */
  #ticks(channel: number, now: number): number {
    const held = this.#doubles[channel * CHANNEL_DOUBLES + HELD]!;
    if (held >= 0) return held;
    return Math.max(0, Math.floor((now - this.#doubles[channel * CHANNEL_DOUBLES + START]!) * TICKS_PER_NS));
  }

  /** Moves the load time of a periodic counter to the start of the period it is in. */
  #rebase(channel: number, now: number): void {
    this.#settle(channel, now);
    if (this.#doubles[channel * CHANNEL_DOUBLES + HELD]! >= 0) return;
    const count = this.#words[channel * CHANNEL_WORDS + COUNT]!;
    const periods = Math.floor(this.#ticks(channel, now) / count);
    const at = channel * CHANNEL_DOUBLES + START;
    this.#doubles[at] = this.#doubles[at]! + (periods * count) / TICKS_PER_NS;
  }

  /** Takes over the new count of a periodic counter when the period has ended in the meantime. */
  #settle(channel: number, now: number): void {
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const next = words[at + NEXT_COUNT]!;
    if (next === 0 || words[at + LOADED] === 0 || this.#triggered(channel)) return;
    const count = words[at + COUNT]!;
    if (this.#doubles[channel * CHANNEL_DOUBLES + HELD]! >= 0 || this.#ticks(channel, now) < count) return;
    const start = channel * CHANNEL_DOUBLES + START;
    this.#doubles[start] = this.#doubles[start]! + count / TICKS_PER_NS;
    words[at + COUNT] = next;
    words[at + NEXT_COUNT] = 0;
  }

  /** What a read of the counter gives, in its own number base. */
  #count(channel: number, now: number): number {
    this.#settle(channel, now);
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const count = words[at + COUNT]!;
    const ticks = words[at + LOADED] === 0 ? 0 : this.#ticks(channel, now);
    const modulus = words[at + BCD] !== 0 ? 10_000 : 65_536;
    let value: number;
    switch (words[at + MODE]) {
      case 2:
        value = count - (ticks % count);
        break;
      case 3: {
        // Counts down by two, once for each half of the period.
        const half = (count + 1) >> 1;
        const phase = ticks % count;
        value = (count - 2 * (phase < half ? phase : phase - half)) & ~1;
        break;
      }
      default:
        value = (((count - ticks) % modulus) + modulus) % modulus;
    }
    value %= modulus;
    return words[at + BCD] !== 0 ? toBcd(value) : value;
  }

  #output(channel: number, now: number): boolean {
    this.#settle(channel, now);
    const at = channel * CHANNEL_WORDS;
    const words = this.#words;
    const mode = words[at + MODE]!;
    if (words[at + LOADED] === 0) return mode !== 0;
    const count = words[at + COUNT]!;
    const ticks = this.#ticks(channel, now);
    switch (mode) {
      case 0:
      case 1:
        return ticks >= count;
      case 2:
        return words[at + GATE] === 0 || count === 1 || ticks % count !== count - 1;
      case 3:
        return words[at + GATE] === 0 || ticks % count < (count + 1) >> 1;
      default:
        return ticks !== count;
    }
  }

  /**
   * The channel was programmed: channel 0 may have another output and another next edge. An output that programming
   * takes high is no interrupt (as in KVM): whoever sets a timer up expects the first one when it has run out.
   */
  #changed(channel: number, now: number): void {
    if (channel !== 0) return;
    if (!this.#output(0, now)) this.#interrupt(false);
    this.#schedule(now);
  }

  /** Finds the next rising edge of channel 0's output after `now`. Its gate is always high. */
  #schedule(now: number): void {
    this.#settle(0, now);
    const words = this.#words;
    const start = this.#doubles[START]!;
    const count = words[COUNT]!;
    const ticks = this.#ticks(0, now);
    let edge = Infinity;
    if (words[LOADED] !== 0) {
      switch (words[MODE]) {
        case 0:
          if (ticks < count) edge = count;
          break;
        case 2:
        case 3:
          edge = (Math.floor(ticks / count) + 1) * count;
          // Rounding may put the edge that just fired a fraction of a nanosecond before now.
          if (start + edge / TICKS_PER_NS <= now) edge += count;
          break;
        case 4:
          if (ticks <= count) edge = count + 1;
          break;
        default: // modes 1 and 5 wait for a gate that never rises
          break;
      }
    }
    const at = start + edge / TICKS_PER_NS;
    this.#doubles[NEXT_INTERRUPT] = at > now ? at : Infinity;
  }
}

/** Digits above 9 count as their binary value, as the counter's decades do. */
const fromBcd = (raw: number): number =>
  (raw & 15) + ((raw >> 4) & 15) * 10 + ((raw >> 8) & 15) * 100 + ((raw >> 12) & 15) * 1000;

const toBcd = (value: number): number =>
  (value % 10) |
  ((Math.floor(value / 10) % 10) << 4) |
  ((Math.floor(value / 100) % 10) << 8) |
  ((Math.floor(value / 1000) % 10) << 12);
