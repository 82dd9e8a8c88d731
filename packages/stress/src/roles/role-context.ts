import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { isKernelError, type Machine, Random } from '@dmabuf-emu/shm';
import { Board } from '../board/board.ts';
import type { RoleRecord } from '../board/role-record.ts';
import type { RoleTask } from './role-task.ts';

/** Tries before an operation that runs out of memory is given up. */
const MAX_TRIES = 10_000;

/** What every role works with. */
export class RoleContext {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly board: Board;
  readonly record: RoleRecord;
  readonly random: Random;

  constructor(machine: Machine, { plan, seed, starts }: RoleTask) {
    this.machine = machine;
    this.pci = PciSystem.of(machine);
    this.board = new Board(machine);
    this.record = this.board.role(plan.role);
    this.random = new Random(seed).fork(`${plan.name}.${starts}`);
  }

  /** Runs `fn` until it does not fail for want of memory, as a patient user does. */
  patiently<T>(fn: () => T): T {
    for (let tries = 1; ; tries++) {
      try {
        return fn();
      } catch (error) {
        if (!isKernelError(error, 'ENOMEM') || tries === MAX_TRIES) throw error;
        this.record.count('nomem');
        this.record.doing('out of memory, trying again');
      }
    }
  }

  /** Runs `fn` as one bar of the trace. */
  traced<T>(name: string, argument: number, fn: () => T): T {
    const { trace } = this.machine;
    if (!trace.on) return fn();
    trace.event(trace.name(`${name}:begin`), argument);
    try {
      return fn();
    } finally {
      trace.event(trace.name(`${name}:end`));
    }
  }
}
