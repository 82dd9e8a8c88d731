import type { ConfigDescription } from './capability-descriptions.ts';

const RUN_PATTERN = /^([0-9a-f]{1,3}):((?:[0-9a-f]{2})+)$/u;
const WORD = 4;
/** Bytes of the largest configuration space. */
const MAX_BYTES = 4096;

/** Bytes of configuration space from an offset on. */
export interface ConfigRun {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** The runs of a description; `null` when they are not ascending `OFFSET:BYTES` inside configuration space. */
export function parseConfigRuns(text: string): readonly ConfigRun[] | null {
  const runs: ConfigRun[] = [];
  let end = 0;
  for (const part of text === '' ? [] : text.split(' ')) {
    const [, offset = '', hex = ''] = RUN_PATTERN.exec(part) ?? [];
    const at = Number.parseInt(offset, 16);
    const bytes = Uint8Array.from(hex.match(/../gu) ?? [], (byte) => Number.parseInt(byte, 16));
    if (bytes.length === 0 || at < end || at + bytes.length > MAX_BYTES) return null;
    runs.push({ at, bytes });
    end = at + bytes.length;
  }
  return runs;
}

/** A dump of the first bytes of configuration space, written as runs without its zeros. */
export function describeConfig(bytes: Uint8Array): ConfigDescription {
  const runs: string[] = [];
  for (let at = 0; at < bytes.length;) {
    let end = at;
    while (end < bytes.length && !isZero(bytes, end)) end += WORD;
    if (end > at) runs.push(`${at.toString(16)}:${hexOf(bytes.subarray(at, end))}`);
    at = end + WORD;
  }
  return { known: bytes.length, runs: runs.join(' ') };
}

function isZero(bytes: Uint8Array, at: number): boolean {
  return bytes.subarray(at, at + WORD).every((byte) => byte === 0);
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
