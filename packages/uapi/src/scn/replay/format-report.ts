import { ALL_QUIRKS } from '../../all-quirks.ts';
import type { Scenario, Step } from '../language/scenario.ts';
import { writeJson } from '../results/json-text.ts';
import type { Answer } from '../results/scenario-result.ts';
import type { ReplayReport, ReportedDifference } from './report.ts';

/** Colours of a terminal, or none. */
export interface ReportStyle {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

/** A difference for people: the step as written, what was expected, what came. */
export function formatDifference(
  difference: ReportedDifference,
  scenario: Scenario | undefined,
  { bold, dim, good, bad }: ReportStyle,
): string {
  const { id, step, op, expected, got, documentedAs } = difference;
  const source = scenario?.steps[step];
  const where = source === undefined ? op : sourceOf(source);
  const line = source === undefined || source.line === 0 ? '' : ` (${scenario!.file}:${source.line})`;
  return [
    `${bold(id)}${step < 0 ? '' : ` step ${step + 1}`}: ${where}${dim(line)}`,
    ...membersOf(expected, got).map((key) => {
      const [want, have] = [expected[key], got[key]];
      const show = (value: Answer[string] | undefined): string => (value === undefined ? 'nothing' : writeJson(value));
      return `  ${key}: expected ${good(show(want))}, got ${bad(show(have))}`;
    }),
    ...(documentedAs === undefined ? [] : [dim(`  documented: ${describe(documentedAs)}`)]),
    '',
  ].join('\n');
}

/** The counts, in one line. */
export function formatCounts(report: ReplayReport, { good, bad, dim }: ReportStyle): string {
  const { kernel, profile, total, same, documented, different, outOfScope } = report;
  const verdict = different === 0 ? good('0 different') : bad(`${different} different`);
  const parts = [`${same} same`, `${documented} documented`, verdict, dim(`${outOfScope} out of scope`)];
  return `${total} scenarios recorded on Linux ${kernel}, run as ${profile}: ${parts.join(', ')}\n`;
}

function membersOf(expected: Answer, got: Answer): string[] {
  const keys = new Set([...Object.keys(expected), ...Object.keys(got)]);
  return [...keys].filter((key) => writeJson(expected[key] ?? null) !== writeJson(got[key] ?? null));
}

/** The step in the scenario language. */
function sourceOf({ op, as, background, args }: Step): string {
  const target = as === '' ? '' : `${as} = `;
  const words = args.map(([key, value]) => ` ${key}=${/^[!-~]*$/.test(value) ? value : writeJson(value)}`);
  return `${target}${background ? 'bg ' : ''}${op}${words.join('')}`;
}

function describe(names: string): string {
  const list = names.split(' + ');
  return list.length === 1 ? `${names}: ${ALL_QUIRKS[names]?.what ?? ''}` : names;
}
