import type { Mem } from '@dmabuf-emu/shm';
import type { RunList } from './run-list.ts';

/** Copies the bytes of `src` into `dst`, as many as both have. Returns how many. */
export function copyRuns(mem: Mem, dst: RunList, src: RunList): number {
  const total = Math.min(dst.total, src.total);
  let [d, dUsed, s, sUsed] = [0, 0, 0, 0];
  for (let moved = 0; moved < total;) {
    const n = Math.min(dst.bytes(d) - dUsed, src.bytes(s) - sUsed, total - moved);
    mem.copy(dst.at(d) + dUsed, src.at(s) + sUsed, n);
    moved += n;
    dUsed += n;
    sUsed += n;
    if (dUsed === dst.bytes(d)) [d, dUsed] = [d + 1, 0];
    if (sUsed === src.bytes(s)) [s, sUsed] = [s + 1, 0];
  }
  return total;
}

/** Copies private bytes into the pieces. Returns how many fitted. */
export function writeRuns(mem: Mem, dst: RunList, bytes: Uint8Array): number {
  let done = 0;
  for (let i = 0; i < dst.count && done < bytes.length; i++) {
    const n = Math.min(dst.bytes(i), bytes.length - done);
    mem.write(dst.at(i), n === bytes.length ? bytes : bytes.subarray(done, done + n));
    done += n;
  }
  return done;
}

/** Copies the pieces into private bytes. Returns how many fitted. */
export function readRuns(mem: Mem, src: RunList, into: Uint8Array): number {
  let done = 0;
  for (let i = 0; i < src.count && done < into.length; i++) {
    const n = Math.min(src.bytes(i), into.length - done);
    const at = src.at(i);
    into.set(mem.u8.subarray(at, at + n), done);
    done += n;
  }
  return done;
}

/** Copies the pieces to a byte offset of the arena. */
export function gatherRuns(mem: Mem, src: RunList, to: number): void {
  let done = 0;
  for (let i = 0; i < src.count; i++) {
    mem.copy(to + done, src.at(i), src.bytes(i));
    done += src.bytes(i);
  }
}

/** Copies from a byte offset of the arena into the pieces. */
export function scatterRuns(mem: Mem, dst: RunList, from: number): void {
  let done = 0;
  for (let i = 0; i < dst.count; i++) {
    mem.copy(dst.at(i), from + done, dst.bytes(i));
    done += dst.bytes(i);
  }
}

/** Sets every byte of the pieces. */
export function fillRuns(mem: Mem, dst: RunList, value: number): void {
  for (let i = 0; i < dst.count; i++) mem.fill(dst.at(i), value, dst.bytes(i));
}

/** Offset of the first byte of the pieces that differs from `bytes`; -1 when none does, as far as both go. */
export function compareRuns(mem: Mem, src: RunList, bytes: Uint8Array): number {
  let done = 0;
  for (let i = 0; i < src.count && done < bytes.length; i++) {
    const n = Math.min(src.bytes(i), bytes.length - done);
    const piece = mem.u8.subarray(src.at(i), src.at(i) + n);
    const expected = bytes.subarray(done, done + n);
    if (Buffer.compare(piece, expected) !== 0) {
      for (let at = 0; at < n; at++) if (piece[at] !== expected[at]) return done + at;
    }
    done += n;
  }
  return -1;
}
