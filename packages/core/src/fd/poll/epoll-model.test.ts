import { Epoll, EventFd, FdTable, OpenFlags, PollEvents } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const { IN, OUT, ET, ONESHOT } = PollEvents;
const FILES = 4;

/** An epoll file over counters that nobody shares: plain arrays, one list of what may be ready. */
class EpollModel {
  readonly counts: number[] = Array.from({ length: FILES }, () => 0);
  readonly #watched = new Map<number, number>();
  #list: number[] = [];

  /** The counter moved: whoever watches it for that is to be looked at. */
  #wake(n: number, event: number): void {
    if (((this.#watched.get(n) ?? 0) & event) !== 0 && !this.#list.includes(n)) this.#list.push(n);
  }

  write(n: number): void {
    this.counts[n]! += 1;
    this.#wake(n, IN);
  }

  read(n: number): void {
    if (this.counts[n] === 0) return;
    this.counts[n] = 0;
    this.#wake(n, OUT);
  }

  watch(n: number, events: number): void {
    this.#watched.set(n, events);
    if (this.#ready(n) !== 0 && !this.#list.includes(n)) this.#list.push(n);
  }

  isWatched(n: number): boolean {
    return this.#watched.has(n);
  }

  forget(n: number): void {
    this.#watched.delete(n);
    this.#list = this.#list.filter((other) => other !== n);
  }

  wait(max: number): [number, number][] {
    const found: [number, number][] = [];
    const again: number[] = [];
    while (this.#list.length > 0 && found.length < max) {
      const n = this.#list.shift()!;
      const ready = this.#ready(n);
      if (ready === 0) continue;
      found.push([n, ready]);
      const asked = this.#watched.get(n)!;
      if ((asked & ONESHOT) !== 0) this.#watched.set(n, 0);
      else if ((asked & ET) === 0) again.push(n);
    }
    this.#list.push(...again);
    return found;
  }

  #ready(n: number): number {
    return ((this.counts[n]! > 0 ? IN : 0) | OUT) & (this.#watched.get(n) ?? 0);
  }
}

const file = fc.nat(FILES - 1);
const step = fc.oneof(
  fc.record({ op: fc.constantFrom('write', 'read', 'forget'), n: file, mask: fc.constant(0) }),
  fc.record({
    op: fc.constant('watch'),
    n: file,
    mask: fc
      .tuple(fc.constantFrom(IN, OUT, IN | OUT), fc.constantFrom(0, ET, ONESHOT, ET | ONESHOT))
      .map(([events, how]) => events + how),
  }),
  fc.record({ op: fc.constant('wait'), n: fc.integer({ min: 1, max: 5 }), mask: fc.constant(0) }),
);

describe('any sequence of calls of an epoll file', () => {
  it('gives what the model gives', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        using machine = testMachine({ arenaBytes: 16 << 20, memoryBytes: 0 });
        const table = FdTable.current(machine);
        const events = Array.from({ length: FILES }, () => EventFd.create(machine, { flags: OpenFlags.NONBLOCK }));
        const fds = events.map((event) => table.install(event.file));
        const epoll = Epoll.create(machine);
        const model = new EpollModel();
        for (const { op, n, mask } of steps) {
          const event = { events: mask, data: BigInt(n) };
          switch (op) {
            case 'write':
              events[n]!.write(1n);
              model.write(n);
              break;
            case 'read':
              try {
                events[n]!.read();
              } catch (error) {
                if (!isKernelError(error, 'EAGAIN')) throw error;
              }
              model.read(n);
              break;
            case 'watch':
              if (model.isWatched(n)) epoll.modify(fds[n]!, event);
              else epoll.add(fds[n]!, event);
              model.watch(n, mask);
              break;
            case 'forget':
              if (model.isWatched(n)) epoll.remove(fds[n]!);
              model.forget(n);
              break;
            default: {
              const found = epoll.wait({ maxEvents: n, timeoutMs: 0 });
              expect(found.map(({ data, events: ready }) => [Number(data), ready])).toEqual(model.wait(n));
            }
          }
        }
        epoll.file.put();
        FdTable.exit(machine);
      }),
      { numRuns: propertyRuns(150) },
    );
  });
});
