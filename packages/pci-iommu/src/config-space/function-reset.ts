import { KernelError, type Machine, type Mutex, mutexOf, orUndo, syncPoint } from '@dmabuf-emu/shm';
import type { ConfigSpace } from './config-space.ts';
import { FunctionStruct } from './function-state.ts';
import { PowerState } from './registers.ts';

const F = FunctionStruct;

/** How a function can be reset by itself. */
export type ResetMethod = 'flr' | 'bus';

/**
 * Resets of one function: what the hardware does, and what the kernel does around it.
 *
 * While a reset is under way the function answers nothing and its registers read as all ones; afterwards command register
 * and BARs are zero until software restores them. Memory behind the BARs keeps its content.
 */
export class FunctionReset {
  readonly config: ConfigSpace;
  /** Serialises resets. @kernel device_lock */
  readonly deviceLock: Mutex;
  /** The ways to reset it, best first. */
  readonly methods: readonly ResetMethod[];
  readonly #machine: Machine;
  readonly #p: number;

  constructor(machine: Machine, config: ConfigSpace, p: number, methods: readonly ResetMethod[]) {
    this.#machine = machine;
    this.config = config;
    this.#p = p;
    this.methods = methods;
    this.deviceLock = mutexOf(machine, p, F.deviceLock);
  }

  /** How many resets the function has had. */
  get count(): number {
    return F.resets.load(this.#machine.mem, this.#p);
  }

  /** The function stops answering. Every `begin` needs its {@link end}; a bus reset may surround a function level reset. */
  begin(): void {
    this.config.change(() => {
      F.inReset.add(this.#machine.mem, this.#p, 1);
      this.config.clearForReset();
    });
  }

  /** The function answers again, with cleared registers. */
  end(): void {
    this.config.change(() => {
      if (F.inReset.get(this.#machine.mem, this.#p) > 0) F.inReset.sub(this.#machine.mem, this.#p, 1);
      F.resets.add(this.#machine.mem, this.#p, 1);
    });
  }

  /** The hardware's function level reset, start to end. @kernel pcie_flr */
  functionLevelReset(): void {
    this.begin();
    syncPoint('pci.flr', this.#p);
    this.end();
  }

  /** @kernel pci_save_state */
  saveState(): void {
    const { mem } = this.#machine;
    this.config.change(() => {
      this.config.savedRegisters.forEach((offset, i) => F.saved.set(mem, this.#p, i, this.config.peek(offset, 4)));
      F.savedValid.store(mem, this.#p, 1);
    });
  }

  /** Writes back what {@link saveState} saved; nothing without. The function comes back in D0. @kernel pci_restore_state */
  restoreState(): void {
    const { mem } = this.#machine;
    this.config.change(() => {
      if (F.savedValid.get(mem, this.#p) === 0) return;
      this.config.savedRegisters.forEach((offset, i) => this.config.restore(offset, F.saved.get(mem, this.#p, i)));
      F.savedValid.store(mem, this.#p, 0);
    });
    this.config.powerState = PowerState.D0;
    this.config.restored();
  }

  /**
   * Saves the registers, resets the function, restores them. The caller holds {@link deviceLock}.
   * @kernel pci_reset_function_locked
   * @throws KernelError ENOTTY when there is no way to reset it
   */
  resetLocked(): void {
    if (this.methods.length === 0) {
      throw new KernelError(
        'ENOTTY',
        'pci_reset_function',
        `${this.config.fn.bdf} has neither FLR nor a bus of its own`,
      );
    }
    this.config.powerState = PowerState.D0;
    this.saveState();
    this.functionLevelReset();
    this.restoreState();
  }

  /** @kernel pci_reset_function @throws KernelError ENOTTY */
  reset(): void {
    this.deviceLock.with(() => this.resetLocked());
  }

  /** @kernel pci_try_reset_function @throws KernelError ENOTTY, EAGAIN when somebody holds the device lock */
  tryReset(): void {
    if (this.methods.length > 0 && !this.deviceLock.tryLock()) {
      throw new KernelError('EAGAIN', 'pci_try_reset_function', `the device lock of ${this.config.fn.bdf} is held`);
    }
    orUndo(
      () => this.resetLocked(),
      () => {
        if (this.deviceLock.heldByMe) this.deviceLock.unlock();
      },
    );
    this.deviceLock.unlock();
  }
}

/**
 * Resets functions that share a bus or slot, all at the same time: none answers while any of them is in reset. Registers are
 * saved before and restored after. The caller holds their device locks.
 * @kernel pci_reset_bus
 */
export function resetTogether(resets: readonly FunctionReset[]): void {
  for (const reset of resets) reset.saveState();
  for (const reset of resets) reset.begin();
  syncPoint('pci.bus-reset');
  for (const reset of resets) reset.end();
  for (const reset of resets) reset.restoreState();
}
