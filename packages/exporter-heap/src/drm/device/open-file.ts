import type { File } from '@dmabuf-emu/core';
import { KernelError, type Machine, type Mutex, mutexOf } from '@dmabuf-emu/shm';
import { IdTable } from '../internal/id-table.ts';
import { DrmDevice } from './device.ts';
import { DrmFileStruct as F } from './drm-file-struct.ts';

/** What the calls of this room work on: an open DRM device, as one thread sees it. @kernel drm_file */
export class OpenFile {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;
  readonly device: DrmDevice;
  readonly objects: IdTable;
  readonly syncobjs: IdTable;
  readonly fences: IdTable;
  readonly primeLock: Mutex;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(F).at(ref);
    this.device = DrmDevice.byMinor(machine, F.minor.get(machine.mem, this.p));
    this.objects = new IdTable(machine, this.p, F.objects);
    this.syncobjs = new IdTable(machine, this.p, F.syncobjs);
    this.fences = new IdTable(machine, this.p, F.fences);
    this.primeLock = mutexOf(machine, this.p, F.primeLock);
  }

  static of(file: File): OpenFile {
    return new OpenFile(file.machine, file.priv);
  }

  get isRender(): boolean {
    return F.isRender.get(this.machine.mem, this.p) !== 0;
  }

  /** @throws KernelError EACCES for a render node @kernel drm_ioctl_permit */
  refuseRender(call: string): void {
    if (this.isRender) throw new KernelError('EACCES', call, 'not through a render node');
  }
}
