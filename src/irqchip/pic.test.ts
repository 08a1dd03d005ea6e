import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pic } from './pic.ts';

const MASTER = 0x20;
const SLAVE = 0xa0;

/** A pair with vectors 30h and 38h and nothing masked. */
function pair(icw4 = 0x01): Pic {
  const pic = new Pic(new Int32Array(32));
  pic.reset();
  for (const [port, vectors, wiring] of [
    [MASTER, 0x30, 4],
    [SLAVE, 0x38, 2],
  ] as const) {
    pic.write(port, 0x11);
    pic.write(port + 1, vectors);
    pic.write(port + 1, wiring);
    pic.write(port + 1, icw4);
  }
  return pic;
}

const pulse = (pic: Pic, irq: number): void => {
  pic.setLine(irq, true);
  pic.setLine(irq, false);
};

const readIsr = (pic: Pic, port: number): number => {
  pic.write(port, 0x0b);
  return pic.read(port);
};

const readIrr = (pic: Pic, port: number): number => {
  pic.write(port, 0x0a);
  return pic.read(port);
};

test('an edge is latched and acknowledged with its vector', () => {
  const pic = pair();
  pulse(pic, 3);
  assert.equal(pic.output, true);
  assert.equal(pic.acknowledge(), 0x33);
  assert.equal(pic.output, false);
  assert.equal(readIsr(pic, MASTER), 0x08);
  assert.equal(readIrr(pic, MASTER), 0x00);
});

test('a line that stays high interrupts once', () => {
  const pic = pair();
  pic.setLine(3, true);
  pic.acknowledge();
  pic.write(MASTER, 0x20);
  pic.setLine(3, true);
  assert.equal(pic.output, false);
});

test('an input of the slave arrives through the cascade', () => {
  const pic = pair();
  pulse(pic, 12);
  assert.equal(pic.acknowledge(), 0x3c);
  assert.equal(readIsr(pic, MASTER), 0x04);
  assert.equal(readIsr(pic, SLAVE), 0x10);
});

test('a higher input interrupts the service of a lower one, not the other way round', () => {
  const pic = pair();
  pulse(pic, 4);
  pic.acknowledge();
  pulse(pic, 6);
  assert.equal(pic.output, false);
  pulse(pic, 1);
  assert.equal(pic.acknowledge(), 0x31);
  pic.write(MASTER, 0x20);
  assert.equal(readIsr(pic, MASTER), 0x10);
  pic.write(MASTER, 0x20);
  assert.equal(pic.acknowledge(), 0x36);
});

test('a masked input keeps its request until it is unmasked', () => {
  const pic = pair();
  pic.write(MASTER + 1, 0x08);
  pulse(pic, 3);
  assert.equal(pic.output, false);
  assert.equal(pic.read(MASTER + 1), 0x08);
  pic.write(MASTER + 1, 0x00);
  assert.equal(pic.acknowledge(), 0x33);
});

test('the mask of the cascade hides the slave', () => {
  const pic = pair();
  pic.write(MASTER + 1, 0x04);
  pulse(pic, 9);
  assert.equal(pic.output, false);
});

test('a specific end of interrupt ends the input it names', () => {
  const pic = pair();
  pulse(pic, 4);
  pic.acknowledge();
  pulse(pic, 1);
  pic.acknowledge();
  pic.write(MASTER, 0x64);
  assert.equal(readIsr(pic, MASTER), 0x02);
});

test('automatic end of interrupt leaves nothing in service', () => {
  const pic = pair(0x03);
  pulse(pic, 5);
  assert.equal(pic.acknowledge(), 0x35);
  assert.equal(readIsr(pic, MASTER), 0);
});

test('rotation on automatic end of interrupt gives the input just served the lowest priority', () => {
  const pic = pair(0x03);
  pic.write(MASTER, 0x80);
  pulse(pic, 0);
  pic.acknowledge();
  pulse(pic, 0);
  pulse(pic, 7);
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(pic.acknowledge(), 0x30);
});

test('a rotating end of interrupt gives the input just served the lowest priority', () => {
  const pic = pair();
  pulse(pic, 1);
  pic.acknowledge();
  pic.write(MASTER, 0xa0);
  pulse(pic, 0);
  pulse(pic, 6);
  assert.equal(pic.acknowledge(), 0x36);
});

test('set priority names the input with the lowest priority', () => {
  const pic = pair();
  pic.write(MASTER, 0xc0 | 4);
  pulse(pic, 0);
  pulse(pic, 5);
  assert.equal(pic.acknowledge(), 0x35);
});

test('in special mask mode a masked service does not hold back lower inputs', () => {
  const pic = pair();
  pulse(pic, 1);
  pic.acknowledge();
  pulse(pic, 6);
  assert.equal(pic.output, false);
  pic.write(MASTER + 1, 0x02);
  pic.write(MASTER, 0x68);
  assert.equal(pic.acknowledge(), 0x36);
  pic.write(MASTER, 0x48);
  assert.equal(pic.output, false);
});

test('in special fully nested mode the slave may interrupt its own service', () => {
  const nested = pair(0x11);
  pulse(nested, 12);
  nested.acknowledge();
  pulse(nested, 9);
  assert.equal(nested.acknowledge(), 0x39);
  const plain = pair();
  pulse(plain, 12);
  plain.acknowledge();
  pulse(plain, 9);
  assert.equal(plain.output, false);
});

test('a poll answers with the input and takes it into service', () => {
  const pic = pair();
  pulse(pic, 3);
  pic.write(MASTER, 0x0c);
  assert.equal(pic.read(MASTER), 0x83);
  assert.equal(pic.output, false);
  assert.equal(readIsr(pic, MASTER), 0x08);
  pic.write(MASTER, 0x0c);
  assert.equal(pic.read(MASTER) & 0x80, 0);
});

test('an acknowledge that finds no request gives the spurious interrupt 7 and no service', () => {
  const pic = pair();
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(readIsr(pic, MASTER), 0);
});

test('a request of the slave that is withdrawn before the acknowledge gives the spurious interrupt 7', () => {
  const pic = pair();
  pic.writeElcr(1, 0x04);
  pic.setLine(10, true);
  assert.equal(pic.output, true);
  pic.setLine(10, false);
  assert.equal(pic.output, false);
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(readIsr(pic, SLAVE), 0);
});

test('a level-triggered input asks as long as it is asserted', () => {
  const pic = pair();
  pic.writeElcr(0, 0xff);
  assert.equal(pic.readElcr(0), 0xf8);
  pic.setLine(5, true);
  pic.acknowledge();
  pic.write(MASTER, 0x20);
  assert.equal(pic.output, true);
  pic.setLine(5, false);
  assert.equal(pic.output, false);
});

test('the inputs of timer, keyboard, cascade, clock and coprocessor stay edge-triggered', () => {
  const pic = pair();
  pic.writeElcr(1, 0xff);
  assert.equal(pic.readElcr(1), 0xde);
});

test('initialisation clears mask, service and latched edges', () => {
  const pic = pair();
  pic.write(MASTER + 1, 0xff);
  pulse(pic, 3);
  pic.write(MASTER, 0x11);
  pic.write(MASTER + 1, 0x20);
  pic.write(MASTER + 1, 4);
  pic.write(MASTER + 1, 1);
  assert.equal(pic.read(MASTER + 1), 0);
  assert.equal(pic.output, false);
});

test('initialisation without ICW4 and in single mode takes one word only', () => {
  const pic = pair();
  pic.write(MASTER, 0x12);
  pic.write(MASTER + 1, 0x50);
  pic.write(MASTER + 1, 0xfe);
  pulse(pic, 0);
  assert.equal(pic.acknowledge(), 0x50);
});
