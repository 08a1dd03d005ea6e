/**
 * Runs a machine on Node: a validated configuration, the process's terminal and files, an exit status.
 *
 * @module
 */
import { KernelFormatError } from '../../boot/kernel-format-error.ts';
import { type ByteSink, nullSink } from '../../bus/byte-stream.ts';
import type { SerialBackend } from '../../devices/platform/platform.ts';
import { DiskFormatError } from '../../disk/disk-format-error.ts';
import type { BalloonControl, BalloonDevice } from '../../devices/virtio/balloon/device.ts';
import { type DiskControl, findDisk } from '../../devices/virtio/disk-control.ts';
import { SystemCallError } from '../../hypervisor/kvm/system-calls.ts';
import type { VcpuStats } from '../../hypervisor/stats.ts';
import { DEFAULT_CONFIG, type RunConfig, type SerialConfig } from '../../vm/config.ts';
import { endStatus } from '../../vm/end-status.ts';
import { ExitCode } from '../../vm/exit-code.ts';
import { BALLOON_SLOT } from '../../vm/slots.ts';
import type { VirtioPlacement } from '../../vm/virtio-bus.ts';
import { Machine, type MachineEnd, type MachineResult } from '../../vm/machine.ts';
import { createClock, wallClock } from './clock.ts';
import { FileError, type HostFile, openFile } from './files.ts';
import { HypervisorError, openHypervisor } from './hypervisor.ts';
import { useHugePages } from './huge-pages.ts';
import { createLogger } from './log.ts';
import { packageFile } from './package-file.ts';
import { openOutputFile, type OutputFile } from './output-file.ts';
import { createProgressLine, type ProgressOutput } from './progress.ts';
import { random } from './random.ts';
import { leaveMessage, type LeaveReason, leaveStatus, Terminal } from './terminal.ts';
import { createTimers } from './timers.ts';
import { TraceFile } from './trace-file.ts';
import {
  consoleName,
  type ConnectedConsole,
  createBalloon,
  createVirtioDevices,
  diskName,
  pmemName,
  scsiDiskName,
  yieldTurn,
} from './virtio-devices.ts';

/** The embedded guest, in the package. */
const embedded = (name: string): string => packageFile(`guest/images/${name}`);
const EMBEDDED_PARAMS = 'quiet';
/** A panic that nobody hears ends in a reset rather than in a machine that hangs. */
const BASE_PARAMS = 'panic=-1';

/** The kernel command line of a configuration. */
export function commandLine(config: RunConfig): string {
  const console = config.serial.find((port) => port.console);
  const roots = [
    ...config.block.map(({ root, readOnly }, index) => ({ root, readOnly, name: diskName(index) })),
    ...config.scsiBlock.map(({ root, readOnly }, index) => ({ root, readOnly, name: scsiDiskName(index) })),
    ...config.pmem.map(({ root, readOnly }, index) => ({ root, readOnly, name: pmemName(index) })),
  ];
  const root = roots.find((candidate) => candidate.root);
  return [
    ...(console === undefined ? [] : [`console=${consoleName(console, config.serial)}`]),
    BASE_PARAMS,
    ...(root === undefined ? [] : [`root=/dev/${root.name} ${root.readOnly ? 'ro' : 'rw'}`]),
    ...(config.kernel === undefined ? [EMBEDDED_PARAMS] : []),
    ...config.params,
  ].join(' ');
}

const balloonAt = (device: BalloonDevice | undefined): VirtioPlacement[] =>
  device === undefined ? [] : [{ slot: BALLOON_SLOT, device }];

/** One line for people, for ends that are not the guest's own doing. */
function explain(end: MachineEnd): string | undefined {
  if (end.kind === 'triple-fault') return 'the guest crashed: triple fault';
  if (end.kind === 'error' || end.kind === 'mismatch') return `${end.reason}\n${end.detail}`;
  return undefined;
}

/** A machine without a name of its own is just typervisor's. */
const messagePrefix = ({ name }: RunConfig): string =>
  name === DEFAULT_CONFIG.name ? 'typervisor: ' : `typervisor: ${name}: `;

/** Made by Node when it is asked for, which the start of a machine need not wait for. */
const STDERR: ProgressOutput = {
  get isTTY() {
    return process.stderr.isTTY;
  },
  write: (text) => process.stderr.write(text),
};

/** What came of a machine. */
export interface RunResult {
  /** The process's exit status. */
  readonly status: number;
  /** What its vCPUs counted, and how long it ran, in seconds; none when it did not start. */
  readonly vcpus: readonly VcpuStats[];
  readonly seconds: number;
}

/** A machine while it runs. */
export interface RunningMachine {
  /** The memory balloon, where the configuration has one. */
  readonly balloon: BalloonControl | undefined;
  /** The disks of `block`, in their order. */
  readonly disks: readonly DiskControl[];
  /** Those of `scsiBlock`: the LUNs of the SCSI host. */
  readonly scsiDisks: readonly DiskControl[];
  /** One of `disks`, by its place from 0 on or by its `id`. @throws DiskControlError */
  disk(which: number | string): DiskControl;
}

/** Errors of files, of the host and of sizes: their message is for people. */
const REPORTED = [KernelFormatError, FileError, DiskFormatError, HypervisorError, SystemCallError, RangeError];

/**
 * Builds and runs the machine. Errors in files are one line on standard error and status 1. `started` is called once, when the
 * guest begins to run.
 */
export async function runMachine(config: RunConfig, started?: (machine: RunningMachine) => void): Promise<RunResult> {
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
    const consoles: ConnectedConsole[] = [];
    for (const port of config.serial) {
      const connected = backend(port);
      if (port.hardware === undefined) serial[port.num - 1] = connected;
      else consoles.push({ config: port, backend: connected });
    }
    const { devices, persistent, disks, scsiDisks } = await createVirtioDevices(config, consoles, logger, resources);
    const balloon = createBalloon(config, hypervisor.ramBacking, logger);
    const progress = createProgressLine(STDERR);
    machine = new Machine(
      {
        ramBytes: config.memBytes,
        persistent,
        vcpuCount: config.cpus,
        hypervisor: hypervisor.factory,
        kernel,
        initrd,
        commandLine: commandLine(config),
        serial,
        debugExitPort: config.debugExit?.port,
        noReboot: config.noReboot,
        virtio: { transport: config.virtioTransport, devices: [...devices, ...balloonAt(balloon)] },
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
    const { bulk } = machine;
    const askForHugePages = (): void => useHugePages(hypervisor.ramBacking, bulk);
    // Before the guest touches its memory, where what makes the system call is loaded anyway.
    if (config.hugePages && hypervisor.name === 'kvm') askForHugePages();
    const from = performance.now();
    const running = machine.run();
    progress.end();
    if (left !== undefined) machine.stop();
    else {
      started?.({ balloon, disks, scsiDisks, disk: (which) => findDisk(disks, which) });
      // Loading koffi takes this thread some 25 ms, which the guest has better uses for than to wait.
      if (config.hugePages && hypervisor.name === 'wasm') setImmediate(askForHugePages);
    }
    const result: MachineResult = await running;
    const seconds = (performance.now() - from) / 1000;
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
