/**
 * The setup_data chain of the Linux boot protocol (boot.rst, field setup_data): what the kernel is given beyond the zero page.
 *
 *     struct setup_data { u64 next; u32 type; u32 len; u8 data[len]; }     at addresses that are multiples of 8
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { SETUP_DATA_ADDRESS, SETUP_DATA_END } from './layout.ts';

/** arch/x86/include/uapi/asm/setup_data.h. */
export const SetupDataType = { RngSeed: 9 } as const;
export type SetupDataType = (typeof SetupDataType)[keyof typeof SetupDataType];

export interface SetupData {
  readonly type: SetupDataType;
  readonly data: Uint8Array;
}

const HEADER_BYTES = 16;
const ALIGNMENT = 8;

/** Writes the chain and returns the address of its head; 0 when there is nothing in it. */
export function writeSetupData(memory: GuestMemory, entries: readonly SetupData[]): number {
  let address = SETUP_DATA_ADDRESS;
  for (const [index, { type, data }] of entries.entries()) {
    const end = address + HEADER_BYTES + data.length;
    if (end > SETUP_DATA_END) throw new RangeError(`setup_data of ${data.length} bytes does not fit below 0x9e800`);
    const next = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    memory.writeU64(gpa(address), index + 1 < entries.length ? BigInt(next) : 0n);
    memory.writeU32(gpa(address + 8), type);
    memory.writeU32(gpa(address + 12), data.length);
    memory.write(gpa(address + HEADER_BYTES), data);
    address = next;
  }
  return entries.length > 0 ? SETUP_DATA_ADDRESS : 0;
}
