/**
 * The arguments of `typervisor run`: the table of its options, and how their values become a `RunConfig`.
 *
 * @module
 */
import {
  boolean,
  choice,
  integer,
  KeyValueError,
  optional,
  type Parsed,
  parseKeyValues,
  type Schema,
  string,
  withDefault,
} from '../../util/key-value.ts';
import { LOG_LEVELS, type LogLevel } from '../../util/log.ts';
import {
  CONSOLE_ON_STDOUT,
  DEFAULT_CONFIG,
  DEFAULT_MEM_MIB,
  DEFAULT_TRACE_MIB,
  type HypervisorName,
  MAX_CPUS,
  MAX_KVM_MEM_MIB,
  MAX_MEM_MIB,
  MAX_TRACE_MIB,
  MAX_WASM_CPUS,
  MIB,
  MIN_MEM_MIB,
  type RunConfig,
  SERIAL_NUMBERS,
  type SerialConfig,
} from '../../vm/config.ts';
import { portOwner } from '../../vm/ports.ts';
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
      ['num=N', '1 to 4, ttyS0 to ttyS3 in Linux. The default is 1.'],
      ['path=PATH', 'The file of type=file.'],
      ['console', "The kernel's console: its name goes on the kernel command line. One port at most."],
      ['stdin', 'Takes standard input. One port at most.'],
    ],
  },
  {
    name: '--hypervisor',
    value: 'NAME[,KEY=VALUE]',
    help: "kvm, Linux's KVM; wasm, the CPU written in WebAssembly; or auto, the default: KVM where it will work, else wasm. The keys are for wasm.",
    keys: [
      [
        'model=MODEL',
        `What the CPU can do: x86-64-v2, or x86-64-v3 with AVX2, FMA, BMI and AES beside it. The default is ${DEFAULT_CONFIG.model}.`,
      ],
      ['translate=BOOL', 'Whether hot code is translated (the default) or all of it interpreted, which is slower.'],
    ],
  },
  {
    name: '--check-translation',
    value: 'every=N[,eager]',
    help: 'Checks translated code: calls of it are undone, done again by the interpreter, and compared. The first difference ends the machine with status 36 and is described. Much slower. Code that touches devices is not checked.',
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
  model: withDefault(choice('x86-64-v2', 'x86-64-v3'), DEFAULT_CONFIG.model),
};
const TRACE = { path: string(), limit: withDefault(integer(1, MAX_TRACE_MIB, 'MiB'), DEFAULT_TRACE_MIB) };
const SERIAL = {
  type: withDefault(choice('stdout', 'file', 'sink'), 'sink'),
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
    const num = SERIAL_NUMBERS.find((candidate) => candidate === parsed.num) ?? 1;
    const reason = ports.some((port) => port.num === num)
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
    ports.push({ num, type, console, stdin, ...(path !== undefined && { path }) });
  }
  if (!ports.some((port) => port.console || port.num === 1)) {
    ports.push({ ...CONSOLE_ON_STDOUT, stdin: !ports.some((port) => port.stdin) });
  }
  return ports.sort((a, b) => a.num - b.num);
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
  const [trace] = keyValues(args, '--trace-file', TRACE);
  if (trace?.path === '')
    throw invalid('--trace-file', args.options.get('--trace-file')?.[0] ?? '', 'the path is empty');
  const [debugExit] = keyValues(args, '--debug-exit', DEBUG_EXIT);
  const owner = debugExit === undefined ? undefined : portOwner(debugExit.port, DEBUG_EXIT_PORTS);
  if (owner !== undefined) {
    const text = args.options.get('--debug-exit')?.[0] ?? '';
    throw invalid('--debug-exit', text, `one of the ${DEBUG_EXIT_PORTS} ports from there on is taken, by ${owner}`);
  }
  return {
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
    params: args.options.get('--params') ?? [],
    memBytes: mem === undefined ? DEFAULT_CONFIG.memBytes : mem.size * MIB,
    cpus: cpus?.['num-cores'] ?? DEFAULT_CONFIG.cpus,
    serial: serialPorts(args),
    hypervisor: hypervisor?.name ?? DEFAULT_CONFIG.hypervisor,
    translate: hypervisor?.translate ?? DEFAULT_CONFIG.translate,
    ...(check !== undefined && { checkTranslation: check }),
    model: hypervisor?.model ?? DEFAULT_CONFIG.model,
    noReboot: args.options.has('--no-reboot'),
    name: plainValue(args, '--name') ?? DEFAULT_CONFIG.name,
    logLevel: logLevel(args),
    stats: args.options.has('--stats'),
    ...(trace !== undefined && { trace: { path: trace.path, limitBytes: trace.limit * MIB } }),
    ...(debugExit !== undefined && { debugExit }),
  };
}
