/**
 * What a device can do to the machine as a whole. Declared here, by its users; implemented by vm/. None of these may
 * run the machine on or throw: they note what is to happen, and the access that caused it is still answered.
 *
 * @module
 */

/** What the guest reports through pvpanic. */
export type PanicEvent = 'panicked' | 'crash-loaded';

export interface MachineEvents {
  /** The guest switched itself off (ACPI S5). */
  powerOff(): void;
  /** The guest asked for a reset (keyboard controller, reset control register). */
  reset(): void;
  /** The guest's kernel panicked, or has loaded a crash kernel instead. */
  panic(event: PanicEvent): void;
  /** A kernel under test ends the machine with this exit status. */
  debugExit(status: number): void;
}
