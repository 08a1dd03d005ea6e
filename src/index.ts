/**
 * The library: what `import ... from 'typervisor'` gives.
 *
 * @module
 */
export { runMachine } from './host/node/machine.ts';
export {
  DEFAULT_CONFIG,
  type DebugExitConfig,
  type HypervisorName,
  type RunConfig,
  type SerialConfig,
  type SerialNumber,
  type SerialType,
} from './vm/config.ts';
export { ExitCode } from './vm/exit-code.ts';
