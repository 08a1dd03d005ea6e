import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLine, FakeTime, MemorySink, MemorySource } from '../../testing.ts';
import { FCR_ENABLE, IER, IER_ERBFI, IER_ETBEI, IIR_FCR, LCR, LSR, MCR, MSR, RBR_THR, SCR } from './defs.ts';
import { Uart16550 } from './device.ts';

const text = (bytes: string): number[] => [...bytes].map((character) => character.charCodeAt(0));

/** A driver that looks like Linux': it reads the shadow of the line status when there is one. */
function rig() {
  const time = new FakeTime();
  const input = new MemorySource();
  const output = new MemorySink();
  const line = new FakeLine();
  const shortcuts = {
    shadow: undefined as number | undefined,
    shadows: new Map<number, number>(),
    posted: false,
    calls: 0,
  };
  const uart = new Uart16550({
    input,
    output,
    line,
    clock: time,
    timers: time.timers,
    shortcuts: {
      shadow: (register, value) => {
        if (value === undefined) shortcuts.shadows.delete(register);
        else shortcuts.shadows.set(register, value);
        shortcuts.shadow = shortcuts.shadows.get(LSR);
        shortcuts.calls++;
      },
      post: (register, allowed) => {
        if (register === RBR_THR) shortcuts.posted = allowed;
      },
    },
  });
  const lineStatus = (): number => shortcuts.shadow ?? uart.readByte(LSR);
  /** Enables FIFO and receive interrupt and lets the settling time pass. */
  const open = (): void => {
    uart.writeByte(IIR_FCR, FCR_ENABLE | 0x80);
    uart.writeByte(IER, IER_ERBFI);
    time.advance(2_000_000);
  };
  /** Reads all that is there, as an interrupt handler does. */
  const drain = (): number[] => {
    const bytes: number[] = [];
    while ((lineStatus() & 0x01) !== 0) bytes.push(uart.readByte(RBR_THR));
    return bytes;
  };
  return { time, input, output, line, shortcuts, uart, lineStatus, open, drain };
}

test('after reset the transmitter is empty, no interrupt is pending and the modem is ready', () => {
  const { uart, line, lineStatus } = rig();
  assert.equal(lineStatus(), 0x60);
  assert.equal(uart.readByte(IIR_FCR), 0x01);
  assert.equal(uart.readByte(MSR), 0xb0);
  assert.equal(line.level, false);
});

test('a byte written to the transmitter reaches the sink and leaves it empty', () => {
  const { uart, output, lineStatus } = rig();
  uart.writeByte(RBR_THR, 0x41);
  assert.deepEqual(output.bytes, [0x41]);
  assert.equal(lineStatus(), 0x60);
});

test('the divisor latch hides the data registers while DLAB is set', () => {
  const { uart, output } = rig();
  uart.writeByte(LCR, 0x80);
  uart.writeByte(RBR_THR, 0x34);
  uart.writeByte(IER, 0x12);
  assert.equal(uart.readByte(RBR_THR), 0x34);
  assert.equal(uart.readByte(IER), 0x12);
  uart.writeByte(LCR, 0x03);
  assert.equal(uart.readByte(IER), 0);
  assert.deepEqual(output.bytes, []);
});

test('the scratch register keeps a byte and IER only its low four bits', () => {
  const { uart } = rig();
  uart.writeByte(SCR, 0xa5);
  uart.writeByte(IER, 0xff);
  assert.equal(uart.readByte(SCR), 0xa5);
  assert.equal(uart.readByte(IER), 0x0f);
});

test('IIR shows enabled FIFOs in its top bits', () => {
  const { uart } = rig();
  uart.writeByte(IIR_FCR, FCR_ENABLE);
  assert.equal(uart.readByte(IIR_FCR), 0xc1);
  uart.writeByte(IIR_FCR, 0);
  assert.equal(uart.readByte(IIR_FCR), 0x01);
});

test('enabling the transmitter interrupt raises it at once; reading IIR ends it', () => {
  const { uart, line } = rig();
  uart.writeByte(IER, IER_ETBEI);
  assert.equal(line.level, true);
  assert.equal(uart.readByte(IIR_FCR), 0x02);
  assert.equal(line.level, false);
  assert.equal(uart.readByte(IIR_FCR), 0x01);
  uart.writeByte(RBR_THR, 0x41);
  assert.equal(line.level, true);
});

test('a congested sink makes the transmitter busy until it has drained, and then interrupts', () => {
  const { uart, output, line, lineStatus } = rig();
  uart.writeByte(IER, IER_ETBEI);
  uart.readByte(IIR_FCR);
  output.congested = true;
  uart.writeByte(RBR_THR, 0x41);
  assert.equal(lineStatus(), 0x00);
  assert.equal(line.level, false);
  output.drain();
  assert.equal(lineStatus(), 0x60);
  assert.equal(line.level, true);
  assert.deepEqual(output.bytes, [0x41]);
});

test('input waits with the host until the receive interrupt has been enabled for a millisecond', () => {
  const { uart, time, input, lineStatus } = rig();
  input.feed(text('uname\n'));
  assert.equal(lineStatus() & 1, 0);
  uart.writeByte(IER, IER_ERBFI);
  time.advance(500_000);
  assert.equal(input.waiting, 6);
  time.advance(600_000);
  assert.equal(lineStatus() & 1, 1);
});

test("nothing that was typed early is lost to Linux' probe and start-up sequences", () => {
  const { uart, time, input, open, drain } = rig();
  const typed = text('echo hello; poweroff -f\n');
  input.feed(typed);
  // autoconfig: interrupts on and off, FIFO tests, loop test
  uart.writeByte(IER, 0x0f);
  uart.readByte(IER);
  uart.writeByte(IER, 0);
  uart.writeByte(MCR, 0x1a);
  uart.readByte(MSR);
  uart.writeByte(MCR, 0);
  uart.writeByte(IIR_FCR, 0x07);
  uart.writeByte(IIR_FCR, 0);
  uart.readByte(RBR_THR);
  // startup: FIFO cleared, registers read to clear them
  for (const offset of [LSR, RBR_THR, IIR_FCR, MSR]) uart.readByte(offset);
  open();
  const got: number[] = [];
  for (let turn = 0; turn < 10; turn++) {
    got.push(...drain());
    time.advance(1_000_000);
  }
  assert.deepEqual(got, typed);
});

test('bytes cleared out of the FIFO unread are received again', () => {
  const { uart, time, input, open, drain } = rig();
  open();
  input.feed(text('abc'));
  uart.writeByte(IIR_FCR, FCR_ENABLE | 0x02);
  time.advance(1_000_000);
  assert.deepEqual(drain(), text('abc'));
});

test('a guest that does nothing but read the line status gets its input without interrupts', () => {
  const { uart, input, lineStatus } = rig();
  input.feed(text('q'));
  let reads = 0;
  while ((lineStatus() & 1) === 0 && reads < 1000) reads++;
  assert.ok(reads < 100, `${reads} reads`);
  assert.equal(uart.readByte(RBR_THR), 0x71);
});

test('console output between reads of the line status is no sign of listening', () => {
  const { uart, input, lineStatus } = rig();
  input.feed(text('q'));
  for (let n = 0; n < 500; n++) {
    assert.equal(lineStatus() & 0x21, 0x20);
    uart.writeByte(RBR_THR, 0x2e);
  }
});

test('64 KiB of input pass through the 16-byte FIFO in order and complete', () => {
  const { time, input, open, drain } = rig();
  open();
  const sent = Array.from({ length: 65_536 }, (_, n) => (n * 7 + (n >> 8)) & 0xff);
  input.feed(sent);
  const got: number[] = [];
  for (let turn = 0; turn < 10_000 && got.length < sent.length; turn++) {
    got.push(...drain());
    time.advance(500_000);
  }
  assert.deepEqual(got, sent);
});

test('a paste comes at a bounded rate', () => {
  const { time, input, open, drain } = rig();
  open();
  input.feed(new Uint8Array(1000));
  let got = drain().length;
  for (let microsecond = 0; microsecond < 1000; microsecond += 10) {
    time.advance(10_000);
    got += drain().length;
  }
  assert.ok(got >= 32 && got <= 64, `${got} bytes in a millisecond`);
});

test('fewer bytes than the trigger level interrupt as a character timeout, as many as it as data', () => {
  const { uart, time, input, open, drain, line } = rig();
  open();
  input.feed(text('1234567'));
  assert.equal(line.level, true);
  assert.equal(uart.readByte(IIR_FCR), 0xcc);
  drain();
  assert.equal(line.level, false);
  time.advance(1_000_000);
  input.feed(text('12345678'));
  assert.equal(uart.readByte(IIR_FCR), 0xc4);
});

test('received data comes before transmitter empty in IIR and does not end it', () => {
  const { uart, input, open, drain, line } = rig();
  open();
  uart.writeByte(IER, IER_ERBFI | IER_ETBEI);
  input.feed(text('x'));
  assert.equal(uart.readByte(IIR_FCR), 0xcc);
  assert.deepEqual(drain(), text('x'));
  assert.equal(line.level, true);
  assert.equal(uart.readByte(IIR_FCR), 0xc2);
  assert.equal(line.level, false);
});

test('in loopback a sent byte is received and does not reach the sink', () => {
  const { uart, output, lineStatus, shortcuts } = rig();
  uart.writeByte(MCR, 0x10);
  assert.equal(shortcuts.posted, false);
  uart.writeByte(RBR_THR, 0x5a);
  assert.equal(lineStatus() & 1, 1);
  assert.equal(uart.readByte(RBR_THR), 0x5a);
  assert.deepEqual(output.bytes, []);
  uart.writeByte(MCR, 0);
  assert.equal(shortcuts.posted, true);
});

test('in loopback the modem outputs come back as inputs, with their changes', () => {
  const { uart } = rig();
  uart.writeByte(MCR, 0x10);
  uart.readByte(MSR);
  uart.writeByte(MCR, 0x10 | 0x0a);
  assert.equal(uart.readByte(MSR), 0x90 | 0x09);
  assert.equal(uart.readByte(MSR), 0x90);
});

test('a 17th byte in the loop sets the overrun error, which interrupts and is cleared by reading', () => {
  const { uart, line, shortcuts } = rig();
  uart.writeByte(IIR_FCR, FCR_ENABLE);
  uart.writeByte(MCR, 0x10);
  uart.writeByte(IER, 0x04);
  for (let n = 0; n < 17; n++) uart.writeByte(RBR_THR, n);
  assert.equal(shortcuts.shadow, undefined);
  assert.equal(uart.readByte(IIR_FCR), 0xc6);
  assert.equal(line.level, true);
  assert.equal(uart.readByte(LSR), 0x63);
  assert.equal(line.level, false);
  assert.equal(shortcuts.shadow, 0x61);
});

test('a break is a zero byte with the break bit when it is the oldest', () => {
  const { uart } = rig();
  uart.writeByte(IIR_FCR, FCR_ENABLE);
  uart.receiveBreak();
  assert.equal(uart.readByte(LSR), 0xf1);
  assert.equal(uart.readByte(LSR), 0x61);
  assert.equal(uart.readByte(RBR_THR), 0);
  assert.equal(uart.readByte(LSR), 0x60);
});

test('shadows are told only when they change', () => {
  const { uart, shortcuts } = rig();
  const before = shortcuts.calls;
  for (let n = 0; n < 100; n++) uart.writeByte(RBR_THR, 0x41);
  assert.equal(shortcuts.calls, before);
});

test('the interrupt identification is shadowed unless reading it ends an interrupt', () => {
  const { uart, input, open, shortcuts } = rig();
  open();
  assert.equal(shortcuts.shadows.get(IIR_FCR), 0xc1);
  input.feed(text('x'));
  assert.equal(shortcuts.shadows.get(IIR_FCR), 0xcc);
  uart.readByte(RBR_THR);
  uart.writeByte(IER, IER_ETBEI);
  assert.equal(shortcuts.shadows.has(IIR_FCR), false);
});

test('the modem status is shadowed unless reading it clears changes', () => {
  const { uart, shortcuts } = rig();
  assert.equal(shortcuts.shadows.get(MSR), 0xb0);
  uart.writeByte(MCR, 0x10);
  assert.equal(shortcuts.shadows.has(MSR), false);
  uart.readByte(MSR);
  assert.equal(shortcuts.shadows.get(MSR), 0x00);
});

test('a saved UART goes on elsewhere with the same registers and unread bytes', () => {
  const one = rig();
  one.open();
  one.uart.writeByte(SCR, 0x77);
  one.uart.writeByte(LCR, 0x03);
  one.input.feed(text('hello'));
  assert.equal(one.uart.readByte(RBR_THR), 0x68);
  const state = JSON.parse(JSON.stringify(one.uart.save()));
  const other = rig();
  other.uart.restore(state);
  assert.deepEqual(other.uart.save(), one.uart.save());
  assert.deepEqual(other.drain(), text('ello'));
  assert.equal(other.uart.readByte(SCR), 0x77);
});

test('a state of another version is refused by name', () => {
  const { uart } = rig();
  assert.throws(() => uart.restore({ ...uart.save(), version: 2 as 1 }), /version 2, not 1/);
});
