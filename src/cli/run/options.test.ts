import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CONSOLE_ON_STDOUT, DEFAULT_BLOCK, DEFAULT_CONFIG, MIB, type RunConfig } from '../../vm/config.ts';
import { UsageError } from '../usage-error.ts';
import { parseRunArguments, RUN_OPTIONS } from './options.ts';

const parse = (...args: string[]): RunConfig => {
  const config = parseRunArguments(args);
  assert.notEqual(config, 'help');
  return config as RunConfig;
};
const refused = (args: string[], message: string): void =>
  assert.throws(
    () => parseRunArguments(args),
    (error) => error instanceof UsageError && error.message === message,
  );

test('without arguments the embedded guest runs with the defaults', () => {
  assert.deepEqual(parse(), DEFAULT_CONFIG);
});

test('the positional argument is the kernel', () => {
  assert.equal(parse('vmlinuz').kernel, 'vmlinuz');
  refused(['vmlinuz', 'initrd'], 'unexpected argument "initrd": "vmlinuz" is the kernel');
  refused([''], 'KERNEL "": the value is empty');
});

test('an initrd may come without a kernel', () => {
  const { kernel, initrd } = parse('-i', 'ird.gz');
  assert.deepEqual({ kernel, initrd }, { kernel: undefined, initrd: 'ird.gz' });
});

test('kernel parameters are kept in order and as they are', () => {
  assert.deepEqual(parse('-p', 'a=1,2', '--params', '"quoted" -- x').params, ['a=1,2', '"quoted" -- x']);
});

test('the memory size may be given with and without its key', () => {
  assert.equal(parse('-m', '512').memBytes, 512 * MIB);
  assert.equal(parse('--mem', 'size=0x400').memBytes, 1024 * MIB);
});

test('the smallest and the largest memory are accepted, one less and one more are refused', () => {
  assert.equal(parse('-m', '64').memBytes, 64 * MIB);
  assert.equal(parse('-m', '15360').memBytes, 15_360 * MIB);
  refused(['-m', '63'], '--mem "63": 63 is not from 64 to 15360 MiB at position 0');
  refused(['-m', 'size=15361'], '--mem "size=15361": 15361 is not from 64 to 15360 MiB at position 5');
});

test('wasm takes up to 3072 MiB and one processor; more is refused', () => {
  assert.equal(parse('--hypervisor', 'wasm', '-m', '3072').memBytes, 3072 * MIB);
  refused(['--hypervisor', 'wasm', '-m', '3073'], '--mem "3073": the WebAssembly CPU has at most 3072 MiB');
  refused(['--hypervisor', 'wasm', '-c', '2'], '--cpus "2": the WebAssembly CPU has at most 1 processor');
});

test('translated code cannot be checked on KVM', () => {
  refused(['--check-translation', '1', '--hypervisor', 'kvm'], '--check-translation "1": KVM translates nothing');
});

test('the log level is warn unless it is named', () => {
  assert.equal(parse().logLevel, 'warn');
  assert.equal(parse('--log-level', 'debug').logLevel, 'debug');
  refused(['--log-level', 'all'], '--log-level "all": the levels are error, warn, info, debug');
});

test('without the option no translated code is checked, with it one of so many calls', () => {
  assert.equal(parse().checkTranslation, undefined);
  assert.deepEqual(parse('--check-translation', '1').checkTranslation, { every: 1, eager: false });
  assert.deepEqual(parse('--check-translation=every=64,eager').checkTranslation, { every: 64, eager: true });
  refused(['--check-translation', '0'], '--check-translation "0": 0 is not from 1 to 1000000000 at position 0');
});

test('translated code cannot be checked where nothing is translated', () => {
  refused(
    ['--check-translation', '1', '--hypervisor', 'wasm,translate=false'],
    '--check-translation "1": nothing is translated',
  );
});

test('one vCPU is accepted, two are refused', () => {
  assert.equal(parse('-c', '1').cpus, 1);
  assert.equal(parse('--cpus', 'num-cores=1').cpus, 1);
  assert.equal(parse('-c', '64').cpus, 64);
  refused(['-c', 'num-cores=65'], '--cpus "num-cores=65": 65 is not from 1 to 64 at position 10');
});

test('without a console the first port that nobody mentioned becomes it', () => {
  assert.deepEqual(parse('--serial', 'type=file,path=log,num=2').serial, [
    CONSOLE_ON_STDOUT,
    { num: 2, type: 'file', path: 'log', console: false, stdin: false },
  ]);
});

test('the default console leaves standard input to the port that asks for it', () => {
  assert.deepEqual(parse('--serial', 'stdout,num=3,stdin').serial, [
    { ...CONSOLE_ON_STDOUT, stdin: false },
    { num: 3, type: 'stdout', console: false, stdin: true },
  ]);
});

test('a first port that is mentioned stays what it is, and a console elsewhere replaces the default', () => {
  assert.deepEqual(parse('--serial', 'sink').serial, [{ num: 1, type: 'sink', console: false, stdin: false }]);
  assert.deepEqual(parse('--serial', 'stdout,num=2,console,stdin').serial, [
    { num: 2, type: 'stdout', console: true, stdin: true },
  ]);
});

test('serial ports come in the order of their numbers', () => {
  const { serial } = parse('--serial', 'num=4', '--serial', 'num=2', '--serial', 'stdout,num=1,console');
  assert.deepEqual(
    serial.map(({ num }) => num),
    [1, 2, 4],
  );
});

test('a port, a console and standard input can be given away once', () => {
  refused(['--serial', 'num=1', '--serial', 'num=1'], '--serial "num=1": port 1 is configured twice');
  refused(
    ['--serial', 'num=1,console', '--serial', 'num=2,console'],
    '--serial "num=2,console": another port is the console already',
  );
  refused(
    ['--serial', 'stdin', '--serial', 'num=2,stdin'],
    '--serial "num=2,stdin": another port takes standard input already',
  );
});

test('a path is required by a file and refused by everything else', () => {
  refused(['--serial', 'type=file'], '--serial "type=file": type=file needs a path');
  refused(['--serial', 'type=file,path=""'], '--serial "type=file,path=\\"\\"": type=file needs a path');
  refused(['--serial', 'sink,path=x'], '--serial "sink,path=x": type=sink takes no path');
});

test('an unknown key, type or number of a serial port is refused with its position', () => {
  refused(
    ['--serial', 'stdout,nmu=1'],
    '--serial "stdout,nmu=1": unknown key "nmu", did you mean "num"? at position 7',
  );
  refused(['--serial', 'tty'], '--serial "tty": "tty" is not stdout, file or sink at position 0');
  refused(['--serial', 'stdout,num=0'], '--serial "stdout,num=0": 0 is not from 1 to 4 at position 11');
});

test('the hypervisor is kvm, wasm or auto', () => {
  assert.equal(parse('--hypervisor', 'wasm').hypervisor, 'wasm');
  assert.equal(parse('--hypervisor', 'kvm').hypervisor, 'kvm');
  refused(['--hypervisor', 'hvf'], '--hypervisor "hvf": "hvf" is not kvm, wasm or auto at position 0');
});

test("the interrupt controllers are the kernel's or split between it and this program, and the WebAssembly CPU has its own", () => {
  assert.equal(parse().irqchip, undefined);
  assert.equal(parse('--irqchip', 'kernel').irqchip, 'kernel');
  assert.equal(parse('--irqchip', 'split', '--hypervisor', 'kvm').irqchip, 'split');
  refused(['--irqchip', 'userspace'], '--irqchip "userspace": "userspace" is not kernel or split at position 0');
  refused(
    ['--hypervisor', 'wasm', '--irqchip', 'split'],
    '--irqchip "split": the WebAssembly CPU has interrupt controllers of its own',
  );
});

test('hot code is translated unless that is switched off', () => {
  assert.equal(parse().translate, true);
  assert.equal(parse('--hypervisor', 'wasm').translate, true);
  assert.equal(parse('--hypervisor', 'wasm,translate=false').translate, false);
  refused(
    ['--hypervisor', 'wasm,translate=2'],
    '--hypervisor "wasm,translate=2": expected true or false at position 15',
  );
});

test('the model of the CPU is one of two', () => {
  assert.equal(parse('--hypervisor', 'wasm').model, DEFAULT_CONFIG.model);
  assert.equal(parse('--hypervisor', 'auto,model=x86-64-v2').model, 'x86-64-v2');
  assert.equal(parse('--hypervisor', 'wasm,model=x86-64-v3').model, 'x86-64-v3');
  refused(
    ['--hypervisor', 'wasm,model=x86-64-v4'],
    '--hypervisor "wasm,model=x86-64-v4": "x86-64-v4" is not x86-64-v2 or x86-64-v3 at position 11',
  );
});

test('a memfd is for KVM', () => {
  assert.equal(parse('--hypervisor', 'kvm').memfd, false);
  assert.equal(parse('--hypervisor', 'kvm,memfd').memfd, true);
  for (const name of ['wasm', 'auto']) {
    refused(['--hypervisor', `${name},memfd=true`], `--hypervisor "${name},memfd=true": a memfd takes kvm`);
  }
});

test('the debug-exit port may be given with and without its key, inside the port space', () => {
  assert.deepEqual(parse('--debug-exit', 'port=0xf4').debugExit, { port: 0xf4 });
  assert.deepEqual(parse('--debug-exit', '244').debugExit, { port: 0xf4 });
  refused(['--debug-exit', '0xffff'], '--debug-exit "0xffff": 0xffff is not from 0 to 65532 at position 0');
});

test('a debug exit port where a device is already is refused', () => {
  const taken = (port: string, owner: string): void =>
    refused(['--debug-exit', port], `--debug-exit "${port}": one of the 4 ports from there on is taken, by ${owner}`);
  taken('0x3f8', 'COM1');
  taken('port=0x3d', 'the timer');
});

test('switches and the name are taken over', () => {
  const { noReboot, stats, name } = parse('--no-reboot', '--stats', '--name', 'web');
  assert.deepEqual({ noReboot, stats, name }, { noReboot: true, stats: true, name: 'web' });
  refused(['--name='], '--name "": the value is empty');
});

test('help wins over everything in front of it', () => {
  assert.equal(parseRunArguments(['kernel', '-m', 'nonsense', '--help']), 'help');
});

test('a configuration survives JSON', () => {
  const config = parse('k', '-i', 'i', '-p', 'x', '--debug-exit', '0xf4', '--serial', 'file,path=a');
  assert.deepEqual(JSON.parse(JSON.stringify(config)), config);
});

test('no arguments make the parser throw anything but a usage error', () => {
  const word = fc.oneof(
    fc.constantFrom(...RUN_OPTIONS.map(({ name }) => name), '-m', '--', '-h', '=', 'kernel'),
    fc.constantFrom('size=64', 'type=file,path=x', 'num=2,console', 'stdin', 'port=0xf4', '[', '"'),
    fc.string({ unit: 'binary', maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (args) => {
      try {
        parseRunArguments(args);
      } catch (error) {
        assert.ok(error instanceof UsageError, String(error));
      }
    }),
    { seed: 4, numRuns: 2000 },
  );
});

test('a trace has a file, and a limit of 64 MiB where none is given', () => {
  assert.deepEqual(parse('--trace-file', 'x.json').trace, { path: 'x.json', limitBytes: 64 * MIB });
  assert.deepEqual(parse('--trace-file', 'path="a,b",limit=2').trace, { path: 'a,b', limitBytes: 2 * MIB });
  refused(
    ['--trace-file', 'x,limit=1025'],
    '--trace-file "x,limit=1025": 1025 is not from 1 to 1024 MiB at position 8',
  );
  refused(['--trace-file', 'limit=2'], '--trace-file "limit=2": key "path" is missing at position 7');
  refused(['--trace-file', 'path=""'], '--trace-file "path=\\"\\"": the path is empty');
});

test('a disk has the defaults of crosvm, and every key its place', () => {
  assert.deepEqual(parse('-b', 'disk.img').block, [{ ...DEFAULT_BLOCK, path: 'disk.img' }]);
  assert.deepEqual(
    parse(
      '--block',
      'path=a,ro,root,sparse=false,block-size=4096,id=X1,direct,num-queues=2,packed-queue,format=qcow2,backing=[b,c/d],snapshot,lock=false',
    ).block,
    [
      {
        path: 'a',
        format: 'qcow2',
        backing: ['b', 'c/d'],
        snapshot: true,
        lock: false,
        readOnly: true,
        root: true,
        sparse: false,
        blockSize: 4096,
        id: 'X1',
        direct: true,
        queues: 2,
        packed: true,
      },
    ],
  );
  const [old] = parse('-b', 'a,o_direct=true,block_size=1024').block;
  assert.deepEqual([old?.direct, old?.blockSize], [true, 1024]);
});

test('disks that make no sense are refused with the reason', () => {
  refused(['-b', 'path=""'], '--block "path=\\"\\"": the path is empty');
  refused(['-b', 'a,block-size=1000'], '--block "a,block-size=1000": a block size of 1000 is no power of two');
  const long = 'a,id=123456789012345678901';
  refused(['-b', long], `--block "${long}": an id is at most 20 characters of ASCII`);
  refused(['-b', 'a,root', '-b', 'b,root'], '--block "b,root": another disk is the root already');
  const unknown = 'a,format=vmdk';
  refused(
    ['-b', unknown],
    `--block "${unknown}": "vmdk" is not raw, qcow2, composite, android-sparse or zstd at position 9`,
  );
  refused(Array.from({ length: 18 }, () => ['-b', 'a']).flat(), '--block "a": more than 17 disks');
});

test('a disk of the SCSI host has the defaults of crosvm, and every key its place', () => {
  assert.deepEqual(
    parse('--scsi-block', 'a', '--scsi-block', 'path=b,ro,root,block-size=4096,format=qcow2,lock=false').scsiBlock,
    [
      { path: 'a', format: 'raw', readOnly: false, root: false, blockSize: 512, lock: true },
      { path: 'b', format: 'qcow2', readOnly: true, root: true, blockSize: 4096, lock: false },
    ],
  );
});

test('disks of the SCSI host that make no sense are refused with the reason', () => {
  refused(['--scsi-block', 'path=""'], '--scsi-block "path=\\"\\"": the path is empty');
  refused(
    ['--scsi-block', 'a,block-size=513'],
    '--scsi-block "a,block-size=513": a block size of 513 is no power of two',
  );
  refused(['--scsi-block', 'a,root', '-b', 'b,root'], '--scsi-block "a,root": another disk is the root already');
  refused(['--scsi-block', 'a,root', '--pmem', 'b,root'], '--pmem "b,root": a disk is the root already');
  refused(Array.from({ length: 17 }, () => ['--scsi-block', 'a']).flat(), '--scsi-block "a": more than 16 disks');
});

test('persistent memory is written to and locked unless it is said otherwise', () => {
  assert.deepEqual(parse().pmem, []);
  assert.deepEqual(parse('--pmem', 'a', '--pmem', 'path=b,ro,root,lock=false').pmem, [
    { path: 'a', readOnly: false, root: false, lock: true },
    { path: 'b', readOnly: true, root: true, lock: false },
  ]);
});

test('persistent memory that makes no sense is refused with the reason', () => {
  refused(['--pmem', 'path=""'], '--pmem "path=\\"\\"": the path is empty');
  refused(['--pmem', 'a,root', '--pmem', 'b,root'], '--pmem "b,root": another one is the root already');
  refused(['--pmem', 'a,root', '-b', 'b,root'], '--pmem "a,root": a disk is the root already');
  refused(Array.from({ length: 5 }, () => ['--pmem', 'a']).flat(), '--pmem "a": more than 4 of persistent memory');
});

test('virtio devices are on PCI unless it is said otherwise, the entropy device among them', () => {
  assert.deepEqual([parse().virtioTransport, parse().rng], ['pci', true]);
  assert.deepEqual([parse('--virtio-transport', 'mmio').virtioTransport, parse('--no-rng').rng], ['mmio', false]);
  refused(['--virtio-transport', 'ccw'], '--virtio-transport "ccw": "ccw" is not pci or mmio at position 0');
});

test('a balloon is there unless it is left out, empty unless less memory is given at first', () => {
  assert.deepEqual(parse().balloon, { pageReporting: false });
  assert.equal('balloon' in parse('--no-balloon'), false);
  assert.deepEqual(parse('--init-mem', '100', '--balloon-page-reporting').balloon, {
    initMemBytes: 100 * MIB,
    pageReporting: true,
  });
  assert.equal(parse('-m', '512', '--init-mem', 'size=512').balloon?.initMemBytes, 512 * MIB);
});

test('a balloon that cannot be is refused with the reason', () => {
  refused(['-m', '512', '--init-mem', '513'], '--init-mem "513": the guest has 512 MiB');
  refused(['--init-mem', 'much'], '--init-mem "much": expected an integer at position 0');
  refused(['--no-balloon', '--init-mem', '9'], '--init-mem "9": it cannot go with --no-balloon');
  refused(['--no-balloon', '--balloon-page-reporting'], '--balloon-page-reporting cannot go with --no-balloon');
  refused(['--check-translation', '10', '--init-mem', '9'], '--init-mem "9": it cannot go with --check-translation');
});

test('a virtio console is counted apart from the serial ports', () => {
  assert.deepEqual(parse('--serial', 'stdout,hardware=virtio-console,console,stdin').serial, [
    { hardware: 'virtio-console', num: 1, type: 'stdout', console: true, stdin: true },
  ]);
  const { serial } = parse(
    '--serial',
    'sink',
    '--serial',
    'sink,hardware=virtio-console',
    '--serial',
    'sink,num=2,hardware=virtio-console',
  );
  assert.equal(serial.length, 3);
  refused(
    ['--serial', 'hardware=virtio-console', '--serial', 'hardware=virtio-console'],
    '--serial "hardware=virtio-console": port 1 is configured twice',
  );
  // It alone leaves the first serial port on standard output.
  assert.deepEqual(
    parse('--serial', 'sink,hardware=virtio-console').serial.map(({ hardware, console }) => [hardware, console]),
    [
      ['virtio-console', false],
      [undefined, true],
    ],
  );
});

test('translated code is not checked beside devices that write to memory', () => {
  const reason = '--check-translation "10": it cannot go with disks, --pmem or a virtio console';
  refused(['--check-translation', '10', '-b', 'disk'], reason);
  refused(['--check-translation', '10', '--scsi-block', 'disk'], reason);
  refused(['--check-translation', '10', '--pmem', 'file'], reason);
  refused(['--check-translation', '10', '--serial', 'hardware=virtio-console'], reason);
  const { rng, balloon } = parse('--check-translation', '10');
  assert.deepEqual({ rng, balloon }, { rng: false, balloon: undefined });
});
