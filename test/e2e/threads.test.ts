/** The threads of the process, as Linux sees them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { launch } from './console.ts';

/** Nice values of a process's threads by their names; threads of one name have one value. */
function niceValues(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    // The 19th field of proc_pid_stat(5); what follows the name begins with the third.
    const nice = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    assert.equal(found.get(name) ?? nice, nice, `threads named ${name}`);
    found.set(name, nice);
  }
  return found;
}

test('a vCPU goes before the threads that compile for it', { skip: process.platform !== 'linux' }, async () => {
  await using vm = launch([]);
  await vm.prompt();
  const nice = niceValues(vm.child.pid as number);
  const vcpu = nice.get('vcpu');
  assert.ok(vcpu !== undefined, [...nice.keys()].join());
  const lower = Math.min(vcpu + 5, 19);
  assert.equal(nice.get('compiler'), lower);
  const pool = [...nice.keys()].find((name) => name.includes('V8Worker')) ?? 'V8Worker';
  assert.equal(nice.get(pool), lower);
  vm.type('poweroff -f\n');
  await vm.exits(0);
});
