import assert from 'node:assert/strict';
import test from 'node:test';
import { InterpreterExecutor } from './executor.ts';
import { readVectors, replay, summarize, vectorFiles, vectorModel } from './replay.ts';

for (const name of vectorFiles()) {
  test(`the interpreter does what the processor did: ${name}`, () => {
    assert.equal(summarize(replay(readVectors(name), new InterpreterExecutor(vectorModel(name)), { reports: 1 })), '');
  });
}
