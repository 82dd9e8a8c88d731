import { bitSpinLock, bitSpinUnlock, KERNELS, Machine, Mutex, Random, TaskKilled } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

describe('Machine', () => {
  it('can be joined by its handle and left again', () => {
    using machine = testMachine();
    const other = Machine.join(structuredClone(machine.handle), { name: 'second' });
    expect(other.tid).toBe(2);
    expect(machine.tasks().map((t) => t.name)).toEqual(['test', 'second']);
    expect(other.options).toEqual(machine.options);
    other.leave();
    other.leave();
    expect(machine.tasks().map((t) => t.name)).toEqual(['test']);
  });

  it.each([undefined, {}, { memory: 3 }, { memory: new ArrayBuffer(8) }])('refuses the handle %o', (handle) => {
    expect(() => Machine.join(handle as never)).toThrow(/expects the handle property of a machine/);
  });

  it('refuses a memory that holds no machine', () => {
    expect(() => Machine.join({ schema: 'dmabuf-emu/machine@1', memory: new SharedArrayBuffer(1 << 20) })).toThrow(
      /holds no machine/,
    );
  });

  it.each([
    [{ arenaBytes: 1000 }, /option arenaBytes must be a whole number from 4194304/],
    [{ arenaBytes: 2 ** 33 }, /arenaBytes/],
    [{ memoryBytes: -1 }, /memoryBytes/],
    [{ kernel: '5.0' as never }, new RegExp(`one of ${KERNELS.join(', ')}, got 5.0`)],
    [{ traceEvents: 1.5 }, /traceEvents/],
  ])('refuses options %o', (options, message) => {
    expect(() => Machine.create(options)).toThrow(message);
  });

  it('names driver and thread when a driver is not registered there', () => {
    using machine = testMachine();
    const id = machine.drivers.register('exporter', 'here', { map: 1 });
    expect(machine.drivers.get('exporter', id)).toEqual({ map: 1 });
    const other = Machine.join(machine.handle, { name: 'other' });
    other.drivers.register('exporter', 'there', {});
    expect(() => other.drivers.get('exporter', id)).toThrow(
      "exporter driver 'here' is not registered in thread 'other' (task 2); registered there: there",
    );
    other.leave();
  });

  it('defers work until the task holds no lock', () => {
    using machine = testMachine();
    const lock = new Mutex(machine, machine.root('m', 16), 'm');
    const order: string[] = [];
    lock.with(() => {
      machine.deferWork(() => order.push('deferred'));
      order.push('locked');
    });
    machine.deferWork(() => {
      machine.deferWork(() => order.push('inner'));
      order.push('outer');
    });
    expect(order).toEqual(['locked', 'deferred', 'outer', 'inner']);
  });

  it('leaves a lock as it is when its holder is killed', () => {
    using machine = testMachine();
    const lock = new Mutex(machine, machine.root('m', 16), 'm');
    expect(() =>
      lock.with(() => {
        throw new TaskKilled(1, 'test');
      }),
    ).toThrow();
    expect(lock.heldByMe).toBe(true);
    lock.unlock();
  });

  it('reports a task that leaves with a lock', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'leave-holding');
    const other = Machine.join(machine.handle);
    new Mutex(other, machine.root('m', 16), 'm').lock();
    other.leave();
    expect(machine.diag.count('lockdep')).toBe(1);
  });
});

describe('Random', () => {
  it('repeats for a seed, differs between seeds and forks', () => {
    const take = (r: Random): number[] => [r.next32(), r.next32(), r.below(1000)];
    expect(take(new Random(7))).toEqual(take(new Random(7)));
    expect(take(new Random(7))).not.toEqual(take(new Random(8)));
    expect(take(new Random(7).fork('a'))).not.toEqual(take(new Random(7).fork('b')));
  });

  it('spreads evenly', () => {
    const random = new Random(1);
    const counts = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i++) counts[random.below(10)]!++;
    for (const count of counts) expect(count).toBeGreaterThan(850);
    expect(() => random.pick([])).toThrow(RangeError);
  });
});

describe('irqWork', () => {
  it('runs once the last bit lock is free, whatever other locks are held, and never inside other work', () => {
    using machine = testMachine();
    const [a, b] = [machine.root('a', 16), machine.root('b', 16)];
    const mutex = new Mutex(machine, machine.root('mutex', 16), 'test');
    const log: string[] = [];
    const work = (name: string) => machine.irqWork(() => log.push(name));
    work('at once');
    mutex.lock();
    bitSpinLock(machine, a, 1);
    work('first');
    machine.irqWork(() => {
      bitSpinLock(machine, b, 1);
      work('nested');
      bitSpinUnlock(machine, b, 1);
      log.push('second');
    });
    bitSpinLock(machine, b, 1);
    bitSpinUnlock(machine, b, 1);
    expect(log).toEqual(['at once']);
    bitSpinUnlock(machine, a, 1);
    expect(log).toEqual(['at once', 'first', 'second', 'nested']);
    mutex.unlock();
  });

  it('throws what work threw first, after all of it', () => {
    using machine = testMachine();
    const at = machine.root('a', 16);
    const log: string[] = [];
    bitSpinLock(machine, at, 1);
    for (const name of ['one', 'two']) {
      machine.irqWork(() => {
        log.push(name);
        throw new Error(name);
      });
    }
    expect(() => bitSpinUnlock(machine, at, 1)).toThrow('one');
    expect(log).toEqual(['one', 'two']);
    expect(machine.hasIrqWork).toBe(false);
  });
});

describe('the stretch of the clock', () => {
  it('is 1 until somebody sets it, and the same in every thread', () => {
    using machine = testMachine();
    const other = Machine.join(machine.handle);
    expect(other.clock.stretch).toBe(1);
    machine.clock.stretch = 2.5;
    expect(other.clock.stretch).toBe(2.5);
    other.leave();
  });

  it.each([0.5, 0, -1, Number.NaN])('is not %d', (factor) => {
    using machine = testMachine();
    expect(() => (machine.clock.stretch = factor)).toThrow(/at least 1, got/);
  });
});
