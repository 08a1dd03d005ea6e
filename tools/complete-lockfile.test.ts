import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { completeLockFile, type LockFile } from './complete-lockfile.ts';

test('an optional package that the registry lacked gets an entry with its platform', () => {
  const lock: LockFile = {
    packages: { 'node_modules/t': { dev: true, optionalDependencies: { '@t/binding-linux-arm64-musl': '1.2.3' } } },
  };
  assert.deepEqual(completeLockFile(lock), ['@t/binding-linux-arm64-musl']);
  assert.deepEqual(lock.packages['node_modules/@t/binding-linux-arm64-musl'], {
    version: '1.2.3',
    dev: true,
    optional: true,
    os: ['linux'],
    cpu: ['arm64'],
    libc: ['musl'],
  });
});

test('an optional package that names no platform is left alone', () => {
  const lock: LockFile = { packages: { 'node_modules/t': { optionalDependencies: { fsevents: '1.0.0' } } } };
  assert.deepEqual(completeLockFile(lock), []);
});

test('the lock file of this project is complete, so that npm ci accepts it', () => {
  const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as LockFile;
  assert.deepEqual(completeLockFile(lock), []);
});
