/**
 * Tests of a recorded probe: one for each of its parts.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { expectedLines, type Probe, runProbe } from './probe.ts';

/** What a part shows, and the words its lines begin with. */
export type Part = readonly [behaviour: string, words: readonly string[]];

/** The word that says which part a line belongs to. */
const wordOf = (line: string): string => (line.includes(' data') ? 'data' : line.slice(0, line.indexOf(' ')));

/** Runs the recorded image once and compares it part by part; `rest` names the test of all lines that are in no part. */
export function testProbe(title: string, probe: Probe, parts: readonly Part[], rest: string): void {
  const inParts = new Set(parts.flatMap(([, words]) => words));
  describe(title, () => {
    let ours: string[] = [];
    let expected: string[] = [];
    before(() => {
      ours = runProbe(probe.image);
      expected = expectedLines(probe);
    });

    const compare = (belongs: (word: string) => boolean): void => {
      const ofPart = (line: string): boolean => belongs(wordOf(line));
      const recorded = expected.filter(ofPart);
      assert.ok(recorded.length > 1);
      assert.deepEqual(ours.filter(ofPart), recorded);
    };

    for (const [behaviour, words] of parts) test(behaviour, () => compare((word) => words.includes(word)));
    test(rest, () => compare((word) => !inParts.has(word)));
  });
}
