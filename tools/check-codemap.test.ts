import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCodeMap } from './check-codemap.ts';

const MAP = '# A\n## Code map\n| Folder | What |\n|--|--|\n| `src/util` | helpers |\n| `src/vm` | machine |\n## Next\n';
const everything = (): boolean => true;

test('a map with one row for each folder is accepted', () => {
  assert.deepEqual(checkCodeMap(MAP, ['util', 'vm'], everything), []);
});

test('a folder without a row is reported', () => {
  assert.deepEqual(checkCodeMap(MAP, ['util', 'vm', 'vm/run'], everything), ['src/vm/run is missing in the code map']);
});

test('a row without a folder is reported', () => {
  assert.deepEqual(checkCodeMap(MAP, ['util'], everything), ['src/vm is in the code map but holds no source']);
});

test('a folder with two rows, or with an empty one, is reported', () => {
  const map = `${MAP.replace('| helpers |', '| |')}`.replace('## Next', '| `src/vm` | again |\n## Next');
  assert.deepEqual(checkCodeMap(map, ['util', 'vm'], everything), [
    'src/util has an empty row in the code map',
    'src/vm has two rows in the code map',
  ]);
});

test('a path in the prose that does not exist is reported', () => {
  const text = `${MAP}Read \`src/util/gone.ts\` and \`tools/here.ts\`.`;
  assert.deepEqual(
    checkCodeMap(text, ['util', 'vm'], (path) => path === 'tools/here.ts'),
    ['src/util/gone.ts does not exist'],
  );
});
