import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testMachine } from '@dmabuf-emu/shm/testing';
import {
  decodeTrace,
  encodeTrace,
  readTraceFile,
  toChromeJson,
  TraceRecorder,
  writeTraceFile,
} from '@dmabuf-emu/trace';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trace-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('recorder', () => {
  test('polling takes every event once, and counts those that the ring lost', () => {
    using machine = testMachine({ traceEvents: 16, traceStamps: 'every' });
    const recorder = new TraceRecorder(machine);
    const name = machine.trace.name('tick');
    for (let n = 0; n < 10; n++) machine.trace.event(name, n);
    expect(recorder.poll()).toBe(10);
    expect(recorder.poll()).toBe(0);
    for (let n = 10; n < 50; n++) machine.trace.event(name, n);
    const trace = recorder.finish({ seed: 7 });
    expect(trace.events.map((event) => event.args[0])).toEqual([
      ...Array.from({ length: 10 }, (_, i) => i),
      ...Array.from({ length: 16 }, (_, i) => 34 + i),
    ]);
    expect(trace.dropped).toBe(24);
    expect(trace.tasks).toEqual([{ id: machine.tid, name: 'test', fromSeq: 0 }]);
  });

  test('the limit keeps the newest events', () => {
    using machine = testMachine({ traceEvents: 64 });
    const recorder = new TraceRecorder(machine, { maxEvents: 5 });
    for (let n = 0; n < 20; n++) machine.trace.event(machine.trace.name('tick'), n);
    const trace = recorder.finish();
    expect(trace.events.map((event) => event.args[0])).toEqual([15, 16, 17, 18, 19]);
    expect(trace.dropped).toBe(15);
  });

  test('a machine without tracing records nothing', () => {
    using machine = testMachine();
    expect(new TraceRecorder(machine).finish().events).toEqual([]);
  });
});

describe('file', () => {
  function recorded(): ReturnType<TraceRecorder['finish']> {
    using machine = testMachine({ traceEvents: 64, traceStamps: 'every' });
    const [begin, end] = [machine.trace.name('revoke:begin'), machine.trace.name('revoke:end')];
    machine.trace.event(begin, 1, -2, 3, 0x7fffffff);
    machine.trace.event(machine.trace.name('map'), 5);
    machine.trace.event(end, 9);
    machine.trace.event(begin, 2);
    machine.diag.info('note', 'a note');
    return new TraceRecorder(machine).finish({ seed: 1, kernel: '7.1' });
  }

  test('round trip through a file', async () => {
    const trace = recorded();
    const path = join(folder, 'run.trace');
    await writeTraceFile(path, trace);
    expect(await readTraceFile(path)).toEqual(trace);
  });

  test('anything else is refused with a message that names the file and the problem', async () => {
    const path = join(folder, 'x.trace');
    writeFileSync(path, 'hello');
    await expect(readTraceFile(path)).rejects.toThrow(`${path}: not a trace file`);
    const bytes = encodeTrace(recorded());
    expect(() => decodeTrace(bytes.subarray(0, bytes.length - 9), 'cut')).toThrow(/^cut: damaged or cut off/);
    const magic = bytes.slice(0, 8);
    expect(() => decodeTrace(new Uint8Array([...magic, 0xc1]))).toThrow(/trace: /);
    expect(() => decodeTrace(new Uint8Array([...magic, 0x80]))).toThrow('schema is undefined');
  });

  test('columns that do not fit are refused', () => {
    const bytes = encodeTrace({ ...recorded(), events: [] });
    const text = Buffer.from(bytes).toString('latin1').replace('count\x00', 'count\x05');
    expect(() => decodeTrace(Buffer.from(text, 'latin1'))).toThrow('column name must have 20 bytes, has 0');
  });

  test('Chrome JSON: pairs become bars, the rest marks, each task a lane', () => {
    const trace = recorded();
    const { traceEvents, otherData } = toChromeJson(trace);
    expect(otherData).toMatchObject({ seed: 1, dropped: 0 });
    expect(traceEvents[0]).toMatchObject({ ph: 'M', name: 'thread_name', args: { name: '1 test' } });
    const bar = traceEvents.find((event) => event.ph === 'X')!;
    expect(bar).toMatchObject({ name: 'revoke', cat: 'revoke', args: { a: 1, b: -2, result: 9 } });
    expect(bar.dur).toBeGreaterThanOrEqual(0);
    expect(traceEvents.filter((event) => event.ph === 'i').map((event) => event.name)).toEqual([
      'map',
      'revoke:begin',
      'info: note',
    ]);
  });
});
