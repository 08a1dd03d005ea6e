/**
 * Message-signalled interrupts: address and data as a device writes them (SDM 3A, "Message Signalled Interrupts").
 *
 * @module
 */
import { DELIVERY_LOWEST_PRIORITY } from './lapic-defs.ts';

const MSI_REGION = 0xfee;

/** What a message means. */
export interface MsiMessage {
  readonly destination: number;
  readonly logical: boolean;
  readonly mode: number;
  readonly vector: number;
  readonly level: boolean;
}

/** The address and the data that stand for a message; the inverse of `parseMsi`, but for the redirection hint. */
export function formatMsi(message: MsiMessage): { address: number; data: number } {
  const { destination, logical, mode, vector, level } = message;
  return {
    address: MSI_REGION * 0x10_0000 + (destination << 12) + (logical ? 0x4 : 0),
    data: vector | (mode << 8) | (level ? 0xc000 : 0),
  };
}

/** Reads a message; undefined when the address is not that of the local APICs or a level is withdrawn. */
export function parseMsi(address: number, data: number): MsiMessage | undefined {
  if (Math.floor(address / 0x10_0000) !== MSI_REGION) return undefined;
  const level = (data & 0x8000) !== 0;
  if (level && (data & 0x4000) === 0) return undefined;
  const logical = (address & 0x4) !== 0;
  // With the redirection hint a logical destination names a set, of which one processor is to be chosen.
  const oneOf = logical && (address & 0x8) !== 0 && (data & 0x700) === 0;
  return {
    destination: (address >>> 12) & 0xff,
    logical,
    mode: oneOf ? DELIVERY_LOWEST_PRIORITY : (data >> 8) & 7,
    vector: data & 0xff,
    level,
  };
}
