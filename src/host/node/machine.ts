/**
 * Runs a machine on Node: a validated configuration, the process's terminal and files, an exit status.
 *
 * @module
 */
import { randomFillSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { KernelFormatError } from '../../boot/kernel-format-error.ts';
import { type ByteSink, emptySource, nullSink } from '../../bus/byte-stream.ts';
import type { SerialBackend } from '../../devices/platform/platform.ts';
import { DiskFormatError } from '../../disk/disk-format-error.ts';
import { BlockDevice } from '../../devices/virtio/block/device.ts';
import { ConsoleDevice } from '../../devices/virtio/console/device.ts';
import type { ConsoleSize } from '../../devices/virtio/console/port.ts';
import { RngDevice } from '../../devices/virtio/rng/device.ts';
import { SystemCallError } from '../../hypervisor/kvm/system-calls.ts';
import type { VcpuStats } from '../../hypervisor/stats.ts';
import type { Logger } from '../../util/log.ts';
import { DEFAULT_CONFIG, type RunConfig, type SerialConfig } from '../../vm/config.ts';
import { endStatus } from '../../vm/end-status.ts';
import { ExitCode } from '../../vm/exit-code.ts';
import { Machine, type MachineEnd, type MachineResult } from '../../vm/machine.ts';
import { CONSOLE_SLOT, diskSlot, RNG_SLOT } from '../../vm/slots.ts';
import type { VirtioPlacement } from '../../vm/virtio-bus.ts';
import { createClock, wallClock } from './clock.ts';
import { FileError, type HostFile, openFile } from './files.ts';
import { HypervisorError, openHypervisor } from './hypervisor.ts';
import { createLogger } from './log.ts';
import { openOutputFile, type OutputFile } from './output-file.ts';
import { createProgressLine } from './progress.ts';
import { openDiskImage } from './disk-image.ts';
import { leaveMessage, type LeaveReason, leaveStatus, Terminal } from './terminal.ts';
import { createTimers } from './timers.ts';
import { TraceFile } from './trace-file.ts';

/** The embedded guest, in the package. */
const GUEST_IMAGES = new URL('../../../guest/images/', import.meta.url);
const embedded = (name: string): string => fileURLToPath(new URL(name, GUEST_IMAGES));
const EMBEDDED_PARAMS = 'quiet';
/** A panic that nobody hears ends in a reset rather than in a machine that hangs. */
const BASE_PARAMS = 'panic=-1';

/** The kernel command line of a configuration. */
export function commandLine(config: RunConfig): string {
  const console = config.serial.find((port) => port.console);
  const root = config.block.findIndex((disk) => disk.root);
  return [
    ...(console === undefined ? [] : [`console=${consoleName(console, config.serial)}`]),
    BASE_PARAMS,
    ...(root < 0 ? [] : [`root=/dev/${diskName(root)} ${config.block[root]?.readOnly ? 'ro' : 'rw'}`]),
    ...(config.kernel === undefined ? [EMBEDDED_PARAMS] : []),
    ...config.params,
  ].join(' ');
}

/** What Linux calls disk `index`, counted from 0. */
const diskName = (index: number): string => `vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;

const random = (into: Uint8Array<ArrayBuffer>): void => void randomFillSync(into);
const yieldTurn = (resume: () => void): void => void setImmediate(resume);

/** The virtio devices of a configuration; their disks are closed with `resources`. */
async function virtioDevices(
  config: RunConfig,
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<VirtioPlacement[]> {
  const devices: VirtioPlacement[] = [];
  for (const [index, block] of config.block.entries()) {
    const { readOnly, id, blockSize, queues, sparse, packed } = block;
    const disk = await openDiskImage(block);
    resources.defer(() => disk.close());
    const name = `block ${diskName(index)}`;
    const onError = (message: string): void => logger.log('error', 'virtio', message);
    const options = { disk, name, readOnly, id, blockSize, queues, sparse, packed, yieldTurn, onError };
    devices.push({ slot: diskSlot(index), device: new BlockDevice(options) });
  }
  if (config.rng) devices.push({ slot: RNG_SLOT, device: new RngDevice({ random, yieldTurn }) });
  return devices;
}

/** The virtio consoles as ports of one device, where there are any; one on a terminal has its size, and learns of changes. */
function virtioConsoles(
  ports: readonly { readonly config: SerialConfig; readonly backend: SerialBackend }[],
  resources: AsyncDisposableStack,
): VirtioPlacement[] {
  if (ports.length === 0) return [];
  const { stdout } = process;
  const size = (): ConsoleSize => ({ columns: stdout.columns, rows: stdout.rows });
  const isOnTerminal = ({ type }: SerialConfig): boolean => type === 'stdout' && stdout.isTTY;
  const device = new ConsoleDevice({
    ports: ports.map(({ config, backend }) => ({
      input: backend.input ?? emptySource,
      output: backend.output ?? nullSink,
      size: isOnTerminal(config) ? size() : undefined,
    })),
    yieldTurn,
  });
  for (const [index, { config }] of ports.entries()) {
    if (!isOnTerminal(config)) continue;
    const resized = (): void => device.resized(index, size());
    stdout.on('resize', resized);
    resources.defer(() => void stdout.off('resize', resized));
  }
  return [{ slot: CONSOLE_SLOT, device }];
}

/** What Linux calls a serial port or a virtio console. */
function consoleName(port: SerialConfig, all: readonly SerialConfig[]): string {
  if (port.hardware === undefined) return `ttyS${port.num - 1}`;
  return `hvc${all.filter(({ hardware }) => hardware === port.hardware).indexOf(port)}`;
}

/** One line for people, for ends that are not the guest's own doing. */
function explain(end: MachineEnd): string | undefined {
  if (end.kind === 'triple-fault') return 'the guest crashed: triple fault';
  if (end.kind === 'error' || end.kind === 'mismatch') return `${end.reason}\n${end.detail}`;
  return undefined;
}

/** A machine without a name of its own is just typervisor's. */
const messagePrefix = ({ name }: RunConfig): string =>
  name === DEFAULT_CONFIG.name ? 'typervisor: ' : `typervisor: ${name}: `;

/** What came of a machine. */
export interface RunResult {
  /** The process's exit status. */
  readonly status: number;
  /** What its vCPUs counted, and how long it ran, in seconds; none when it did not start. */
  readonly vcpus: readonly VcpuStats[];
  readonly seconds: number;
}

/** Errors of files, of the host and of sizes: their message is for people. */
const REPORTED = [KernelFormatError, FileError, DiskFormatError, HypervisorError, SystemCallError, RangeError];

/** Builds and runs the machine. Errors in files are one line on standard error and status 1. */
export async function runMachine(config: RunConfig): Promise<RunResult> {
  await using resources = new AsyncDisposableStack();
  let machine: Machine | undefined;
  let left: LeaveReason | undefined;
  const logger = createLogger(config.logLevel);
  try {
    // First: the threads of the vCPUs load while the files are read.
    const hypervisor = resources.use(await openHypervisor(config, logger));
    const kernelPath = config.kernel ?? embedded('vmlinuz');
    const initrdPath = config.initrd ?? (config.kernel === undefined ? embedded('initrd.img') : undefined);
    const kernel = resources.use(openFile(kernelPath, 'kernel', config.memBytes));
    const initrd: HostFile | undefined =
      initrdPath === undefined ? undefined : resources.use(openFile(initrdPath, 'initrd', config.memBytes));
    const clock = createClock();
    const traceFile =
      config.trace === undefined
        ? undefined
        : resources.use(
            new TraceFile({ ...config.trace, vcpus: config.cpus }, clock, (message) =>
              logger.log('error', 'trace', message),
            ),
          );
    const timers = resources.use(createTimers(clock));
    const usesStdout = config.serial.some((port) => port.type === 'stdout');
    const terminal = resources.use(
      new Terminal({
        takesInput: config.serial.some((port) => port.stdin),
        onLeave: (reason) => {
          left = reason;
          machine?.stop();
        },
      }),
    );
    const backend = (port: SerialConfig): SerialBackend => {
      let output: ByteSink = nullSink;
      if (port.type === 'stdout' && usesStdout) output = terminal.sink;
      else if (port.type === 'file' && port.path !== undefined) {
        const file: OutputFile = openOutputFile(port.path, `serial port ${port.num}`, (error) => {
          logger.log('error', 'serial', error.message);
        });
        resources.use(file);
        output = file.sink;
      }
      return { output, ...(port.stdin ? { input: terminal.source } : {}) };
    };
    const serial: (SerialBackend | undefined)[] = [undefined, undefined, undefined, undefined];
    const consoles: { config: SerialConfig; backend: SerialBackend }[] = [];
    for (const port of config.serial) {
      const connected = backend(port);
      if (port.hardware === undefined) serial[port.num - 1] = connected;
      else consoles.push({ config: port, backend: connected });
    }
    const progress = createProgressLine(process.stderr);
    machine = new Machine(
      {
        ramBytes: config.memBytes,
        vcpuCount: config.cpus,
        hypervisor: hypervisor.factory,
        kernel,
        initrd,
        commandLine: commandLine(config),
        serial,
        debugExitPort: config.debugExit?.port,
        noReboot: config.noReboot,
        virtio: {
          transport: config.virtioTransport,
          devices: [...virtioConsoles(consoles, resources), ...(await virtioDevices(config, logger, resources))],
        },
        progress: progress.update,
      },
      {
        clock,
        wallClock,
        timers,
        logger,
        startVcpu: (thread) => hypervisor.startVcpu(thread, traceFile?.wire),
        trace: traceFile?.trace,
        random,
        yieldTurn,
      },
    );
    const started = performance.now();
    const running = machine.run();
    progress.end();
    if (left !== undefined) machine.stop();
    const result: MachineResult = await running;
    const seconds = (performance.now() - started) / 1000;
    await terminal[Symbol.asyncDispose]();
    const message = left === undefined ? explain(result.end) : leaveMessage(left);
    if (message !== undefined) process.stderr.write(`${messagePrefix(config)}${message}\n`);
    const status = left !== undefined && result.end.kind === 'stopped' ? leaveStatus(left) : endStatus(result.end);
    return { status, vcpus: result.vcpus, seconds };
  } catch (error) {
    if (REPORTED.some((kind) => error instanceof kind)) {
      process.stderr.write(`typervisor: ${(error as Error).message}\n`);
      return { status: ExitCode.Failure, vcpus: [], seconds: 0 };
    }
    throw error;
  }
}
