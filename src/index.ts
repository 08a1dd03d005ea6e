/**
 * The library: what `import ... from 'typervisor'` gives.
 *
 * @module
 */
export { runMachine, type RunResult } from './host/node/machine.ts';
export type { CheckTranslation } from './hypervisor/check-translation.ts';
export type {
  LoopExit,
  MeasuredStats,
  Occupation,
  OccupationTimes,
  RegionEnds,
  RegionStats,
  VcpuStats,
} from './hypervisor/stats.ts';
export {
  type BlockConfig,
  DEFAULT_BLOCK,
  DEFAULT_CONFIG,
  type DebugExitConfig,
  type HypervisorName,
  type ModelName,
  type RunConfig,
  type SerialConfig,
  type SerialNumber,
  type SerialType,
  type TraceConfig,
} from './vm/config.ts';
export { ExitCode } from './vm/exit-code.ts';
export type { VirtioTransport } from './vm/virtio-bus.ts';
