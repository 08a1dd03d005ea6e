/**
 * Checks commit messages: `node tools/check-commit.ts [REVISIONS]`, by default those that are not on the upstream branch yet.
 * A title reads `component: Summary`, where the component is a path of folders or files of the project, and has at most
 * 72 columns; a body says why. Exit status 1 when a message is otherwise.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';

const TITLE = /^[a-z0-9.][a-z0-9./-]*(, [a-z0-9./-]+)*: [A-Z"`'0-9-].*[^.]$/;
const TITLE_COLUMNS = 72;

/** The problems of one message. */
export function checkMessage(message: string): string[] {
  const [title = '', blank = '', ...body] = message.trimEnd().split('\n');
  const problems: string[] = [];
  if (!TITLE.test(title)) problems.push('the title is not "component: Summary"');
  if (title.length > TITLE_COLUMNS) problems.push(`the title has ${title.length} columns, more than ${TITLE_COLUMNS}`);
  if (blank !== '') problems.push('the second line is not empty');
  if (body.join('').trim() === '') problems.push('there is no body that says why');
  return problems;
}

if (import.meta.main) {
  const revisions = process.argv[2] ?? '@{upstream}..HEAD';
  const log = execFileSync('git', ['log', '--no-merges', '-z', '--format=%h%n%B', revisions], { encoding: 'utf8' });
  for (const record of log.split('\0').filter(Boolean)) {
    const [hash = '', ...message] = record.split('\n');
    for (const problem of checkMessage(message.join('\n'))) {
      console.error(`${hash} ${message[0]}: ${problem}`);
      process.exitCode = 1;
    }
  }
}
