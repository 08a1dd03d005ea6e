/**
 * The library: what `import ... from 'typervisor'` gives.
 *
 * @module
 */
export type { AccessWidth } from './bus/bus-device.ts';
export type { VcpuBus } from './bus/vcpu-bus.ts';
export {
  type BareExit,
  type BareMachine,
  type BareMachineOptions,
  createBareMachine,
} from './host/node/bare-machine.ts';
export type { BalloonControl, BalloonCounters } from './devices/virtio/balloon/device.ts';
export type { BalloonStatistics } from './devices/virtio/balloon/statistics.ts';
export {
  type DiskControl,
  DiskControlError,
  type DiskControlReason,
  type ResizeOptions,
} from './devices/virtio/disk-control.ts';
export { runMachine, type RunningMachine, type RunResult } from './host/node/machine.ts';
export type { InitialCpuState, InitialDescriptorTable, InitialSegment } from './hypervisor/initial-state.ts';
export { realModeState } from './hypervisor/real-mode.ts';
export type { CheckTranslation } from './hypervisor/check-translation.ts';
export type {
  KvmExitName,
  KvmVcpuStats,
  LoopExit,
  MeasuredStats,
  Occupation,
  OccupationTimes,
  RegionEnds,
  RegionStats,
  VcpuStats,
  WasmVcpuStats,
} from './hypervisor/stats.ts';
export {
  type BalloonConfig,
  type BlockConfig,
  DEFAULT_BLOCK,
  DEFAULT_CONFIG,
  DEFAULT_PMEM,
  DEFAULT_SCSI_BLOCK,
  type DebugExitConfig,
  type HypervisorName,
  type ModelName,
  type PmemConfig,
  type RunConfig,
  type ScsiBlockConfig,
  type SerialConfig,
  type SerialNumber,
  type SerialType,
  type TraceConfig,
} from './vm/config.ts';
export { ExitCode } from './vm/exit-code.ts';
export type { VirtioTransport } from './vm/virtio-bus.ts';
