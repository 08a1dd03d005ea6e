/**
 * How a hypervisor that translates guest code checks what it has translated.
 *
 * @module
 */
export interface CheckTranslation {
  /** One of how many calls of regions is checked; 1: each. */
  readonly every: number;
  /** Code is translated the first time that it is met, however seldom it runs, so that more of it is checked. */
  readonly eager: boolean;
}
