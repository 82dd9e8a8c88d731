import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { HwGate } from '../hw/hw-gate.ts';
import { umemGetPinnedRevocableAndLock } from '../rdma-umem/pinned-umem.ts';
import { checkRegistration, type RegistrationInfo } from '../rdma-umem/registration.ts';
import { registerRevokeHook, revokeHookId } from '../rdma-umem/revoke-hooks.ts';
import { Umem, type UmemInfo } from '../rdma-umem/umem.ts';
import type { Translations } from '../session/gated-session.ts';
import { RevocableMrStruct as M } from './revocable-mr-struct.ts';

const HOOK = 'revocable-mr';

/** A new region and the addresses that its hardware works with. */
export interface RegisteredRevocableMr {
  readonly mr: RevocableMr;
  readonly translations: Translations;
}

/** A memory region over a pinned buffer; once revoked it never works again. @kernel irdma_mr */
export class RevocableMr {
  readonly machine: Machine;
  readonly ref: number;
  readonly umem: Umem;
  readonly hw: HwGate;

  private constructor(umem: Umem, ref: number, hw: HwGate) {
    this.machine = umem.machine;
    this.ref = ref;
    this.umem = umem;
    this.hw = hw;
  }

  /** Lets the calling thread stop regions of other threads. */
  static registerHook(machine: Machine): void {
    registerRevokeHook(machine, HOOK, (umem) => RevocableMr.#revoked(umem));
  }

  /**
   * Pins and maps a window and makes it a region. The reservation is held from the pin until the callback is in place.
   * @kernel irdma_reg_user_mr_dmabuf
   * @throws KernelError EINVAL, ENOMEM; the exporter's errno. Nothing is left then.
   */
  static reg(machine: Machine, name: string, info: UmemInfo & RegistrationInfo): RegisteredRevocableMr {
    checkRegistration(info);
    const umem = umemGetPinnedRevocableAndLock(machine, info);
    return orUndo(
      () =>
        orUndo(
          () => {
            const made = setUp();
            umem.revokeUnlock();
            return made;
          },
          () => umem.revokeUnlock(),
        ),
      () => umem.release(),
    );

    function setUp(): RegisteredRevocableMr {
      const hw = HwGate.alloc(machine, name, umem.dmabuf.ref);
      const slab = machine.slab(M);
      const ref = orUndo(
        () => slab.alloc('revocable_mr'),
        () => hw.free(),
      );
      const p = slab.at(ref);
      M.task.set(machine.mem, p, machine.tid);
      M.umem.set(machine.mem, p, umem.ref);
      M.hw.set(machine.mem, p, hw.ref);
      const translations = { translations: hw.program(), window: umem.window() };
      umem.setRevokeLocked(revokeHookId(machine, HOOK), ref);
      return { mr: new RevocableMr(umem, ref, hw), translations };
    }
  }

  /** Whether it was revoked; for good. */
  get revoked(): boolean {
    return this.umem.revoked;
  }

  /** Times that the hardware's key was invalidated: 0 or 1. */
  get revokes(): number {
    return M.revokes.load(this.machine.mem, this.#p);
  }

  /** Gives the memory back first, while the key is still reserved, then the key. @kernel irdma_dereg_mr */
  dereg(): void {
    const { machine, umem, hw } = this;
    umem.release();
    machine.slab(M).free(this.ref, 'revocable_mr');
    hw.free();
  }

  get #p(): number {
    return this.machine.slab(M).at(this.ref);
  }

  /** Invalidates the key; the hardware has stopped when it returns. @kernel irdma_umem_dmabuf_revoke */
  static #revoked(umem: Umem): void {
    const { machine } = umem;
    const p = machine.slab(M).tryAt(umem.priv);
    if (p === 0) return;
    M.revokes.add(machine.mem, p, 1);
    HwGate.tryOf(machine, M.hw.get(machine.mem, p))?.zap();
  }
}
