/**
 * The smallest virtual machine: adds 2 and 2 in 16-bit real mode, prints the sum through the first serial port, and halts. It runs on Linux
 * KVM; with 'wasm' in place of 'kvm' it runs on the processor that is written in WebAssembly, and needs no KVM.
 *
 *     node examples/kvm-hello.ts
 *
 * In a project of your own import from 'typervisor'.
 */
import { createBareMachine, realModeState } from '../src/index.ts';

const COM1 = 0x3f8;
const ENTRY = 0x1000;

// biome-ignore format: an instruction a line
const PROGRAM = [
  0x00, 0xd8,       // add al, bl
  0x04, 0x30,       // add al, '0'
  0xba, 0xf8, 0x03, // mov dx, 3F8h
  0xee,             // out dx, al
  0xb0, 0x0a,       // mov al, '\n'
  0xee,             // out dx, al
  0xf4,             // hlt
];

using machine = await createBareMachine({
  hypervisor: 'kvm',
  memBytes: 0x1_0000,
  bus: {
    portWrite(port, _width, value) {
      if (port === COM1) process.stdout.write(String.fromCharCode(value));
    },
  },
});
machine.memory.set(PROGRAM, ENTRY);
machine.load(realModeState(ENTRY, { rax: 2, rbx: 2 }));

const exit = machine.run();
if (exit.kind !== 'halted') throw new Error(`the guest did not halt: ${exit.kind}`);
