/**
 * What `--stats` prints: the counters of hypervisor/stats.ts in groups, with their shares.
 *
 * @module
 */
import {
  type KvmVcpuStats,
  type Occupation,
  OCCUPATIONS,
  type VcpuStats,
  type WasmVcpuStats,
} from '../../hypervisor/stats.ts';

/** What the thread does, in the order of the table. */
const OCCUPATION_TITLES: Readonly<Record<Occupation, string>> = {
  interpreted: 'interpreted code',
  translated: 'translated code',
  memory: 'TLB misses and page crossings',
  decoding: 'decoding',
  system: 'system instructions, x87',
  float: 'exact floating point',
  devices: 'devices',
  installing: 'putting regions in place',
  dropping: 'dropping code',
  events: 'between slices',
  halted: 'halted',
  other: 'other',
};

/** How many kinds of system instructions have a line of their own. */
const SHOWN_INSTRUCTIONS = 8;

/** A name, a value and what it is a share of; neither the second nor the third is needed. */
type Line = readonly [name: string, value: string, share?: string];

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const seconds = (value: number): string => `${value.toFixed(3)} s`;
const percent = (part: number, all: number): string => (all > 0 ? `${((part / all) * 100).toFixed(1)} %` : '');

function group(title: string, lines: readonly Line[]): (readonly [Line, string])[] {
  return [[[title, ''], ''], ...lines.map((line) => [line, '  '] as const)];
}

/** Where the time went; nothing when the machine ended before the first sample. */
function timeLines({ times }: WasmVcpuStats): (readonly [Line, string])[] {
  if (times === undefined || times.samples === 0) return [];
  const total = OCCUPATIONS.reduce((sum, name) => sum + times.seconds[name], 0);
  const lines = (Object.keys(OCCUPATION_TITLES) as Occupation[]).map((name): Line => {
    const spent = times.seconds[name];
    return [OCCUPATION_TITLES[name], seconds(spent), percent(spent, total)];
  });
  return group(`time of the vCPU's thread, ${whole(times.samples)} samples`, lines);
}

/** The most frequent system instructions, and the rest. */
function systemLines({ systemInstructions }: WasmVcpuStats): (readonly [Line, string])[] {
  const counts = Object.entries(systemInstructions).sort((a, b) => b[1] - a[1]);
  const sum = (some: readonly (readonly [string, number])[]): number => some.reduce((all, [, count]) => all + count, 0);
  const total = sum(counts);
  const line = (name: string, count: number): Line => [name, whole(count), percent(count, total)];
  const rest = counts.slice(SHOWN_INSTRUCTIONS);
  return group('system instructions and the x87, in TypeScript', [
    ['executed', whole(total)],
    ...counts.slice(0, SHOWN_INSTRUCTIONS).map(([name, count]) => line(name, count)),
    ...(rest.length > 0 ? [line('others', sum(rest))] : []),
  ]);
}

function wasmLines(stats: WasmVcpuStats, wallSeconds: number): (readonly [Line, string])[] {
  const { instructions, translated, regions, exits, checked, measured, times } = stats;
  const running = times === undefined ? wallSeconds : wallSeconds - times.seconds.halted;
  const rate = instructions / wallSeconds / 1e6;
  const ends = measured?.regionEnds;
  return [
    ...group('guest instructions', [
      ['executed', whole(instructions)],
      ['interpreted', whole(instructions - translated), percent(instructions - translated, instructions)],
      ['translated', whole(translated), percent(translated, instructions)],
      ['million a second', rate.toFixed(1)],
      ...(times === undefined
        ? []
        : [['million a second not halted', (instructions / running / 1e6).toFixed(1)] as const]),
    ]),
    ...timeLines(stats),
    ...group('translator', [
      ['regions live', whole(regions.live)],
      ['regions built', whole(regions.built)],
      ['regions rebuilt', whole(regions.rebuilt)],
      ['regions dropped', whole(regions.dropped)],
      ['regions stale', whole(regions.stale)],
      ['guest instructions in them', whole(regions.instructions)],
      ['bytes of WebAssembly', whole(regions.bytes)],
      ["time of the compiler's thread", seconds(regions.translationSeconds)],
      [
        "of it in WebAssembly's compiler",
        seconds(regions.compileSeconds),
        percent(regions.compileSeconds, regions.translationSeconds),
      ],
    ]),
    ...group('calls of regions', [
      ['from the main loop', whole(regions.calls)],
      ...(ends === undefined
        ? []
        : ([
            ['that ended at other code', whole(ends.jump), percent(ends.jump, regions.calls)],
            ['with a fault', whole(ends.fault), percent(ends.fault, regions.calls)],
            ['with the budget', whole(ends.budget), percent(ends.budget, regions.calls)],
            ['refused: pages moved', whole(ends.refused), percent(ends.refused, regions.calls)],
            ['at an instruction', whole(ends.leave), percent(ends.leave, regions.calls)],
          ] as const)),
    ]),
    ...(checked === undefined
      ? []
      : group('calls of regions to be checked', [
          ['checked', whole(checked.checked)],
          ['not to be done again', whole(checked.outside)],
          ['without room', whole(checked.noRoom)],
        ])),
    ...group('exits of the main loop', [
      ['budget in interpreted code', whole(exits.budget)],
      ['budget in a region', whole(exits.regionBudget)],
      ['regions left there often', whole(exits.leftOften)],
      ['one instruction of a region', whole(exits.step)],
      ['fault', whole(exits.fault)],
      ['an instruction asked for it', whole(exits.leave)],
      ['budget in a string instruction', whole(exits.again)],
    ]),
    ...systemLines(stats),
    ...group('and out of it', [
      ['blocks asked for', whole(stats.lookups)],
      ['instructions decoded', whole(stats.decoded)],
      ['forms compiled when met', whole(stats.coldHandlers)],
      ['device calls', whole(stats.deviceCalls)],
      ['posted writes', whole(stats.postedWrites)],
    ]),
    ...group('events', [
      ['interrupts', whole(stats.interrupts)],
      ['exceptions', whole(stats.exceptions)],
      ['halts', whole(stats.halts)],
      ...(measured === undefined
        ? []
        : ([
            ['TLB misses, reads', whole(measured.tlbMisses.read)],
            ['TLB misses, writes', whole(measured.tlbMisses.write)],
            ['TLB misses, fetches', whole(measured.tlbMisses.execute)],
          ] as const)),
      ['TLB cleared', whole(stats.tlbClears)],
      ['all code dropped', whole(stats.codeFlushes)],
    ]),
  ];
}

function kvmLines({ exits, deviceCalls, postedWrites }: KvmVcpuStats): (readonly [Line, string])[] {
  const total = Object.values(exits).reduce((sum, count) => sum + count, 0);
  const line = (name: string, count: number): Line => [name, whole(count), percent(count, total)];
  return [
    ...group('exits from KVM', [
      line('port access', exits.io),
      line('device memory access', exits.mmio),
      line('halt', exits.hlt),
      line('interrupted', exits.interrupted),
      line('other', exits.other),
    ]),
    ...group('and out of them', [
      ['device calls', whole(deviceCalls)],
      ['posted writes', whole(postedWrites)],
    ]),
  ];
}

/** One table for each vCPU; `wallSeconds` is how long the machine ran. */
export function formatStats(vcpus: readonly VcpuStats[], wallSeconds: number): string {
  const blocks = vcpus.map((stats, index) => {
    const lines = stats.hypervisor === 'kvm' ? kvmLines(stats) : wasmLines(stats, wallSeconds);
    const names = Math.max(...lines.map(([[name], indent]) => (indent === '' ? 0 : name.length + 2)));
    const values = Math.max(...lines.map(([[, value]]) => value.length));
    const text = lines.map(([[name, value, share], indent]) => {
      if (indent === '') return `\n${name}`;
      const line = `${indent}${name}`.padEnd(names) + value.padStart(values + 2);
      return share === undefined ? line : `${line}${share.padStart(9)}`;
    });
    return `vCPU ${index}, ${wallSeconds.toFixed(3)} s\n${text.join('\n')}\n`;
  });
  return blocks.join('\n');
}
