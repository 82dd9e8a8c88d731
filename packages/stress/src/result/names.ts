import type { PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import type { Board } from '../board/board.ts';
import type { RunPlan } from '../plan/run-plan.ts';
import { isTaskOf } from '../roles/role-task.ts';
import type { Names } from './violations.ts';

/** Names of a run's engines and buffers, from its plan and its board. */
export class BoardNames implements Names {
  readonly #machine: Machine;
  readonly #board: Board;
  readonly #plan: RunPlan;
  readonly #engines = new Map<number, string>();

  constructor(machine: Machine, board: Board, pci: PciSystem, plan: RunPlan) {
    this.#machine = machine;
    this.#board = board;
    this.#plan = plan;
    for (const { bdf, name } of plan.engines) {
      const { index } = pci.function(bdf);
      const others = this.#engines.get(index);
      this.#engines.set(index, others === undefined ? name : `${others}/${name}`);
    }
  }

  engineOn(functionIndex: number): string | undefined {
    return this.#engines.get(functionIndex);
  }

  taskOf(task: number): string | undefined {
    return this.#plan.engines.find(({ name }) => isTaskOf(name, this.#machine.taskName(task)))?.name;
  }

  bufferOf(label: string): string {
    const ino = Number(/#(\d+)$/.exec(label)?.[1] ?? Number.NaN);
    const place = Number.isInteger(ino) ? this.#board.placeOf(ino) : undefined;
    return place === undefined ? label : (this.#plan.buffers[place]?.name ?? label);
  }

  isLost(ino: number): boolean {
    return this.#board.isLost(ino);
  }

  blamed(seq: number): string | undefined {
    const place = this.#board.blamed(seq);
    return place === undefined ? undefined : this.#plan.buffers[place]?.name;
  }
}
