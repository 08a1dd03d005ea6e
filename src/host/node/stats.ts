/** The counters that `--stats` prints. @module */
import type { VcpuStats } from '../../hypervisor/hypervisor.ts';

/** A table of counters, one block a vCPU, with the rate of instructions over `milliseconds` of wall time. */
export function formatStats(vcpus: readonly VcpuStats[], milliseconds: number): string {
  const lines: string[] = [`wall time ${(milliseconds / 1000).toFixed(3)} s`];
  vcpus.forEach((stats, index) => {
    lines.push(`vCPU ${index}`);
    const rate = (stats['instructions'] ?? 0) / milliseconds / 1000;
    const rows: [string, string][] = Object.entries(stats).map(([name, value]) => [
      name,
      value.toLocaleString('en-US'),
    ]);
    rows.push(['million instructions a second', rate.toFixed(1)]);
    const width = Math.max(...rows.map(([name]) => name.length));
    for (const [name, value] of rows) lines.push(`  ${name.padEnd(width)}  ${value.padStart(16)}`);
  });
  return `${lines.join('\n')}\n`;
}
