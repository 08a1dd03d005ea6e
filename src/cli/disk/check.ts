/** `typervisor disk check`: whether an image is whole, and its repair. @module */
import { checkQcow2, type CheckReport } from '../../disk/qcow2/check.ts';
import { openQcow2Image } from '../../host/node/disk-image.ts';
import type { ParsedArguments } from '../arguments.ts';
import { choiceOf, type DiskCommand, formatSize, operandsOf } from './command.ts';

/** The exit statuses of qemu-img check. */
const ERRORS = 2;
const LEAKS = 3;

export const CHECK: DiskCommand = {
  name: 'disk check',
  operands: ['PATH'],
  help: 'Counts all references in a qcow2 image and compares them with what it says. Exits with 0 when it is whole, with 2 when it has errors, with 3 when it only takes space for nothing. The image must not be in use.',
  options: [
    {
      name: '--repair',
      short: '-r',
      value: 'WHAT',
      help: 'leaks gives space back, all corrects wrong counts too. Make a copy first.',
    },
  ],
  examples: ['typervisor disk check root.qcow2', 'typervisor disk check -r leaks root.qcow2'],
  execute: check,
};

async function check(args: ParsedArguments): Promise<number> {
  const [path = ''] = operandsOf(args, ['PATH']);
  const repair = choiceOf(args, '--repair', ['leaks', 'all'] as const) ?? 'none';
  const image = await openQcow2Image({ path, readOnly: repair === 'none', withoutBacking: true, keepDirty: true });
  let report: CheckReport;
  try {
    report = await checkQcow2(image, repair);
  } finally {
    await image.close();
  }
  process.stdout.write(describe(report));
  if (report.errors > report.repairedErrors) return ERRORS;
  return report.leaks > report.repairedLeaks ? LEAKS : 0;
}

function describe(report: CheckReport): string {
  const { errors, leaks, repairedErrors, repairedLeaks, allocatedClusters, totalClusters, compressedClusters } = report;
  const hidden = errors + leaks - report.problems.length;
  const share = totalClusters === 0 ? 0 : Math.round((allocatedClusters / totalClusters) * 100);
  const lines = [
    ...report.problems,
    ...(hidden > 0 ? [`and ${hidden} more`] : []),
    ...(report.leaksUnknown === undefined ? [] : [`leaks were not looked for: ${report.leaksUnknown}`]),
    errors + leaks === 0 ? 'no errors' : `${errors} errors, ${leaks} leaked clusters`,
    ...(repairedErrors + repairedLeaks > 0
      ? [`repaired: ${repairedErrors} errors, ${repairedLeaks} leaked clusters`]
      : []),
    `${allocatedClusters} of ${totalClusters} clusters allocated (${share} %), ${compressedClusters} of them compressed`,
    `used up to ${formatSize(report.endBytes)}`,
  ];
  return `${lines.join('\n')}\n`.replaceAll(/[^\P{Cc}\n]/gu, '?');
}
