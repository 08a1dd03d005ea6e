/**
 * The arguments of `typervisor run`: the table of its options, and how their values become a `RunConfig`.
 *
 * @module
 */
import {
  alias,
  boolean,
  choice,
  integer,
  list,
  KeyValueError,
  optional,
  type Parsed,
  parseKeyValues,
  type Schema,
  string,
  withDefault,
} from '../../util/key-value.ts';
import { DISK_FORMATS } from '../../disk/formats.ts';
import { LOG_LEVELS, type LogLevel } from '../../util/log.ts';
import {
  type BalloonConfig,
  type BlockConfig,
  CONSOLE_ON_STDOUT,
  DEFAULT_BLOCK,
  DEFAULT_CONFIG,
  DEFAULT_MEM_MIB,
  DEFAULT_PMEM,
  DEFAULT_SCSI_BLOCK,
  DEFAULT_TRACE_MIB,
  type HypervisorName,
  MAX_BLOCK_ID_LENGTH,
  MAX_BLOCK_QUEUES,
  MAX_BLOCK_SIZE,
  MAX_CPUS,
  MAX_KVM_MEM_MIB,
  MAX_MEM_MIB,
  MAX_SCSI_DISKS,
  MAX_TRACE_MIB,
  MAX_WASM_CPUS,
  MIB,
  MIN_BLOCK_SIZE,
  MIN_MEM_MIB,
  type PmemConfig,
  type RunConfig,
  type ScsiBlockConfig,
  SERIAL_NUMBERS,
  type SerialConfig,
} from '../../vm/config.ts';
import { portOwner } from '../../vm/ports.ts';
import { MAX_DISKS, MAX_PMEM } from '../../vm/slots.ts';
import { type OptionSpec, type ParsedArguments, parseArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';

export const RUN_OPTIONS: readonly OptionSpec[] = [
  {
    name: '--initrd',
    short: '-i',
    value: 'PATH',
    help: "Initial RAM disk. Without KERNEL it goes with the embedded guest's kernel.",
  },
  {
    name: '--params',
    short: '-p',
    value: 'STRING',
    repeatable: true,
    help: 'Adds to the kernel command line, behind what typervisor itself puts there. May be given several times; the strings are joined by spaces, in order.',
  },
  {
    name: '--mem',
    short: '-m',
    value: 'size=MIB',
    help: `Guest memory in MiB, from ${MIN_MEM_MIB} to ${MAX_MEM_MIB}, on KVM to ${MAX_KVM_MEM_MIB}. The default is ${DEFAULT_MEM_MIB}.`,
  },
  {
    name: '--cpus',
    short: '-c',
    value: 'num-cores=N',
    help: `Number of virtual CPUs, on KVM up to ${MAX_CPUS}. The default is one, which is all that the WebAssembly CPU has.`,
  },
  {
    name: '--serial',
    value: 'KEY=VALUE,...',
    repeatable: true,
    help: 'Connects one of the four serial ports, which always exist: a port that is not connected forgets its output. As long as no port is the console and the first is not mentioned, the first is the console, on standard input and output.',
    keys: [
      ['type=TYPE', 'stdout, file (appends to path) or sink (forgets, the default).'],
      [
        'hardware=WHAT',
        'serial, a 16550 (the default), or virtio-console, which is faster and there only when configured.',
      ],
      [
        'num=N',
        '1 to 4, ttyS0 to ttyS3 in Linux; virtio consoles are counted apart, and hvc0 and so on in this order. The default is 1.',
      ],
      ['path=PATH', 'The file of type=file.'],
      ['console', "The kernel's console: its name goes on the kernel command line. One port at most."],
      ['stdin', 'Takes standard input. One port at most.'],
    ],
  },
  {
    name: '--block',
    short: '-b',
    value: 'PATH[,KEY=VALUE,...]',
    repeatable: true,
    help: `Adds a disk, an image or a block device of the host; the guest sees them as vda, vdb and so on. Up to ${MAX_DISKS}.`,
    keys: [
      ['path=PATH', 'The image.'],
      ['ro', 'Read-only: the guest is told, and the image is never written.'],
      ['root', 'The root file system: adds root=/dev/vdX and ro or rw to the kernel command line. One disk at most.'],
      ['sparse=BOOL', 'Whether the guest may discard what it needs no more. The default is true.'],
      [
        'block-size=BYTES',
        `What the guest reads and writes at least: ${MIN_BLOCK_SIZE} (the default) to ${MAX_BLOCK_SIZE}.`,
      ],
      ['id=TEXT', `The serial number that the guest reads, up to ${MAX_BLOCK_ID_LENGTH} characters.`],
      ['direct', "Past the host's page cache (O_DIRECT)."],
      ['num-queues=N', `Request queues, 1 to ${MAX_BLOCK_QUEUES}. The default is ${DEFAULT_BLOCK.queues}.`],
      ['packed-queue', 'Offers packed virtqueues.'],
      [
        'format=FORMAT',
        `What the image is: ${DISK_FORMATS.join(', ')}. The default is raw; it is never guessed from the contents, which a guest can write.`,
      ],
      [
        'backing=[PATH,...]',
        'Files that the image may read beside itself: backing files of qcow2 images, parts of composite disks outside their folder. None by default.',
      ],
      ['snapshot', 'Changes stay in memory and are gone at the end; the image is only read.'],
      [
        'lock=BOOL',
        'Whether an image that is written to is kept from all others, and one that is read from writers. The default is true.',
      ],
    ],
  },
  {
    name: '--scsi-block',
    value: 'PATH[,KEY=VALUE,...]',
    repeatable: true,
    help: `Adds a disk to a SCSI host, LUN 0, 1 and so on; sda, sdb and so on in Linux, which may give several their names in another order. Up to ${MAX_SCSI_DISKS}.`,
    keys: [
      ['path=PATH', 'The image, or a block device of the host.'],
      ['ro', 'Read-only: the guest is told, and the image is never written.'],
      [
        'root',
        'The root file system: adds root=/dev/sdX and ro or rw to the kernel command line, which names it for sure only when it is alone.',
      ],
      ['block-size=BYTES', 'As for --block.'],
      ['format=FORMAT', 'As for --block. The default is raw.'],
      ['lock=BOOL', 'As for --block. The default is true.'],
    ],
  },
  {
    name: '--pmem',
    value: 'PATH[,KEY=VALUE,...]',
    repeatable: true,
    help: `Adds a file as persistent memory, which the guest sees as pmem0, pmem1 and so on and reads and writes as its own memory. Up to ${MAX_PMEM}, together with --mem within what memory can be. Takes koffi, or a Node with node:ffi.`,
    keys: [
      ['path=PATH', 'The file, or a block device of the host. Its length must not change meanwhile.'],
      ['ro', 'The file is never written: what the guest writes is gone at the end, and its flushes fail.'],
      ['root', 'The root file system: adds root=/dev/pmemN and ro or rw to the kernel command line.'],
      ['lock=BOOL', 'As for --block. The default is true.'],
    ],
  },
  {
    name: '--no-hugepages',
    help: 'Guest memory in small pages of the host: it then takes no more than the guest has touched, and every first touch longer. The default is huge pages where Linux gives them on request and koffi is installed.',
  },
  { name: '--no-rng', help: 'Leaves the entropy device out, which gives the guest random numbers.' },
  {
    name: '--no-balloon',
    help: 'Leaves the memory balloon out, by which the guest gives memory back to the host.',
  },
  {
    name: '--init-mem',
    value: 'MIB',
    help: 'Guest memory outside the balloon at the start: the guest gives up the rest of --mem as soon as its driver runs. The default is all.',
  },
  {
    name: '--balloon-page-reporting',
    help: 'The guest says which of its memory is free, and the host takes that back until it is used again.',
  },
  {
    name: '--virtio-transport',
    value: 'pci|mmio',
    help: 'How the guest reaches its virtio devices: as PCI functions (the default), or as memory-mapped devices that ACPI names.',
  },
  {
    name: '--hypervisor',
    value: 'NAME[,KEY=VALUE]',
    help: "kvm, Linux's KVM; wasm, the CPU written in WebAssembly; or auto, the default: KVM where it will work, else wasm.",
    keys: [
      [
        'model=MODEL',
        `wasm: what the CPU can do: x86-64-v2, or x86-64-v3 with AVX2, FMA, BMI and AES beside it. The default is ${DEFAULT_CONFIG.model}.`,
      ],
      [
        'translate=BOOL',
        'wasm: whether hot code is translated (the default) or all of it interpreted, which is slower.',
      ],
      [
        'memfd=BOOL',
        'kvm: guest RAM is a memfd, which other processes can be given; it seldom gets huge pages. The default is false.',
      ],
    ],
  },
  {
    name: '--irqchip',
    value: 'kernel|split',
    help: "Which interrupt controllers are KVM's: all of them (the default), or only the local APICs, with IO-APIC, 8259 and 8254 here, which is slower. The wasm CPU has its own.",
  },
  {
    name: '--check-translation',
    value: 'every=N[,eager]',
    help: 'Checks translated code: calls of it are undone, done again by the interpreter, and compared. The first difference ends the machine with status 36 and is described. Much slower. Code that touches devices is not checked. Not with disks, persistent memory and virtio consoles, which write to memory while code is done again; the entropy device and the balloon are left out.',
    keys: [
      ['every=N', 'One of N calls, on average; with 1 each.'],
      ['eager', 'Translates all code that is met, however seldom it runs.'],
    ],
  },
  {
    name: '--no-reboot',
    help: 'Ends with status 32 when the guest resets. Otherwise it reboots in place.',
  },
  { name: '--name', value: 'NAME', help: 'Names the virtual machine in messages.' },
  {
    name: '--log-level',
    value: 'LEVEL',
    help: 'The least important lines that go to standard error: error, warn (the default), info or debug.',
  },
  {
    name: '--stats',
    help: "Prints to standard error at the end what was counted, and where the time of the vCPU's thread went: a thread of its own looks every millisecond at what that one does. The guest runs a few percent slower.",
  },
  {
    name: '--trace-file',
    value: 'path=PATH[,KEY=VALUE]',
    help: "Writes what happens when to a file in Chrome's trace format, for Perfetto (ui.perfetto.dev) or chrome://tracing: guest code, halts, interrupts, device calls, translations, and curves of speed, regions and TLB misses. An existing file is replaced. The guest runs a few percent slower.",
    keys: [
      ['path=PATH', 'The file.'],
      [
        'limit=MIB',
        `The file's greatest length, up to ${MAX_TRACE_MIB}; what comes later is dropped and counted. The default is ${DEFAULT_TRACE_MIB}.`,
      ],
    ],
  },
  {
    name: '--debug-exit',
    value: 'port=PORT',
    help: 'Adds a device for kernels under test: a 32-bit write of V to this I/O port ends the machine with status (V << 1) | 1. Customary is 0xf4.',
  },
];

const MEM = { size: integer(MIN_MEM_MIB, MAX_KVM_MEM_MIB, 'MiB') };
const CPUS = { 'num-cores': integer(1, MAX_CPUS) };
/** A device of 32 bits. */
const DEBUG_EXIT_PORTS = 4;
const DEBUG_EXIT = { port: integer(0, 0xfffc) };
const CHECK_TRANSLATION = { every: integer(1, 1_000_000_000), eager: withDefault(boolean(), false) };
const HYPERVISOR = {
  name: choice('kvm', 'wasm', 'auto'),
  translate: withDefault(boolean(), true),
  memfd: withDefault(boolean(), DEFAULT_CONFIG.memfd),
  model: withDefault(choice('x86-64-v2', 'x86-64-v3'), DEFAULT_CONFIG.model),
};
const TRACE = { path: string(), limit: withDefault(integer(1, MAX_TRACE_MIB, 'MiB'), DEFAULT_TRACE_MIB) };
const BLOCK = {
  path: string(),
  ro: withDefault(boolean(), DEFAULT_BLOCK.readOnly),
  root: withDefault(boolean(), DEFAULT_BLOCK.root),
  sparse: withDefault(boolean(), DEFAULT_BLOCK.sparse),
  'block-size': alias(
    withDefault(integer(MIN_BLOCK_SIZE, MAX_BLOCK_SIZE, 'bytes'), DEFAULT_BLOCK.blockSize),
    'block_size',
  ),
  id: withDefault(string(), DEFAULT_BLOCK.id),
  direct: alias(withDefault(boolean(), DEFAULT_BLOCK.direct), 'o_direct'),
  'num-queues': withDefault(integer(1, MAX_BLOCK_QUEUES), DEFAULT_BLOCK.queues),
  'packed-queue': withDefault(boolean(), DEFAULT_BLOCK.packed),
  format: withDefault(choice(...DISK_FORMATS), DEFAULT_BLOCK.format),
  backing: withDefault(list(string()), []),
  snapshot: withDefault(boolean(), DEFAULT_BLOCK.snapshot),
  lock: withDefault(boolean(), DEFAULT_BLOCK.lock),
};
const SCSI_BLOCK = {
  path: string(),
  ro: withDefault(boolean(), DEFAULT_SCSI_BLOCK.readOnly),
  root: withDefault(boolean(), DEFAULT_SCSI_BLOCK.root),
  'block-size': withDefault(integer(MIN_BLOCK_SIZE, MAX_BLOCK_SIZE, 'bytes'), DEFAULT_SCSI_BLOCK.blockSize),
  format: withDefault(choice(...DISK_FORMATS), DEFAULT_SCSI_BLOCK.format),
  lock: withDefault(boolean(), DEFAULT_SCSI_BLOCK.lock),
};
const INIT_MEM = { size: integer(0, MAX_KVM_MEM_MIB, 'MiB') };
const PMEM = {
  path: string(),
  ro: withDefault(boolean(), DEFAULT_PMEM.readOnly),
  root: withDefault(boolean(), DEFAULT_PMEM.root),
  lock: withDefault(boolean(), DEFAULT_PMEM.lock),
};
const IRQCHIP = { kind: choice('kernel', 'split') };
const VIRTIO_TRANSPORT = { transport: choice('pci', 'mmio') };
const SERIAL = {
  type: withDefault(choice('stdout', 'file', 'sink'), 'sink'),
  hardware: withDefault(choice('serial', 'virtio-console'), 'serial'),
  num: withDefault(integer(1, SERIAL_NUMBERS.length), 1),
  path: optional(string()),
  console: withDefault(boolean(), false),
  stdin: withDefault(boolean(), false),
};

const invalid = (option: string, value: string, reason: string): UsageError =>
  new UsageError(`${option} ${quote(value)}: ${reason}`);

/** The parsed values of a key=value option, one for each time it was given. */
function keyValues<const S extends Schema>(args: ParsedArguments, option: string, schema: S): Parsed<S>[] {
  return (args.options.get(option) ?? []).map((text) => {
    try {
      return parseKeyValues(text, schema);
    } catch (error) {
      if (error instanceof KeyValueError) throw invalid(option, text, error.message);
      throw error;
    }
  });
}

/** A path or name that is not empty and that the system can take. */
function plainValue(args: ParsedArguments, option: string): string | undefined {
  const value = args.options.get(option)?.[0];
  if (value === '') throw invalid(option, value, 'the value is empty');
  return value;
}

/** What only KVM has; where the choice is automatic the host refuses it later. */
function refuseForWasm(args: ParsedArguments, hypervisor: HypervisorName | undefined, mem = 0, cpus = 0): void {
  if (hypervisor !== 'wasm') return;
  const refuse = (option: string, limit: string): UsageError =>
    invalid(option, args.options.get(option)?.[0] ?? '', `the WebAssembly CPU has at most ${limit}`);
  if (mem > MAX_MEM_MIB) throw refuse('--mem', `${MAX_MEM_MIB} MiB`);
  if (cpus > MAX_WASM_CPUS) throw refuse('--cpus', `${MAX_WASM_CPUS} processor`);
}

function logLevel(args: ParsedArguments): LogLevel {
  const text = args.options.get('--log-level')?.[0] ?? DEFAULT_CONFIG.logLevel;
  const level = LOG_LEVELS.find((candidate) => candidate === text);
  if (level === undefined) throw invalid('--log-level', text, `the levels are ${LOG_LEVELS.join(', ')}`);
  return level;
}

/** The ports in order of their numbers, with the default console when the user named neither a console nor the first port. */
function serialPorts(args: ParsedArguments): SerialConfig[] {
  const texts = args.options.get('--serial') ?? [];
  const ports: SerialConfig[] = [];
  for (const [index, parsed] of keyValues(args, '--serial', SERIAL).entries()) {
    const { type, path, console, stdin } = parsed;
    const hardware = parsed.hardware === 'serial' ? undefined : parsed.hardware;
    const num = SERIAL_NUMBERS.find((candidate) => candidate === parsed.num) ?? 1;
    const reason = ports.some((port) => port.num === num && port.hardware === hardware)
      ? `port ${num} is configured twice`
      : console && ports.some((port) => port.console)
        ? 'another port is the console already'
        : stdin && ports.some((port) => port.stdin)
          ? 'another port takes standard input already'
          : type === 'file' && !path
            ? 'type=file needs a path'
            : type !== 'file' && path !== undefined
              ? `type=${type} takes no path`
              : undefined;
    if (reason !== undefined) throw invalid('--serial', texts[index] ?? '', reason);
    ports.push({
      ...(hardware !== undefined && { hardware }),
      num,
      type,
      console,
      stdin,
      ...(path !== undefined && { path }),
    });
  }
  if (!ports.some((port) => port.console || (port.num === 1 && port.hardware === undefined))) {
    ports.push({ ...CONSOLE_ON_STDOUT, stdin: !ports.some((port) => port.stdin) });
  }
  return ports.sort((a, b) => a.num - b.num);
}

/** The disks in order. */
function blockDevices(args: ParsedArguments): BlockConfig[] {
  const texts = args.options.get('--block') ?? [];
  const disks: BlockConfig[] = [];
  for (const [index, parsed] of keyValues(args, '--block', BLOCK).entries()) {
    const { path, id, root, 'block-size': blockSize } = parsed;
    const reason =
      path === ''
        ? 'the path is empty'
        : (blockSize & (blockSize - 1)) !== 0
          ? `a block size of ${blockSize} is no power of two`
          : id.length > MAX_BLOCK_ID_LENGTH || !/^[ -~]*$/.test(id)
            ? `an id is at most ${MAX_BLOCK_ID_LENGTH} characters of ASCII`
            : root && disks.some((disk) => disk.root)
              ? 'another disk is the root already'
              : index >= MAX_DISKS
                ? `more than ${MAX_DISKS} disks`
                : undefined;
    if (reason !== undefined) throw invalid('--block', texts[index] ?? '', reason);
    const { ro, sparse, direct, format, backing, snapshot, lock } = parsed;
    const { 'num-queues': queues, 'packed-queue': packed } = parsed;
    disks.push({
      ...{ path, format, backing, snapshot, lock, readOnly: ro, root, sparse },
      ...{ blockSize, id, direct, queues, packed },
    });
  }
  return disks;
}

/** Disks of the SCSI host in order. */
function scsiDisks(args: ParsedArguments, others: readonly { readonly root: boolean }[]): ScsiBlockConfig[] {
  const texts = args.options.get('--scsi-block') ?? [];
  const disks: ScsiBlockConfig[] = [];
  for (const [index, parsed] of keyValues(args, '--scsi-block', SCSI_BLOCK).entries()) {
    const { path, ro, root, 'block-size': blockSize, format, lock } = parsed;
    const reason =
      path === ''
        ? 'the path is empty'
        : (blockSize & (blockSize - 1)) !== 0
          ? `a block size of ${blockSize} is no power of two`
          : root && [...others, ...disks].some((disk) => disk.root)
            ? 'another disk is the root already'
            : index >= MAX_SCSI_DISKS
              ? `more than ${MAX_SCSI_DISKS} disks`
              : undefined;
    if (reason !== undefined) throw invalid('--scsi-block', texts[index] ?? '', reason);
    disks.push({ path, format, readOnly: ro, root, blockSize, lock });
  }
  return disks;
}

/** The balloon, which is there unless somebody leaves it out. */
function balloon(args: ParsedArguments, memBytes: number): BalloonConfig | undefined {
  const [initMem] = keyValues(args, '--init-mem', INIT_MEM);
  const initMemBytes = initMem === undefined ? undefined : initMem.size * MIB;
  const pageReporting = args.options.has('--balloon-page-reporting');
  const obstacle = ['--no-balloon', '--check-translation'].find((option) => args.options.has(option));
  if (initMemBytes !== undefined && (obstacle !== undefined || initMemBytes > memBytes)) {
    const reason = obstacle === undefined ? `the guest has ${memBytes / MIB} MiB` : `it cannot go with ${obstacle}`;
    throw invalid('--init-mem', args.options.get('--init-mem')?.[0] ?? '', reason);
  }
  if (obstacle !== undefined && pageReporting) {
    throw new UsageError(`--balloon-page-reporting cannot go with ${obstacle}`);
  }
  return obstacle === undefined ? { pageReporting, ...(initMemBytes !== undefined && { initMemBytes }) } : undefined;
}

/** Persistent memory in order. */
function pmemDevices(args: ParsedArguments, disks: readonly { readonly root: boolean }[]): PmemConfig[] {
  const texts = args.options.get('--pmem') ?? [];
  const devices: PmemConfig[] = [];
  for (const [index, { path, ro, root, lock }] of keyValues(args, '--pmem', PMEM).entries()) {
    const reason =
      path === ''
        ? 'the path is empty'
        : root && disks.some((disk) => disk.root)
          ? 'a disk is the root already'
          : root && devices.some((device) => device.root)
            ? 'another one is the root already'
            : index >= MAX_PMEM
              ? `more than ${MAX_PMEM} of persistent memory`
              : undefined;
    if (reason !== undefined) throw invalid('--pmem', texts[index] ?? '', reason);
    devices.push({ path, readOnly: ro, root, lock });
  }
  return devices;
}

/** The configuration that arguments describe, or 'help'. Throws UsageError. */
export function parseRunArguments(argv: readonly string[]): RunConfig | 'help' {
  const args = parseArguments(argv, RUN_OPTIONS);
  if (args.help) return 'help';
  const [kernel, extra] = args.positionals;
  if (extra !== undefined)
    throw new UsageError(`unexpected argument ${quote(extra)}: ${quote(kernel ?? '')} is the kernel`);
  if (kernel === '') throw new UsageError('KERNEL "": the value is empty');
  const initrd = plainValue(args, '--initrd');
  const [mem] = keyValues(args, '--mem', MEM);
  const [cpus] = keyValues(args, '--cpus', CPUS);
  const [hypervisor] = keyValues(args, '--hypervisor', HYPERVISOR);
  const [check] = keyValues(args, '--check-translation', CHECK_TRANSLATION);
  if (check !== undefined && hypervisor?.translate === false) {
    throw invalid('--check-translation', args.options.get('--check-translation')?.[0] ?? '', 'nothing is translated');
  }
  if (check !== undefined && hypervisor?.name === 'kvm') {
    throw invalid('--check-translation', args.options.get('--check-translation')?.[0] ?? '', 'KVM translates nothing');
  }
  refuseForWasm(args, hypervisor?.name, mem?.size, cpus?.['num-cores']);
  if (hypervisor?.memfd === true && hypervisor.name !== 'kvm') {
    throw invalid('--hypervisor', args.options.get('--hypervisor')?.[0] ?? '', 'a memfd takes kvm');
  }
  const [irqchip] = keyValues(args, '--irqchip', IRQCHIP);
  if (irqchip !== undefined && hypervisor?.name === 'wasm') {
    throw invalid('--irqchip', irqchip.kind, 'the WebAssembly CPU has interrupt controllers of its own');
  }
  const [virtio] = keyValues(args, '--virtio-transport', VIRTIO_TRANSPORT);
  const block = blockDevices(args);
  const scsiBlock = scsiDisks(args, block);
  const pmem = pmemDevices(args, [...block, ...scsiBlock]);
  const serial = serialPorts(args);
  // Undoing what a region wrote would undo what a device wrote to the same page meanwhile.
  const writes = block.length + scsiBlock.length + pmem.length > 0;
  if (check !== undefined && (writes || serial.some((port) => port.hardware !== undefined))) {
    const text = args.options.get('--check-translation')?.[0] ?? '';
    throw invalid('--check-translation', text, 'it cannot go with disks, --pmem or a virtio console');
  }
  const [trace] = keyValues(args, '--trace-file', TRACE);
  if (trace?.path === '')
    throw invalid('--trace-file', args.options.get('--trace-file')?.[0] ?? '', 'the path is empty');
  const [debugExit] = keyValues(args, '--debug-exit', DEBUG_EXIT);
  const owner = debugExit === undefined ? undefined : portOwner(debugExit.port, DEBUG_EXIT_PORTS);
  if (owner !== undefined) {
    const text = args.options.get('--debug-exit')?.[0] ?? '';
    throw invalid('--debug-exit', text, `one of the ${DEBUG_EXIT_PORTS} ports from there on is taken, by ${owner}`);
  }
  const memBytes = mem === undefined ? DEFAULT_CONFIG.memBytes : mem.size * MIB;
  const ballooning = balloon(args, memBytes);
  return {
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
    params: args.options.get('--params') ?? [],
    memBytes,
    cpus: cpus?.['num-cores'] ?? DEFAULT_CONFIG.cpus,
    serial,
    hypervisor: hypervisor?.name ?? DEFAULT_CONFIG.hypervisor,
    ...(irqchip !== undefined && { irqchip: irqchip.kind }),
    translate: hypervisor?.translate ?? DEFAULT_CONFIG.translate,
    ...(check !== undefined && { checkTranslation: check }),
    model: hypervisor?.model ?? DEFAULT_CONFIG.model,
    memfd: hypervisor?.memfd ?? DEFAULT_CONFIG.memfd,
    noReboot: args.options.has('--no-reboot'),
    name: plainValue(args, '--name') ?? DEFAULT_CONFIG.name,
    logLevel: logLevel(args),
    stats: args.options.has('--stats'),
    ...(trace !== undefined && { trace: { path: trace.path, limitBytes: trace.limit * MIB } }),
    ...(debugExit !== undefined && { debugExit }),
    block,
    scsiBlock,
    pmem,
    hugePages: !args.options.has('--no-hugepages'),
    rng: !args.options.has('--no-rng') && check === undefined,
    ...(ballooning !== undefined && { balloon: ballooning }),
    virtioTransport: virtio?.transport ?? DEFAULT_CONFIG.virtioTransport,
  };
}
