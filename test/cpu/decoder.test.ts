import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Decoder } from '../../src/hypervisor/wasm/decode/decoder.ts';
import { DecodeTable } from '../../src/hypervisor/wasm/decode/table.ts';
import { rowsOf } from '../../src/hypervisor/wasm/insn/index.ts';
import { debianVmlinux, need, skipReason, skipWithout, staticBusybox } from '../guest/debian.ts';
import type { CpuModel } from '../../src/hypervisor/wasm/system/cpu-model.ts';
import {
  type Agreement,
  compareDecoder,
  type Decode,
  disassemble,
  isAboveV2,
  isAboveV3,
  objdumpUnavailable,
} from './objdump.ts';

function decodeAs(model: CpuModel): Decode {
  const decoder = new Decoder(new DecodeTable(rowsOf(model)));
  return (bytes, offset, bits) => {
    const found = decoder.decode(bytes, offset, bytes.length, bits);
    if (typeof found === 'string') return undefined;
    const { name, names } = found.row;
    const bySize = found.operandSize === 2 ? 0 : found.operandSize === 8 ? 2 : 1;
    return { length: found.length, mnemonic: names?.[bySize] ?? name };
  };
}

const compare = (path: string, model: CpuModel = 'v2'): Promise<Agreement> =>
  compareDecoder(disassemble(path), decodeAs(model), 64, { skip: model === 'v2' ? isAboveV2 : isAboveV3 });

/** Nothing may differ, and there must have been something to compare. */
function assertAgreement(agreement: Agreement, atLeast: number): void {
  assert.ok(agreement.instructions >= atLeast, `${agreement.instructions} instructions`);
  const lines = agreement.disagreements.map(
    (d) => `${d.address}: ${d.bytes}: objdump ${d.objdump}, decoder ${d.decoder}`,
  );
  assert.deepEqual(lines, []);
}

const noObjdump = objdumpUnavailable() ?? false;
const busybox = staticBusybox();
const vmlinux = debianVmlinux('cloud');

test('the decoder agrees with objdump on busybox', { skip: noObjdump || skipReason(busybox) }, async () => {
  assertAgreement(await compare(need(busybox)), 300_000);
});

test('the decoder agrees with objdump on a static glibc program', {
  skip: noObjdump || skipWithout('gcc'),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'decoder-'));
  try {
    const source = join(folder, 'x.c');
    writeFileSync(
      source,
      '#include <math.h>\n#include <stdio.h>\nint main(int n, char **v) { return printf("%f %Lf %s", sin(n), sinl(n), v[0]); }\n',
    );
    assert.equal(spawnSync('gcc', ['-O2', '-static', '-o', join(folder, 'x'), source, '-lm']).status, 0);
    assertAgreement(await compare(join(folder, 'x')), 100_000);
    // The library brings string functions for AVX2 and mathematical ones for FMA.
    assertAgreement(await compare(join(folder, 'x'), 'v3'), 100_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the decoder agrees with objdump on Debian's kernel", { skip: noObjdump || skipReason(vmlinux) }, async () => {
  assertAgreement(await compare(need(vmlinux)), 2_000_000);
});
