/**
 * The world around a device under test: a clock that stands until it is moved, lines that remember, streams in memory.
 *
 * @module
 */
import type { InterruptLine } from '../bus/bus-device.ts';
import type { ByteSink, ByteSource } from '../bus/byte-stream.ts';
import type { Clock } from '../util/clock.ts';
import { TimerQueue } from '../util/timers.ts';

export class FakeTime implements Clock {
  now = 1_000_000;
  readonly timers: TimerQueue = new TimerQueue();

  nanoseconds(): number {
    return this.now;
  }

  /** Moves the clock and fires each timer at its own moment. */
  advance(nanoseconds: number): void {
    const end = this.now + nanoseconds;
    while (this.timers.nextDeadline() <= end) {
      this.now = Math.max(this.now, this.timers.nextDeadline());
      this.timers.run(this.now);
    }
    this.now = end;
  }
}

export class FakeLine implements InterruptLine {
  level = false;
  /** Rising edges so far. */
  edges = 0;

  set(level: boolean): void {
    if (level && !this.level) this.edges++;
    this.level = level;
  }
}

export class MemorySource implements ByteSource {
  #bytes: number[] = [];
  #listener: () => void = () => {};

  get waiting(): number {
    return this.#bytes.length;
  }

  feed(bytes: Iterable<number>): void {
    const idle = this.#bytes.length === 0;
    for (const byte of bytes) this.#bytes.push(byte);
    if (idle && this.#bytes.length > 0) this.#listener();
  }

  read(max: number): Uint8Array {
    return Uint8Array.from(this.#bytes.splice(0, max));
  }

  onReadable(listener: () => void): void {
    this.#listener = listener;
    if (this.#bytes.length > 0) listener();
  }
}

export class MemorySink implements ByteSink {
  readonly bytes: number[] = [];
  congested = false;
  #listener: () => void = () => {};

  write(bytes: Uint8Array): void {
    this.bytes.push(...bytes);
  }

  onDrain(listener: () => void): void {
    this.#listener = listener;
  }

  drain(): void {
    this.congested = false;
    this.#listener();
  }
}
