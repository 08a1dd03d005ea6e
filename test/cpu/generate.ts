/**
 * Generates the cases, records them on this machine's processor and writes the vector files.
 *
 *     node test/cpu/generate.ts [--out DIR] [--only FILE,..] [--dry]
 *
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CaseInput, CpuCase } from './case.ts';
import { encodeCases } from './case-format.ts';
import { draw, type Hook } from './draw.ts';
import { type FormGroup, FORM_GROUPS } from './forms/index.ts';
import type { Form } from './forms/form.ts';
import { integerHook } from './hooks.ts';
import { absentRegister, segmentHook } from './hooks-segment.ts';
import { vectorHook } from './hooks-vector.ts';
import { recordNative } from './recorder/native.ts';

const hookOf = (form: Form): Hook => {
  const { words } = form;
  if (words.has('segment')) return segmentHook(form);
  if (words.has('absent')) return absentRegister;
  return words.has('vector') || words.has('image') ? vectorHook(form) : integerHook(form);
};

/** All cases of a group, unrecorded. Seeds count up through the file. */
export function generateGroup(group: FormGroup): CaseInput[] {
  const inputs: CaseInput[] = [];
  for (const form of group.forms) {
    const wanted = form.words.has('rare') ? 12 : group.draws * form.weight;
    const hook = hookOf(form);
    let made = 0;
    // Some draws cannot be encoded; give up on a form where none can.
    for (let ordinal = 0; made < wanted && ordinal < wanted * 4; ordinal++) {
      const input = draw(form, hook, ordinal, inputs.length, {
        alignmentCheck: group.alignmentCheck === true,
        ymm: group.model === 'v3',
      });
      if (input === undefined) continue;
      inputs.push(input);
      made++;
    }
    if (made === 0) throw new Error(`${form.name} ${form.enc}: no case could be drawn`);
  }
  return inputs;
}

export function record(inputs: readonly CaseInput[]): CpuCase[] {
  const outcomes = recordNative(inputs);
  return inputs.map((input, i) => ({ ...input, expected: outcomes[i] }));
}

function main(): void {
  const { values } = parseArgs({ options: { out: { type: 'string' }, only: { type: 'string' } } });
  const out = values.out ?? join(import.meta.dirname, 'vectors');
  const only = values.only?.split(',');
  mkdirSync(out, { recursive: true });
  for (const group of FORM_GROUPS) {
    if (only !== undefined && !only.includes(group.file)) continue;
    const cases = record(generateGroup(group));
    const bytes = encodeCases(cases, group.model);
    writeFileSync(join(out, `${group.file}.vec`), bytes);
    console.log(`${group.file}: ${cases.length} cases of ${group.forms.length} forms, ${bytes.length} bytes`);
  }
}

if (import.meta.main) main();
