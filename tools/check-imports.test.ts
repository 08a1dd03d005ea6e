import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFile } from './check-imports.ts';

test('a folder may import its own files and the layers below it', () => {
  const source =
    "import { a } from './a.ts';\nimport type { B } from '../memory/b.ts';\nexport { c } from '../util/c.ts';\n";
  assert.deepEqual(checkFile('bus/port.ts', source), []);
});

test('an import from a higher layer is reported with the file and the target', () => {
  assert.deepEqual(checkFile('memory/ram.ts', "import { Bus } from '../bus/bus.ts';"), [
    'src/memory/ram.ts: "memory" may not import \'src/bus/bus.ts\'',
  ]);
});

test('an import that spans several lines is seen', () => {
  assert.equal(checkFile('boot/elf.ts', "import {\n  a,\n  b,\n} from '../devices/a.ts';").length, 1);
});

test('a dynamic import and an import for its side effects are seen', () => {
  assert.equal(checkFile('util/a.ts', "await import('../vm/a.ts');\nimport '../cli/main.ts';").length, 2);
});

test('a pure folder may import neither Node nor a package', () => {
  const source = "import { readFileSync } from 'node:fs';\nimport fc from 'fast-check';";
  assert.equal(checkFile('devices/disk.ts', source).length, 2);
  assert.deepEqual(checkFile('host/node/files.ts', source), []);
});

test('of the hypervisor the interrupt controllers may import the interface file only', () => {
  assert.deepEqual(checkFile('irqchip/apic.ts', "import type { V } from '../hypervisor/interrupts.ts';"), []);
  assert.equal(checkFile('irqchip/apic.ts', "import type { V } from '../hypervisor/exit.ts';").length, 1);
});

test('a test and its helpers may import anything, and nobody else may import them', () => {
  assert.deepEqual(checkFile('util/a.test.ts', "import { vm } from '../vm/vm.ts';\nimport 'node:fs';"), []);
  assert.deepEqual(checkFile('util/test-machine.ts', "import 'node:fs';"), []);
  assert.equal(checkFile('util/a.ts', "import { f } from './b.test.ts';").length, 1);
  assert.equal(checkFile('util/a.ts', "import { f } from './testing.ts';").length, 1);
});

test('a file in a folder without a layer is reported', () => {
  assert.equal(checkFile('misc/a.ts', '').length, 1);
});
