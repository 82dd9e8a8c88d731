import {
  type Attachment,
  attachmentOf,
  defineImporter,
  type Device,
  type DmaBuf,
  type Importer,
} from '@dmabuf-emu/core';
import { IommuDomain, PAGE_SIZE, PciSystem, physInterconnect } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, type Mutex, mutexOf, orUndo, taskIsDead } from '@dmabuf-emu/shm';
import { HwGate } from '../hw/hw-gate.ts';
import { evenIfLost } from '../internal/even-if-lost.ts';
import { RefList } from '../internal/ref-list.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import type { AreaPages } from './area-pages.ts';
import { AreaStruct as A, PagesStruct as P, TrackStruct as T } from './iommufd-structs.ts';

/** Every domain has forgotten the buffer when the callback returns. @kernel iopt_revoke_notify */
export const iommufdImporter: Importer = defineImporter({
  name: 'iommufd',
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => IoptPages.ofAttachment(attachment)?.revoke(),
});

/** A buffer as the memory behind an area: its physical range, and where that is mapped. @kernel iopt_pages */
export class IoptPages implements AreaPages {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;
  readonly #lock: Mutex;
  readonly #tracker: RefList;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.#p = machine.slab(P).at(ref);
    this.#lock = mutexOf(machine, this.#p, P.lock);
    this.#tracker = new RefList(machine, T, T.next, this.#p + P.tracker.at);
  }

  /** The pages of an attachment; undefined once they are gone. */
  static ofAttachment({ machine, importerPriv }: Attachment): IoptPages | undefined {
    return machine.slab(P).tryAt(importerPriv) === 0 ? undefined : new IoptPages(machine, importerPriv);
  }

  /**
   * Attaches, pins, and asks the exporter where the buffer is. Takes a reference on the buffer.
   * @param hw - gate of the engine that will use the pages, 0 for none
   * @kernel iopt_map_dmabuf
   * @throws KernelError EOPNOTSUPP when the exporter has no such interface; whatever attach, pin and the exporter throw
   */
  static map(dmabuf: DmaBuf, device: Device, start: number, hw = 0): IoptPages {
    const { machine } = dmabuf;
    const { mem } = machine;
    const slab = machine.slab(P);
    const ref = slab.alloc('iopt_pages');
    const p = slab.at(ref);
    P.task.set(mem, p, machine.tid);
    P.hw.set(mem, p, hw);
    P.start.set(mem, p, start - (start % PAGE_SIZE));
    dmabuf.get();
    mem.i32[p + P.dmabuf.at] = dmabuf.ref;
    const pages = new IoptPages(machine, ref);
    orUndo(
      () => pages.#attach(dmabuf, device),
      () => {
        slab.free(ref, 'iopt_pages');
        dmabuf.put();
      },
    );
    return pages;
  }

  get attachment(): Attachment {
    return attachmentOf(this.machine, P.attachment.get(this.machine.mem, this.#p));
  }

  /** Whether the buffer was taken back; this object never gets it again. */
  get revoked(): boolean {
    return P.physLength.get(this.machine.mem, this.#p) === 0;
  }

  /** Callbacks that found it mapped: at most one. */
  get revokes(): number {
    return P.revokes.load(this.machine.mem, this.#p);
  }

  /** Pairs of area and domain that are tracked. */
  get tracked(): number {
    return this.#lock.with(() => [...this.#tracker.members()].length);
  }

  /**
   * Maps an area in a domain; tracked before it is mapped, so that a revoke finds it. Once revoked, only tracked.
   * @kernel iopt_area_fill_domain
   * @throws KernelError ENOMEM, and what iommu_map throws; nothing is left then
   */
  fill(area: number, domain: IommuDomain): void {
    this.#lock.with(() => {
      const track = this.#track(area, domain.ref);
      if (this.revoked) return;
      orUndo(
        () => this.#mapArea(area, domain),
        () => this.#untrack(track),
      );
    });
  }

  /** Ends an area's mapping in a domain; what a revoke has ended is only untracked. @kernel iopt_area_unfill_domain */
  unfill(area: number, domain: IommuDomain): void {
    const { machine } = this;
    const { mem } = machine;
    this.#evenIfLost(() => {
      for (const track of this.#tracker.members()) {
        const t = machine.slab(T).at(track);
        if (T.area.get(mem, t) !== area || T.domain.get(mem, t) !== domain.ref) continue;
        if (!this.revoked) this.#drained(() => this.#unmapArea(area, domain));
        this.#untrack(track);
      }
    });
  }

  /** The callback's work; a no-op when it was done before. @locks resv held; takes iopt_pages.mutex */
  revoke(): void {
    const { mem } = this.machine;
    this.#evenIfLost(() => {
      if (this.revoked) return;
      this.#drained(() => this.#unmapAll());
      P.physLength.set(mem, this.#p, 0);
      P.revokes.add(mem, this.#p, 1);
    });
  }

  /** Takes every mapping away on behalf of a dead task, whose attachment is gone already, and frees the tracker. */
  reap(): void {
    this.#evenIfLost(() => {
      if (!this.revoked) this.#drained(() => this.#unmapAll());
      for (const track of this.#tracker.members()) this.#untrack(track);
    });
  }

  /** Unpins, detaches and frees it; the tracker must be empty. @kernel iopt_release_pages @locks resv not held */
  put(): void {
    const { machine, attachment } = this;
    const { dmabuf } = attachment;
    if (!this.#tracker.isEmpty) {
      machine.diag.warn('iopt_release_pages', `buffer ${dmabuf.label} is still tracked`);
    }
    unlessLost(() => {
      dmabuf.resv.with(() => attachment.unpin());
      dmabuf.detach(attachment);
    });
    machine.slab(P).free(this.ref, 'iopt_pages');
    dmabuf.put();
  }

  #attach(dmabuf: DmaBuf, device: Device): void {
    const { mem } = this.machine;
    const attachment = dmabuf.attachDynamic(device, iommufdImporter, this.ref);
    P.attachment.set(mem, this.#p, attachment.ref);
    orUndo(
      () =>
        dmabuf.resv.with(() => {
          attachment.pin();
          orUndo(
            () => this.#locate(attachment),
            () => attachment.unpin(),
          );
        }),
      () => dmabuf.detach(attachment),
    );
  }

  /** Asks the exporter for the physical range. @locks resv held */
  #locate(attachment: Attachment): void {
    const { machine } = this;
    const { mem } = machine;
    const locate = physInterconnect(machine, attachment.dmabuf);
    if (locate === null) {
      const { expName } = attachment.dmabuf;
      throw new KernelError('EOPNOTSUPP', 'iopt_map_dmabuf', `exporter ${expName} does not tell physical addresses`);
    }
    const { paddr, len } = locate(attachment);
    P.physAddress.set(mem, this.#p, paddr);
    P.physLength.set(mem, this.#p, len);
  }

  #mapArea(area: number, domain: IommuDomain): void {
    const { machine } = this;
    const { mem } = machine;
    const a = machine.slab(A).at(area);
    const paddr = P.physAddress.get(mem, this.#p) + P.start.get(mem, this.#p);
    domain.map(A.iova.get(mem, a), paddr, A.length.get(mem, a), A.prot.get(mem, a));
  }

  #unmapAll(): void {
    const { machine } = this;
    const { mem } = machine;
    const { map } = PciSystem.of(machine).memory;
    for (const track of this.#tracker.members()) {
      const t = machine.slab(T).at(track);
      this.#unmapArea(T.area.get(mem, t), new IommuDomain(machine, map, T.domain.get(mem, t)));
    }
  }

  /** A domain whose lock was lost with a task keeps the mapping: its function must be isolated. */
  #unmapArea(area: number, domain: IommuDomain): void {
    const { machine } = this;
    const { mem } = machine;
    const a = machine.slab(A).at(area);
    const [iova, length] = [A.iova.get(mem, a), A.length.get(mem, a)];
    let unmapped = 0;
    if (!unlessLost(() => (unmapped = domain.unmap(iova, length)))) {
      machine.diag.info(
        'iommufd-domain-lost',
        `0x${iova.toString(16)}+${length} cannot be unmapped: a task died with the domain's lock`,
      );
    } else if (unmapped !== length && !taskIsDead(machine, A.task.get(mem, a))) {
      machine.diag.warn(
        'iopt_area_unmap_domain_range',
        `${unmapped} of ${length} bytes at 0x${iova.toString(16)} were mapped`,
      );
    }
  }

  #evenIfLost(fn: () => void): void {
    evenIfLost((locked) => this.#lock.with(locked), fn);
  }

  /** Runs `fn` while the engine makes no access. */
  #drained(fn: () => void): void {
    const gate = HwGate.tryOf(this.machine, P.hw.get(this.machine.mem, this.#p));
    if (gate === undefined) fn();
    else gate.drain(fn);
  }

  #track(area: number, domain: number): number {
    const { machine } = this;
    const { mem } = machine;
    const slab = machine.slab(T);
    const track = slab.alloc('iopt_track');
    const t = slab.at(track);
    T.task.set(mem, t, machine.tid);
    T.area.set(mem, t, area);
    T.domain.set(mem, t, domain);
    this.#tracker.push(track);
    return track;
  }

  #untrack(track: number): void {
    this.#tracker.remove(track);
    this.machine.slab(T).free(track, 'iopt_track');
  }
}
