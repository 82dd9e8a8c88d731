import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument, type Document } from 'yaml';
import { checkScenario, pathText, type Path } from './check-scenario.ts';
import { InputError } from './problem.ts';
import type { Scenario } from './scenario.ts';

/** Largest scenario file that is read. */
const MAX_BYTES = 1 << 20;

/**
 * The scenario in a JSON or YAML file.
 * @throws InputError for a file that cannot be read, does not parse or does not fit the schema: names file, line and field.
 */
export function readScenarioFile(path: string): Scenario {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new InputError(path, [{ where: '', text: `cannot be read: ${(error as Error).message}` }], { cause: error });
  }
  return parseScenario(text, path);
}

/**
 * The scenario in a text: JSON when the name ends in `.json`, YAML otherwise.
 * @throws InputError with every problem, each with its line.
 */
export function parseScenario(text: string, source: string): Scenario {
  if (text.length > MAX_BYTES) {
    throw new InputError(source, [{ where: '', text: `expected at most ${MAX_BYTES} bytes, got ${text.length}` }]);
  }
  if (source.endsWith('.json')) requireJson(text, source);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  if (document.errors.length > 0) {
    throw new InputError(
      source,
      document.errors.map((error) => ({ where: `line ${lines.linePos(error.pos[0]).line}`, text: error.message })),
    );
  }
  const { scenario, findings } = checkScenario(document.toJS({ maxAliasCount: 0 }) ?? {});
  if (findings.length === 0) return scenario;
  throw new InputError(
    source,
    findings.map(({ path, text: problem }) => {
      const line = lineOf(document, lines, path);
      return { where: [line, pathText(path)].filter((part) => part !== '').join(': '), text: problem };
    }),
  );
}

function requireJson(text: string, source: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    const message = (error as Error).message;
    const position = /position (\d+)/.exec(message)?.[1];
    const where = position === undefined ? '' : `line ${text.slice(0, Number(position)).split('\n').length}`;
    throw new InputError(source, [{ where, text: `not JSON: ${message}` }], { cause: error });
  }
}

/** Line of a field, or of the nearest field around it. */
function lineOf(document: Document.Parsed, lines: LineCounter, path: Path): string {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
    if (node?.range !== undefined) return `line ${lines.linePos(node.range[0]).line}`;
  }
  return '';
}
