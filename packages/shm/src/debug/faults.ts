import { KernelError } from '../errors/kernel-error.ts';
import { HEADER_AT, MachineHeader } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';
import { Random } from '../machine/random.ts';

const H = MachineHeader;
/** Asked for at every allocation: a struct with so many fields is slow to look a field up in. */
const MODE = H.faultMode;
const OFF = 0;
const NTH = 1;
const RATE = 2;

/** Makes allocations fail on purpose, in every thread of the machine. @kernel CONFIG_FAULT_INJECTION, failslab */
export class FaultInjector {
  readonly #machine: Machine;
  #random: Random | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** True while any allocation may fail. */
  get armed(): boolean {
    return MODE.get(this.#machine.mem, HEADER_AT) !== OFF;
  }

  /** True while ww locks inject fake EDEADLK. */
  get wwDeadlock(): boolean {
    return H.wwFaults.get(this.#machine.mem, HEADER_AT) !== 0;
  }

  set wwDeadlock(on: boolean) {
    H.wwFaults.store(this.#machine.mem, HEADER_AT, on ? 1 : 0);
  }

  /** Fails the `n`-th allocation from now (1 is the next), counting only those of `site` when given. */
  failNth(n: number, { site }: { site?: string } = {}): void {
    const { mem } = this.#machine;
    H.faultSite.store(mem, HEADER_AT, site === undefined ? 0 : this.#machine.intern(site));
    H.faultLeft.store(mem, HEADER_AT, n);
    H.faultMode.store(mem, HEADER_AT, NTH);
  }

  /** Fails allocations with probability `p` (0-1). Each task draws from its own stream of `seed`. */
  rate(p: number, seed: number): void {
    const { mem } = this.#machine;
    H.faultRate.store(mem, HEADER_AT, Math.round(p * 0x7fffffff));
    H.faultSeed.store(mem, HEADER_AT, seed | 0);
    H.faultMode.store(mem, HEADER_AT, p > 0 ? RATE : OFF);
  }

  off(): void {
    H.faultMode.store(this.#machine.mem, HEADER_AT, OFF);
  }

  /** Allocations failed on purpose so far. */
  get count(): number {
    return H.faultsInjected.load(this.#machine.mem, HEADER_AT);
  }

  /** Called by every allocation while {@link armed}. @throws KernelError ENOMEM when this one is to fail. */
  check(site: string): void {
    const { mem } = this.#machine;
    const mode = H.faultMode.load(mem, HEADER_AT);
    if (mode === NTH) {
      const only = H.faultSite.load(mem, HEADER_AT);
      if (only !== 0 && only !== this.#machine.intern(site)) return;
      if (H.faultLeft.sub(mem, HEADER_AT, 1) !== 1) return;
      H.faultMode.store(mem, HEADER_AT, OFF);
    } else if (mode === RATE) {
      if (site.startsWith('must:')) return;
      this.#random ??= new Random(H.faultSeed.load(mem, HEADER_AT) ^ (this.#machine.tid * 0x9e3779b1));
      if (this.#random.next32() >>> 1 >= H.faultRate.load(mem, HEADER_AT)) return;
    } else return;
    H.faultsInjected.add(mem, HEADER_AT, 1);
    throw new KernelError('ENOMEM', site, 'injected allocation failure');
  }
}
