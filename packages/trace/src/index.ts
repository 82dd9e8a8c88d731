export { TRACE_SCHEMA, taskNameAt, type TraceData, type TraceTask } from './trace-data.ts';
export { DEFAULT_MAX_EVENTS, TraceRecorder } from './trace-recorder.ts';
export { decodeTrace, encodeTrace, readTraceFile, writeTraceFile } from './trace-file.ts';
export { TraceFileError } from './trace-file-error.ts';
export { toChromeJson, type ChromeEvent, type ChromeTrace } from './chrome-json.ts';
