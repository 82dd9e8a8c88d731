import type { PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Board } from '../board/board.ts';
import { summarise } from '../board/log-histogram.ts';
import type { RunPlan } from '../plan/run-plan.ts';
import type { StressProgress } from './stress-options.ts';

/** Reads the board for a progress line. */
export class ProgressMeter {
  readonly #board: Board;
  readonly #pci: PciSystem;
  readonly #plan: RunPlan;
  #lastMs = 0;
  #lastOps = 0;

  constructor(board: Board, pci: PciSystem, plan: RunPlan) {
    this.#board = board;
    this.#pci = pci;
    this.#plan = plan;
  }

  read(
    base: Pick<StressProgress, 'phase' | 'elapsedMs' | 'durationMs' | 'opsLimit' | 'kills' | 'violations'>,
  ): StressProgress {
    const roles = [...this.#plan.controllers, ...this.#plan.engines].map(({ role }) => this.#board.role(role));
    const sum = (name: 'revokes' | 'bytesWritten' | 'bytesRead'): number =>
      roles.reduce((total, role) => total + role.counter(name), 0);
    const { ops } = this.#board;
    const seconds = Math.max(1, base.elapsedMs - this.#lastMs) / 1000;
    const opsPerSecond = Math.max(0, ops - this.#lastOps) / seconds;
    [this.#lastMs, this.#lastOps] = [base.elapsedMs, ops];
    return {
      ...base,
      ops,
      opsPerSecond,
      bytes: sum('bytesWritten') + sum('bytesRead'),
      revokes: sum('revokes'),
      revokeP99Ns: summarise(roles.map((role) => role.revokeNs)).p99,
      faults: this.#pci.faults.count(),
    };
  }
}
