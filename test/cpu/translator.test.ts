import assert from 'node:assert/strict';
import test from 'node:test';
import { InterpreterExecutor } from './executor.ts';
import { readVectors, replay, summarize, vectorFiles, vectorModel } from './replay.ts';

for (const name of vectorFiles()) {
  test(`the translator does what the processor did: ${name}`, () => {
    const executor = new InterpreterExecutor(vectorModel(name), 'translator');
    assert.equal(summarize(replay(readVectors(name), executor, { reports: 1 })), '');
  });
}
