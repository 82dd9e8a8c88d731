import { Machine, Mutex, setSyncHook } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { afterEach, describe, expect, it } from 'vitest';

describe('lock-order validation', () => {
  it('reports the first order that could deadlock, once, with the chain', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'circular-order');
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Mutex(machine, machine.root(name, 16), `class.${name}`)) as [
      Mutex,
      Mutex,
      Mutex,
    ];
    a.with(() => b.with(() => {}));
    b.with(() => c.with(() => {}));
    for (let i = 0; i < 3; i++) c.with(() => a.with(() => {}));
    const reports = machine.diag.records();
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatchObject({
      code: 'circular-order',
      text: 'class.a is taken with class.c held, but elsewhere: class.a -> class.b -> class.c -> class.a',
    });
    expect(machine.lockdep.order()).toContainEqual(['class.a', 'class.b']);
  });

  it('reports two locks of one class nested', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'nested-class');
    const [a, b] = ['a', 'b'].map((name) => new Mutex(machine, machine.root(name, 16), 'same')) as [Mutex, Mutex];
    a.with(() => b.with(() => {}));
    expect(machine.diag.count('lockdep')).toBe(1);
  });

  it('is silent when switched off', () => {
    using machine = testMachine({ lockdep: false });
    const [a, b] = ['a', 'b'].map((name) => new Mutex(machine, machine.root(name, 16), 'same')) as [Mutex, Mutex];
    a.with(() => b.with(() => {}));
    expect(machine.lockdep.classId('same')).toBe(0);
  });
});

describe('Diagnostics', () => {
  it('keeps the newest records and exact counts', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'many');
    for (let i = 0; i < 600; i++) machine.diag.warn('many', `number ${i}`);
    expect(machine.diag.count('warn')).toBe(600);
    const texts = machine.diag.records().map((r) => r.text);
    expect(texts.at(-1)).toBe('number 599');
    expect(texts).toHaveLength(512);
  });

  it('keeps who broke which rule', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'unmap-bound');
    const violation = { rule: 'unmap-bound', text: 'too late', importer: 'odp', buffer: 'ino 3', step: 'unmap wait' };
    machine.diag.violation(violation);
    expect(machine.diag.records()[0]).toMatchObject({
      kind: 'violation',
      code: 'unmap-bound',
      importer: 'odp',
      buffer: 'ino 3',
      step: 'unmap wait',
    });
  });

  it('shortens a text that does not fit', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'long');
    machine.diag.warn('long', 'x'.repeat(5000), { y: 'z'.repeat(5000) });
    expect(machine.diag.records()[0]!.text).toBe('x'.repeat(300));
  });

  it('makes a test fail that leaves an unexpected record', () => {
    const machine = testMachine();
    machine.diag.warn('surprise', 'nobody expects it');
    expect(() => machine[Symbol.dispose]()).toThrow(/surprise: nobody expects it/);
  });
});

describe('Trace', () => {
  it('is off by default', () => {
    using machine = testMachine();
    expect(machine.trace.on).toBe(false);
  });

  it('keeps the newest events of a task in order', () => {
    using machine = testMachine({ traceEvents: 16 });
    const name = machine.trace.name('tick');
    for (let i = 0; i < 20; i++) machine.trace.event(name, i, -i, 0, 7);
    const events = machine.trace.read();
    expect(events.map((e) => e.args[0])).toEqual(Array.from({ length: 16 }, (_, i) => i + 4));
    expect(events[0]).toMatchObject({ task: 1, name: 'tick', args: [4, -4, 0, 7] });
    expect(events.every((e, i) => i === 0 || e.timeMs >= events[i - 1]!.timeMs)).toBe(true);
  });

  it('gives an event the time of the last stamp, or of the next one when that is overwritten', () => {
    const ticks = (traceStamps: 'every' | 'coarse'): number[] => {
      using machine = testMachine({ traceEvents: 32, clock: 'manual', traceStamps });
      for (let i = 0; i < 40; i++) {
        machine.trace.event(machine.trace.name('tick'), i);
        machine.clock.advance(1);
      }
      return machine.trace.read().map((e) => e.timeMs);
    };
    expect(ticks('every')).toEqual(Array.from({ length: 32 }, (_, i) => i + 8));
    expect(ticks('coarse')).toEqual(Array.from({ length: 32 }, (_, i) => (i + 8 < 32 ? 16 : 32)));
  });

  it('stamps the first event of a task that takes over a ring', () => {
    using machine = testMachine({ traceEvents: 16, clock: 'manual' });
    const name = machine.trace.name('tick');
    for (const [n, ms] of [5, 1000].entries()) {
      machine.clock.advance(ms);
      const other = Machine.join(machine.handle, { name: 'other' });
      other.trace.event(name, n);
      other.leave();
    }
    expect(machine.trace.read().map(({ args, timeMs }) => [args[0], timeMs])).toEqual([
      [0, 1005],
      [1, 1005],
    ]);
  });
});

describe('sync points', () => {
  afterEach(() => {
    setSyncHook(null);
  });

  it('see every lock, wake and allocation of the thread with a static label', () => {
    using machine = testMachine();
    const lock = new Mutex(machine, machine.root('m', 16), 'm');
    const seen: string[] = [];
    setSyncHook((label) => seen.push(label));
    lock.with(() => {});
    machine.wake(lock.at);
    setSyncHook(null);
    expect(seen).toEqual(['mutex.lock', 'mutex.unlock', 'futex.wake']);
  });
});
