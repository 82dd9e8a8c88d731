import { i32, struct, u53, words } from '@dmabuf-emu/shm';
import { HISTOGRAM_WORDS } from './log-histogram.ts';

/** Most roles (controllers and engines) of a run. */
export const MAX_ROLES = 80;
/** Most buffers on the board. */
export const MAX_BUFFERS = 256;
/** Buffers of a run that can be told by name afterwards: the newest by inode number. */
export const MAX_INOS = 4096;
/** Violations whose buffer the engines remember: the newest by sequence number. */
export const MAX_BLAMES = 512;
/** Kinds of refusals that one role can tell apart. */
export const MAX_REFUSALS = 24;

/** State of the whole run. */
export const BoardStruct = struct('stress.board', {
  phase: i32(),
  /** Moves on with every change that a role may be waiting for. */
  event: i32(),
  /** Steps of importer engines so far, and how many are wanted (0: no limit). */
  ops: i32(),
  opsLimit: i32(),
  /** Roles from here on, and so many of them, are engines. */
  firstEngine: i32(),
  engines: i32(),
});

/** One buffer that importers may use. */
export const BufferStruct = struct('stress.buffer', {
  /** Spin lock: held while a reference is taken from, or the buffer taken off, the board. */
  gate: i32(),
  /** Ref of the dma-buf; 0 while there is none. */
  dmabuf: i32(),
  /** Moves on with each dma-buf published here. */
  generation: i32(),
  /** Set by whoever finds that the buffer's lock died with its holder: the exporter must replace it. */
  lost: i32(),
});

/** What a role counts. All are numbers of events since the start, or bytes. */
export const COUNTERS = {
  steps: u53(),
  ok: u53(),
  revoked: u53(),
  nomem: u53(),
  faulted: u53(),
  dead: u53(),
  lost: u53(),
  refused: u53(),
  attaches: u53(),
  detaches: u53(),
  maps: u53(),
  mismatches: u53(),
  bytesWritten: u53(),
  bytesRead: u53(),
  command: u53(),
  d3: u53(),
  flr: u53(),
  reset: u53(),
  close: u53(),
  destroy: u53(),
  remove: u53(),
  revokes: u53(),
  exports: u53(),
  checks: u53(),
};
export type CounterName = keyof typeof COUNTERS;
export const COUNTER_NAMES = Object.keys(COUNTERS) as CounterName[];

/** One role: a controller or an engine. Written by its own thread only, but for the first three. */
export const RoleStruct = struct('stress.role', {
  /** Task id of the thread that plays it; 0 until it has joined. */
  tid: i32(),
  state: i32(),
  /** How often it was started. */
  starts: i32(),
  /** Moves on with its work. */
  progress: i32(),
  /** What it does now: an interned text, and the buffer concerned. */
  doing: i32(),
  buffer: i32(),
  refusalCount: i32(),
  /** Exporter, errno, step (interned), count. */
  refusals: words(MAX_REFUSALS * 4),
  revokeNs: words(HISTOGRAM_WORDS + 1),
  mapNs: words(HISTOGRAM_WORDS + 1),
  fenceWakeNs: words(HISTOGRAM_WORDS + 1),
  ...COUNTERS,
});
