/** What the benchmarks ran on and with, for the report. @module */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The first line that a command prints, or "unknown". */
function firstLine(command: string, args: readonly string[]): string {
  try {
    const done = execFileSync(command, args, { encoding: 'utf8', cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] });
    return done.split('\n')[0] ?? '';
  } catch {
    return 'unknown';
  }
}

function typervisorVersion(): string {
  const { version } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { version: string };
  const commit = firstLine('git', ['rev-parse', '--short', 'HEAD']);
  const changed = firstLine('git', ['status', '--porcelain', '--untracked-files=no', 'src', 'guest', 'bench']);
  return `${version}, commit ${commit}${changed === '' ? '' : ' with changes'}`;
}

/** Names and values. `guestKernel` says which kernel the programs run on in the guests. */
export function describeEnvironment(guestKernel: string, memMib: number): [name: string, value: string][] {
  const cpus = os.cpus();
  const [load = 0] = os.loadavg();
  return [
    ['date', new Date().toISOString().slice(0, 10)],
    ['typervisor', typervisorVersion()],
    ['processor', `${cpus[0]?.model ?? 'unknown'}, ${cpus.length} cores`],
    ['host', `${os.type()} ${os.release()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB`],
    ['load before', load.toFixed(1)],
    ['Node', `${process.versions.node}, V8 ${process.versions.v8}`],
    [
      'QEMU',
      `${firstLine('qemu-system-x86_64', ['--version']).replace('QEMU emulator version ', '')}, -accel tcg -cpu max`,
    ],
    ['compiler', `${firstLine('gcc', ['--version'])}, -O2 -static`],
    ['guest', `${guestKernel}, one processor, ${memMib} MiB`],
  ];
}
