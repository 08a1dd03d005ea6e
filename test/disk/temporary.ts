/** A folder for the files of a test, gone afterwards. @module */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

export class TemporaryFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), 'typervisor-disk-'));

  constructor() {
    after(() => rmSync(this.path, { recursive: true }));
  }

  at(name: string): string {
    return join(this.path, name);
  }

  write(name: string, contents: Uint8Array): string {
    writeFileSync(this.at(name), contents);
    return this.at(name);
  }
}
