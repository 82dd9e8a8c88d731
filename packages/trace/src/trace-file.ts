import { readFile, writeFile } from 'node:fs/promises';
import { Packr } from 'msgpackr/pack';
import { Unpackr } from 'msgpackr/unpack';
import { fromColumns, toColumns, type EventColumns } from './internal/columns.ts';
import { TRACE_SCHEMA, type TraceData, type TraceTask } from './trace-data.ts';
import { TraceFileError } from './trace-file-error.ts';

/** First bytes of every trace file; the rest is one msgpack document. */
const MAGIC = new TextEncoder().encode('DMABUFTR');

/** A trace as the bytes of a `.trace` file. */
export function encodeTrace(trace: TraceData): Uint8Array {
  const { meta, tasks, diagnostics, dropped, events } = trace;
  const body = new Packr({ useRecords: false }).pack({
    schema: TRACE_SCHEMA,
    meta,
    tasks,
    diagnostics,
    dropped,
    count: events.length,
    events: toColumns(events),
  });
  const bytes = new Uint8Array(MAGIC.length + body.length);
  bytes.set(MAGIC);
  bytes.set(body, MAGIC.length);
  return bytes;
}

/**
 * The trace in the bytes of a `.trace` file.
 * @param path only for the message. @throws TraceFileError when the bytes are anything else.
 */
export function decodeTrace(bytes: Uint8Array, path = 'trace'): TraceData {
  if (bytes.length < MAGIC.length || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new TraceFileError(path, 'not a trace file (expected it to begin with DMABUFTR)');
  }
  let body: unknown;
  try {
    // A private copy: what is decoded must not alias the caller's bytes, and never shared memory.
    const copy = Uint8Array.prototype.slice.call(bytes, MAGIC.length);
    body = new Unpackr({ useRecords: false, copyBuffers: true }).unpack(copy);
  } catch (error) {
    throw new TraceFileError(path, `damaged or cut off: ${String(error)}`, { cause: error });
  }
  return check(body, path);
}

/** Writes a trace to a file, replacing it. */
export async function writeTraceFile(path: string, trace: TraceData): Promise<void> {
  await writeFile(path, encodeTrace(trace));
}

/** @throws TraceFileError when the file is not a trace; the file system's error when it cannot be read. */
export async function readTraceFile(path: string): Promise<TraceData> {
  return decodeTrace(await readFile(path), path);
}

function check(body: unknown, path: string): TraceData {
  if (!isObject(body)) throw new TraceFileError(path, 'expected an object');
  if (body['schema'] !== TRACE_SCHEMA) {
    throw new TraceFileError(path, `schema is ${JSON.stringify(body['schema'])}, expected "${TRACE_SCHEMA}"`);
  }
  const { meta, tasks, diagnostics, dropped, count, events } = body;
  if (!isObject(meta)) throw new TraceFileError(path, 'meta: expected an object');
  if (!Array.isArray(tasks) || !tasks.every(isTask)) {
    throw new TraceFileError(path, 'tasks: expected a list of { id, name, fromSeq }');
  }
  if (!Array.isArray(diagnostics)) throw new TraceFileError(path, 'diagnostics: expected a list');
  if (!isCount(dropped)) throw new TraceFileError(path, 'dropped: expected a whole number');
  if (!isCount(count)) throw new TraceFileError(path, 'count: expected a whole number');
  if (!isObject(events) || !Array.isArray(events['names'])) throw new TraceFileError(path, 'events: expected columns');
  try {
    const columns = events as unknown as EventColumns;
    return {
      meta,
      tasks,
      diagnostics: diagnostics as TraceData['diagnostics'],
      dropped,
      events: fromColumns(columns, count),
    };
  } catch (error) {
    throw new TraceFileError(path, `events: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

function isTask(value: unknown): value is TraceTask {
  return isObject(value) && isCount(value['id']) && typeof value['name'] === 'string' && isCount(value['fromSeq']);
}
