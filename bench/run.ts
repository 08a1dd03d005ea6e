/**
 * `npm run bench`: measures the same programs natively, under QEMU's TCG and under typervisor, boots guests, and writes
 * docs/performance.md. README.md says how.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { run } from '../tools/debian-packages.ts';
import { debianKernel, need, staticBusybox } from '../test/guest/debian.ts';
import { bootKinds } from './boots.ts';
import { describeEnvironment } from './environment.ts';
import { measure } from './measure.ts';
import type { Measurements } from './measurements.ts';
import { buildInitrd, buildPrograms, buildTinyKernel, DEBUG_EXIT_PORT, listPrograms } from './programs.ts';
import { report } from './report.ts';
import { type Boot, buildTypervisor, nativeSession, SYSTEMS, type SystemName } from './systems.ts';

const ROOT = new URL('../', import.meta.url);
const at = (path: string): string => fileURLToPath(new URL(path, ROOT));

const HELP = `usage: npm run bench -- [OPTIONS]
  --rounds N         rounds, 5 by default
  --work F           share of the whole work that is done, 1 by default
  --guest-work F     share of it that guests do; --work by default
  --systems A,B      of ${SYSTEMS.join(', ')}; all by default
  --only A,B         programs by name or group, "boot" and "rate"; all by default
  --kernel NAME      debian (the cloud kernel) or embedded: the kernel of the guests that run programs; debian by default
  --mem MIB          memory of these guests, 1024 by default
  --limit SECONDS    for one run of a program, 180 by default
  --out PATH         where the page goes, docs/performance.md by default; "-" prints it
  --json PATH        where the numbers go, .cache/bench/measurements.json by default
`;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Options {
  readonly rounds: number;
  readonly work: number;
  readonly guestWork: number;
  readonly systems: readonly SystemName[];
  readonly only: readonly string[] | undefined;
  readonly kernel: 'debian' | 'embedded';
  readonly memMib: number;
  readonly limitMs: number;
  readonly out: string;
  readonly json: string;
}

function positive(name: string, text: string | undefined, whole: boolean): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
    throw new UsageError(`--${name} "${text}": expected a positive ${whole ? 'whole ' : ''}number`);
  }
  return value;
}

function parseOptions(args: readonly string[]): Options | 'help' {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: text,
      work: text,
      'guest-work': text,
      systems: text,
      only: text,
      kernel: text,
      mem: text,
      limit: text,
      out: text,
      json: text,
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const work = positive('work', values.work, false) ?? 1;
  const { kernel = 'debian' } = values;
  if (kernel !== 'debian' && kernel !== 'embedded') {
    throw new UsageError(`--kernel "${kernel}": expected debian or embedded`);
  }
  const wanted = values.systems?.split(',');
  const unknown = wanted?.find((name) => !SYSTEMS.some((system) => system === name));
  if (unknown !== undefined) throw new UsageError(`--systems "${unknown}": expected ${SYSTEMS.join(', ')}`);
  return {
    rounds: positive('rounds', values.rounds, true) ?? 5,
    work,
    guestWork: positive('guest-work', values['guest-work'], false) ?? work,
    systems: SYSTEMS.filter((system) => wanted?.includes(system) ?? true),
    only: values.only?.split(','),
    kernel,
    memMib: positive('mem', values.mem, true) ?? 1024,
    limitMs: (positive('limit', values.limit, true) ?? 180) * 1000,
    out: values.out ?? at('docs/performance.md'),
    json: values.json ?? at('.cache/bench/measurements.json'),
  };
}

async function bench(options: Options): Promise<number> {
  const { only, memMib, rounds, guestWork } = options;
  await buildTypervisor();
  const binary = need(buildPrograms());
  const busybox = need(staticBusybox());
  const benchInitrd = buildInitrd(binary, busybox);
  const embeddedKernel = at('guest/images/vmlinuz');
  const debian = debianKernel('cloud');
  let { systems } = options;
  if (systems.includes('qemu') && !run('qemu-system-x86_64', ['--version']).ok) {
    console.error('bench: qemu-system-x86_64 is not installed; its columns are missing');
    systems = systems.filter((system) => system !== 'qemu');
  }

  const chosen = (...names: string[]): boolean => only === undefined || names.some((name) => only.includes(name));
  const known = listPrograms(binary);
  const programs = known.filter(({ name, group }) => chosen(name, group));
  const stranger = only?.find(
    (name) =>
      name !== 'boot' && name !== 'rate' && !known.some((program) => program.name === name || program.group === name),
  );
  if (stranger !== undefined) throw new UsageError(`--only "${stranger}": no such program or group`);
  const boots = bootKinds({
    debianKernel: debian.ok ? debian.value.bzImage : undefined,
    embeddedKernel,
    embeddedInitrd: at('guest/images/initrd.img'),
    benchInitrd,
    tinyKernel: buildTinyKernel(),
    debugExitPort: DEBUG_EXIT_PORT,
    memMib: 256,
  });
  const guestOf = (kernel: string): Boot => ({ kernel, initrd: benchInitrd, params: 'quiet', memMib });
  const kernel = options.kernel === 'embedded' ? embeddedKernel : need(debian).bzImage;
  const guestKernel = options.kernel === 'embedded' ? 'kernel of the embedded guest' : `Linux ${need(debian).release}`;

  const [load = 0] = os.loadavg();
  if (load > 0.5) console.error(`bench: the load of this machine is ${load.toFixed(1)}; times will be too long`);
  const environment = describeEnvironment(guestKernel, memMib);
  const findings = await measure({
    systems,
    rounds,
    nativeWork: options.work,
    guestWork,
    programs,
    boots: chosen('boot') ? boots : [],
    ratePrograms:
      chosen('rate') && systems.includes('typervisor') ? known.filter(({ group }) => group === 'integer') : [],
    native: nativeSession(binary, busybox),
    guest: guestOf(kernel),
    rateGuest: guestOf(embeddedKernel),
    limitMs: options.limitMs,
    progress: (line) => console.error(line),
  });
  const measurements: Measurements = { environment, ...findings };
  mkdirSync(dirname(options.json), { recursive: true });
  writeFileSync(options.json, `${JSON.stringify(measurements, null, 1)}\n`);
  const page = report(measurements);
  if (options.out === '-') process.stdout.write(page);
  else writeFileSync(resolve(options.out), page);
  return measurements.failures.length > 0 ? 1 : 0;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(HELP);
  else process.exitCode = await bench(options);
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
