/** Medians, spreads and means of measurements; a missing measurement (a run that failed) is `undefined`. @module */

const present = (values: readonly (number | undefined)[]): number[] =>
  values.filter((value): value is number => value !== undefined);

/** The middle value, or the mean of the two in the middle; undefined when there is none. */
export function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = present(values).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return undefined;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** Half the distance between the smallest and the largest value, relative to the median: 0.1 is "±10 %". */
export function spread(values: readonly (number | undefined)[]): number | undefined {
  const all = present(values);
  const middle = median(all);
  if (middle === undefined || middle === 0) return undefined;
  return (Math.max(...all) - Math.min(...all)) / 2 / middle;
}

/** The geometric mean; undefined when there is nothing to average. */
export function geometricMean(values: readonly (number | undefined)[]): number | undefined {
  const all = present(values);
  if (all.length === 0) return undefined;
  return Math.exp(all.reduce((sum, value) => sum + Math.log(value), 0) / all.length);
}

/**
 * The median over the rounds of a[i] / b[i]: numbers of the same round were measured side by side, so that a machine that
 * is slower for a while does not count. Rounds in which one is missing are left out.
 */
export function medianRatio(
  a: readonly (number | undefined)[],
  b: readonly (number | undefined)[],
): number | undefined {
  return median(
    a.map((value, round) => {
      const other = b[round];
      return value === undefined || other === undefined || other === 0 ? undefined : value / other;
    }),
  );
}
