// Trace events on the bare platform, and the tempting way.
import { nsPerTurn } from '../lib/stats.mjs';

const EVENTS = 8192;
const RING = 64;

/** 8 plain stores a 32-byte event and one plain store of the head. */
export function ring() {
  const words = new Int32Array(new SharedArrayBuffer((RING + EVENTS * 8) * 4));
  let head = 0;
  const emit = (type, time, context, seqno, object, a, b, c) => {
    const p = RING + ((head & (EVENTS - 1)) << 3);
    words[p] = type;
    words[p + 1] = time;
    words[p + 2] = context;
    words[p + 3] = seqno;
    words[p + 4] = object;
    words[p + 5] = a;
    words[p + 6] = b;
    words[p + 7] = c;
    head = (head + 1) | 0;
    words[0] = head;
  };
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) emit(1, i, 17, i, 4096 + i, 3, 4, 5);
  };
  return { event_ns: nsPerTurn(loop, 4e6) };
}

/** One object an event, kept in an array. */
export function objects() {
  let events = [];
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) {
      events.push({ type: 1, time: i, context: 17, seqno: i, object: 4096 + i, a: 3, b: 4, c: 5 });
      if (events.length > EVENTS) events = [];
    }
  };
  return { event_ns: nsPerTurn(loop, 5e5) };
}
