/** The programs of examples/, run as their readers run them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hostKvm } from '../../src/hypervisor/kvm/testing.ts';
import { NODE } from './console.ts';
import { temporaryFolder } from './programs.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const SOURCES = pathToFileURL(join(EXAMPLES, '../src/')).href;
const folder = temporaryFolder();
const { skip } = await hostKvm();

test('kvm-hello prints 4', { skip }, () => {
  const { stdout, stderr, status } = spawnSync(NODE, [join(EXAMPLES, 'kvm-hello.ts')], { encoding: 'utf8' });
  assert.deepEqual({ stdout, stderr, status }, { stdout: '4\n', stderr: '', status: 0 });
});

test('kvm-hello prints 4 on WebAssembly when one word is changed', () => {
  const source = readFileSync(join(EXAMPLES, 'kvm-hello.ts'), 'utf8');
  const [, code = ''] = source.split('*/\n');
  assert.equal(code.split("'kvm'").length, 2);
  const changed = join(folder, 'wasm-hello.ts');
  writeFileSync(changed, code.replace("'kvm'", "'wasm'").replace('../src/', SOURCES));
  const { stdout, stderr, status } = spawnSync(NODE, ['--no-wasm-deopt', changed], { encoding: 'utf8' });
  assert.deepEqual({ stdout, stderr, status }, { stdout: '4\n', stderr: '', status: 0 });
});
