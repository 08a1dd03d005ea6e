/** @module */
import type { Cpu } from './cpu.ts';
import { raiseGp } from './cpu.ts';
export function switchTask(cpu: Cpu, selector: number, _source: 'jmp' | 'call' | 'interrupt' | 'iret', _flags: number, ext: number, _error: number): void {
  raiseGp(cpu, (selector & 0xfffc) | ext);
}
