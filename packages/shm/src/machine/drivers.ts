import { UsageError } from '../errors/kernel-error.ts';
import type { Machine } from './machine.ts';

/**
 * Driver operations by name. Shared memory holds the number of a driver; the code behind it must be registered in every
 * thread that may run it.
 */
export class Drivers {
  readonly #machine: Machine;
  readonly #ops = new Map<string, unknown[]>();
  /** Numbers by kind and name; once given, they stay. */
  readonly #ids = new Map<string, Map<string, number>>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Makes `ops` available in this thread as driver `name`; returns its machine-wide number. Registering twice replaces. */
  register(kind: string, name: string, ops: unknown): number {
    const id = this.id(kind, name);
    let list = this.#ops.get(kind);
    if (list === undefined) this.#ops.set(kind, (list = []));
    list[id] = ops;
    return id;
  }

  /** Machine-wide number (1 to 1000) of driver `name`, registered here or not. */
  id(kind: string, name: string): number {
    let ids = this.#ids.get(kind);
    if (ids === undefined) this.#ids.set(kind, (ids = new Map()));
    let id = ids.get(name);
    if (id === undefined) ids.set(name, (id = this.#machine.arena.dense(`driver:${kind}`, name)));
    return id;
  }

  name(kind: string, id: number): string {
    return this.#machine.arena.denseName(`driver:${kind}`, id);
  }

  /**
   * The operations of driver number `id`.
   * @throws UsageError when this thread has not registered that driver: names driver and thread.
   */
  get<T>(kind: string, id: number): T {
    const ops = this.#ops.get(kind)?.[id];
    if (ops === undefined) {
      const known = Object.keys(this.#ops.get(kind) ?? {}).map((n) => this.name(kind, Number(n)));
      throw new UsageError(
        `${kind} driver '${this.name(kind, id) || id}' is not registered in thread '${this.#machine.taskName(this.#machine.tid)}'` +
          ` (task ${this.#machine.tid}); registered there: ${known.join(', ') || 'none'}`,
      );
    }
    return ops as T;
  }

  /** Whether this thread has registered driver number `id`. */
  has(kind: string, id: number): boolean {
    return this.#ops.get(kind)?.[id] !== undefined;
  }
}
