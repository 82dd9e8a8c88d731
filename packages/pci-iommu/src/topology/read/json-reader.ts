import { parseMachineDescription } from '../description/parse-machine.ts';
import { TopologyError } from '../topology-error.ts';
import type { MachineReader } from './machine-reader.ts';
import type { MachineReading, ReadOptions } from './machine-reading.ts';
import type { SourceBytes } from './source-bytes.ts';
import { unknownsOf } from './unknowns.ts';

const POSITION_PATTERN = /position (\d+)/u;

/** Machine descriptions as JSON text. */
export const jsonReader: MachineReader = {
  recognises(source: SourceBytes): boolean {
    return source.start.startsWith('{');
  },

  read(source: SourceBytes, options: ReadOptions): MachineReading {
    const parsed = parseMachineDescription(parseJson(source.text));
    const description = {
      ...parsed,
      name: options.name ?? parsed.name,
      title: options.title ?? parsed.title,
      cpu: options.cpu ?? parsed.cpu,
    };
    return {
      source: { name: source.name, format: 'machine' },
      description,
      unknowns: unknownsOf(description),
      warnings: [],
      listedGroups: null,
    };
  },
};

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const position = Number(POSITION_PATTERN.exec(message)?.[1] ?? text.length);
    throw new TopologyError(`expected JSON: ${message}`, { line: text.slice(0, position).split('\n').length });
  }
}
