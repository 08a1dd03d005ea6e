/**
 * Writes what was measured as a Markdown page.
 *
 * @module
 */
import type { Measurements, Row, Samples } from './measurements.ts';
import { GROUPS, type Group } from './programs.ts';
import { geometricMean, median, medianRatio, spread } from './statistics.ts';
import { type SystemName, TITLES } from './systems.ts';

const GROUP_TITLES: Readonly<Record<Group, string>> = {
  integer: 'integer loops',
  calls: 'calls and sorting',
  float: 'floating point and SIMD',
  memory: 'memcpy and tmpfs',
  system: 'system calls, page faults, pipes, signals, threads',
  process: 'fork and exec',
  busybox: 'busybox',
};

const NOTHING = '–';

/** A number with three significant digits. */
export function digits(value: number | undefined): string {
  if (value === undefined) return NOTHING;
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value >= 1 ? value.toFixed(2) : value.toFixed(3);
}

const ratio = (value: number | undefined): string => (value === undefined ? NOTHING : value.toFixed(2));
const percent = (value: number | undefined): string =>
  value === undefined ? NOTHING : `±${Math.round(value * 100)} %`;

/** A Markdown table; columns after the first `left` are aligned to the right. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[], left = 1): string {
  const cells = (values: readonly string[]): string =>
    `| ${values.map((value) => value.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `|${header.map((_, column) => (column < left ? '--' : '--:')).join('|')}|`;
  return [cells(header), rule, ...rows.map(cells)].join('\n');
}

/** The median ratio of two systems in a row. */
const rowRatio = (row: Row, system: SystemName, to: SystemName): number | undefined => {
  const { [system]: own, [to]: other } = row.seconds;
  return own === undefined || other === undefined ? undefined : medianRatio(own, other);
};

/** The quotients that a table shows: each system by those before it. */
function pairs(systems: readonly SystemName[]): (readonly [SystemName, SystemName])[] {
  return systems.flatMap((to, index) => systems.slice(index + 1).map((system) => [system, to] as const));
}

function resultTable(first: readonly [string, string], rows: readonly Row[], systems: readonly SystemName[]): string {
  const quotients = pairs(systems);
  const header = [
    ...first,
    ...systems.map((system) => `${TITLES[system]}, s`),
    ...quotients.map(([system, to]) => `${TITLES[system]} ÷ ${TITLES[to]}`),
    'spread',
  ];
  const last = systems.at(-1);
  const body = rows.map((row) => [
    row.name,
    row.title,
    ...systems.map((system) => digits(median(row.seconds[system] ?? []))),
    ...quotients.map(([system, to]) => ratio(rowRatio(row, system, to))),
    percent(last === undefined ? undefined : spread(row.seconds[last] ?? [])),
  ]);
  return markdownTable(header, body, 2);
}

function meansTable(rows: readonly Row[], systems: readonly SystemName[]): string {
  const quotients = pairs(systems);
  const groups = GROUPS.map((group) => [GROUP_TITLES[group], rows.filter((row) => row.group === group)] as const);
  const body = [...groups, ['**all programs**', rows] as const]
    .filter(([, members]) => members.length > 0)
    .map(([title, members]) => [
      title,
      `${members.length}`,
      ...quotients.map(([system, to]) => ratio(geometricMean(members.map((row) => rowRatio(row, system, to))))),
    ]);
  const header = ['group', 'programs', ...quotients.map(([system, to]) => `${TITLES[system]} ÷ ${TITLES[to]}`)];
  return markdownTable(header, body);
}

interface Goal {
  readonly title: string;
  readonly unit: string;
  readonly limit: number;
  readonly most: boolean;
  readonly found: (measurements: Measurements) => Samples | undefined;
}

const bootSamples =
  (name: string) =>
  ({ rows }: Measurements): Samples | undefined =>
    rows.find((row) => row.group === 'boot' && row.name === name)?.seconds.typervisor;

/** What a system needs beside the RAM that its guest has touched, in MiB, round by round. */
function restSamples({ residentMib, guestRamMib }: Measurements, system: SystemName): Samples {
  return (residentMib[system] ?? []).map((total, round) => {
    const guest = guestRamMib[system]?.[round];
    return total === undefined || guest === undefined ? undefined : total - guest;
  });
}

/** What the project promises of typervisor on a quiet machine. */
// biome-ignore format: a table
const GOALS: readonly Goal[] = [
  { title: "Debian's cloud kernel to init",          unit: 's', limit: 10,  most: true,  found: bootSamples('debian') },
  { title: "embedded guest to its shell's prompt",   unit: 's', limit: 2.5, most: true,  found: bootSamples('embedded') },
  { title: 'start to the first guest instruction',   unit: 's', limit: 0.4, most: true,  found: bootSamples('start') },
  { title: 'integer programs, million guest instructions a second', unit: '', limit: 200, most: false, found: ({ mips }) => mips },
  { title: 'resident after all programs, beside the guest RAM touched', unit: 'MiB', limit: 250, most: true, found: (all) => restSamples(all, 'typervisor') },
];

function goalsTable(measurements: Measurements): string {
  const body = GOALS.map(({ title, unit, limit, most, found }) => {
    const value = median(found(measurements) ?? []);
    const met = value === undefined ? 'not measured' : (most ? value <= limit : value >= limit) ? 'yes' : '**no**';
    const tail = unit === '' ? '' : ` ${unit}`;
    return [
      title,
      `${most ? '≤' : '≥'} ${limit}${tail}`,
      value === undefined ? NOTHING : `${digits(value)}${tail}`,
      met,
    ];
  });
  return markdownTable(['goal', 'limit', 'measured', 'met'], body);
}

function guestTable(measurements: Measurements): string {
  const { systems, residentMib, guestRamMib, clockShare } = measurements;
  const guests = systems.filter((system) => system !== 'native');
  const share = (value: number | undefined): string =>
    value === undefined ? NOTHING : `${(value * 100).toFixed(0)} %`;
  return markdownTable(
    ['', ...guests.map((system) => TITLES[system])],
    [
      ['MiB resident after all programs', ...guests.map((system) => digits(median(residentMib[system] ?? [])))],
      ['of it guest RAM that was touched', ...guests.map((system) => digits(median(guestRamMib[system] ?? [])))],
      ['and the rest', ...guests.map((system) => digits(median(restSamples(measurements, system))))],
      [
        "the guest's clock by the host's, from command to answer",
        ...guests.map((system) => share(median(clockShare[system] ?? []))),
      ],
    ],
  );
}

/** The page. */
export function report(measurements: Measurements): string {
  const { systems, rounds, nativeWork, guestWork, rows, environment, failures } = measurements;
  const programs = rows.filter((row) => row.group !== 'boot');
  const boots = rows.filter((row) => row.group === 'boot');
  const guests = systems.filter((system) => system !== 'native');
  const work = (share: number): string => (share === 1 ? 'the whole work' : `${digits(share * 100)} % of the work`);
  const sections = [
    '# Performance',
    'Written by `npm run bench`; do not edit. `bench/README.md` says how it is measured. Seconds are medians over ' +
      `${rounds === 1 ? 'one round' : `${rounds} rounds`}; quotients are medians of the quotients within a round; the spread is that of ${TITLES[systems.at(-1) ?? 'native']}. ` +
      `Natively ${work(nativeWork)} was done, in the guests ${work(guestWork)}; all seconds are for the whole.`,
    markdownTable(['', ''], environment, 2),
    '## Goals',
    goalsTable(measurements),
  ];
  if (programs.length > 0) {
    sections.push(
      '## Programs',
      resultTable(['program', 'work'], programs, systems),
      '## Geometric means',
      meansTable(programs, systems),
    );
  }
  if (boots.length > 0) {
    sections.push('## From the start of the process', resultTable(['', 'to'], boots, guests));
  }
  if (programs.length > 0 && guests.length > 0) sections.push('## The guests', guestTable(measurements));
  if (failures.length > 0) {
    sections.push('## Failures', failures.map((line) => `- ${line.replaceAll(/\s*\n\s*/g, ' / ')}`).join('\n'));
  }
  return `${sections.join('\n\n')}\n`;
}
