// Words in which the files below cases/ are written.

/**
 * @typedef {{ name: string, side: 'native'|'script'|'ours', program?: string, module?: string, export?: string,
 *   args: unknown, oneCore?: boolean, nodeArgs?: string[], naive?: boolean }} Case
 * @typedef {{ goal: string, label: string, ours: [caseName: string, metric: string],
 *   reference: [caseName: string, metric: string], atMost?: number, atLeast?: number, p99OfTwoThreads?: boolean }} Verdict
 * @typedef {{ id: string, title: string, package: string, goals: string[], threads: 1|2, unit?: string,
 *   reference?: string, cases: Case[], verdicts: Verdict[], minRounds?: number }} Table
 */

/** A C program from native/. */
export const native = (name, program, args = [], options = {}) => ({
  name,
  side: 'native',
  program,
  args: args.map(String),
  ...options,
});

/** A JavaScript side that uses none of the packages: a bare-platform reference, or a design that looks natural and is slow. */
export const script = (name, module, fn, args = {}, options = {}) => ({
  name,
  side: 'script',
  module: `reference/${module}.mjs`,
  export: fn,
  args,
  ...options,
});

/** The packages of this repository. */
export const ours = (name, module, fn, args = {}, options = {}) => ({
  name,
  side: 'ours',
  module: `ours/${module}.mjs`,
  export: fn,
  args,
  ...options,
});

/** A verdict between two cases on one metric: the ratio ours/reference must keep within the limit. */
export const goal = (id, label, oursSide, referenceSide, metric, limit, options = {}) => ({
  goal: id,
  label,
  ours: [oursSide, metric],
  reference: [referenceSide, metric],
  ...limit,
  ...options,
});
