import { DmaBuf, Resv } from '@dmabuf-emu/core';
import { type Machine, orUndo, refDec, refInc, refIncNotZero } from '@dmabuf-emu/shm';
import { Shmem } from '../../memory/index.ts';
import { DrmDevice } from '../device/device.ts';
import { dropImport } from '../prime/drop-import.ts';
import { GemStruct as G } from './gem-struct.ts';
import { addRange, removeRange } from './vma-range.ts';

/** A buffer of a DRM device. A handle over the struct behind `ref`; references are counted. @kernel drm_gem_object */
export class GemObject {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(G).at(ref);
  }

  /**
   * An object of `size` bytes, whole pages, that come into being when they are first needed. One reference.
   * @kernel drm_gem_shmem_create
   * @throws KernelError ENOSPC without bytes, or when no fake offset is left; ENOMEM
   */
  static create(device: DrmDevice, size: number): GemObject {
    const { machine } = device;
    const shmem = Shmem.create(machine, size, { label: 'drm mm object' });
    return orUndo(
      () => {
        const resv = Resv.create(machine, 'drm_gem_object.resv');
        return orUndo(
          () => make(device, size, resv, { shmem: shmem.ref }),
          () => resv.destroy(),
        );
      },
      () => shmem.put(),
    );
  }

  /**
   * An object over a dma-buf, whose reservation object it shares. Takes over the reference on the buffer, attachment and table.
   * @kernel drm_gem_shmem_prime_import_sg_table
   * @throws KernelError ENOMEM; they stay the caller's then.
   */
  static overImport(device: DrmDevice, dmabuf: DmaBuf, attachment: number, table: number): GemObject {
    const { machine } = device;
    const size = Math.ceil(dmabuf.size / 4096) * 4096;
    const gem = make(device, size, dmabuf.resv, { imported: dmabuf.ref });
    G.attachment.set(machine.mem, gem.p, attachment);
    G.table.set(machine.mem, gem.p, table);
    return gem;
  }

  static of(machine: Machine, ref: number): GemObject {
    return new GemObject(machine, ref);
  }

  /** Takes a reference; the caller must own one. @kernel drm_gem_object_get */
  get(): this {
    refInc(this.machine, this.p, G.refs);
    return this;
  }

  /** Takes a reference unless the last one is gone already; tells whether it did. */
  tryGet(): boolean {
    return refIncNotZero(this.machine, this.p, G.refs);
  }

  /** Drops a reference; with the last one the object goes. @kernel drm_gem_object_put @locks resv of an import not held */
  put(): void {
    if (refDec(this.machine, this.p, G.refs)) this.#free();
  }

  get device(): DrmDevice {
    return DrmDevice.byMinor(this.machine, G.minor.get(this.machine.mem, this.p));
  }

  /** Bytes: whole pages. */
  get size(): number {
    return G.size.get(this.machine.mem, this.p);
  }

  get resv(): Resv {
    return Resv.of(this.machine, G.resv.get(this.machine.mem, this.p));
  }

  /** The file that its pages are of, null for an imported object. */
  get shmem(): Shmem | null {
    const ref = G.shmem.get(this.machine.mem, this.p);
    return ref === 0 ? null : Shmem.of(this.machine, ref);
  }

  /** The dma-buf that it was imported from, null when it was not. @kernel drm_gem_is_imported */
  get imported(): DmaBuf | null {
    const ref = G.imported.get(this.machine.mem, this.p);
    return ref === 0 ? null : DmaBuf.of(this.machine, ref);
  }

  /** References held. */
  get refs(): number {
    return G.refs.load(this.machine.mem, this.p);
  }

  /** Handles in all files. @locks object_name_lock held, or a quiet machine */
  get handleCount(): number {
    return G.handleCount.get(this.machine.mem, this.p);
  }

  set handleCount(count: number) {
    G.handleCount.set(this.machine.mem, this.p, count);
  }

  /** Name for GEM_OPEN, 0 for none. @locks object_name_lock held */
  get name(): number {
    return G.name.get(this.machine.mem, this.p);
  }

  set name(name: number) {
    G.name.set(this.machine.mem, this.p, name);
  }

  /** What it was exported as or imported from: holds a reference. @locks object_name_lock held */
  get dmabuf(): DmaBuf | null {
    const ref = G.dmabuf.get(this.machine.mem, this.p);
    return ref === 0 ? null : DmaBuf.of(this.machine, ref);
  }

  set dmabuf(dmabuf: DmaBuf | null) {
    G.dmabuf.set(this.machine.mem, this.p, dmabuf?.ref ?? 0);
  }

  /** @kernel drm_gem_shmem_free */
  #free(): void {
    const { machine, ref, shmem, resv } = this;
    removeRange(this.device, ref);
    if (shmem === null) {
      dropImport(this);
    } else {
      G.shmem.set(machine.mem, this.p, 0);
      shmem.put();
      resv.destroy();
    }
    G.ownerTask.set(machine.mem, this.p, 0);
    machine.slab(G).free(ref, 'drm_gem_object_free');
  }
}

function make(
  device: DrmDevice,
  size: number,
  resv: Resv,
  { shmem = 0, imported = 0 }: { shmem?: number; imported?: number },
): GemObject {
  const { machine } = device;
  const { mem } = machine;
  const slab = machine.slab(G);
  const gem = new GemObject(machine, slab.alloc('drm_gem_object_init'));
  G.minor.set(mem, gem.p, device.driver.minor);
  G.size.set(mem, gem.p, size);
  G.resv.set(mem, gem.p, resv.ref);
  G.ownerTask.set(mem, gem.p, machine.tid);
  orUndo(
    () => addRange(device, gem.ref),
    () => slab.free(gem.ref, 'drm_gem_object_init'),
  );
  G.shmem.set(mem, gem.p, shmem);
  G.imported.set(mem, gem.p, imported);
  G.refs.store(mem, gem.p, 1);
  return gem;
}
