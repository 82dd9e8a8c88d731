import { Fence, fencePut, noteFenceHolder, type Resv, resvUsageRw } from '@dmabuf-emu/core';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { GpuJobStruct as J, MAX_BEFORE } from './gpu-job-struct.ts';

/**
 * The fences that one job is ordered behind. They are kept in the arena, so that the references of an engine that dies in the
 * middle of a job are found. A handle over the struct behind `ref`.
 */
export class JobOrder {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;

  private constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.#p = machine.slab(J).at(ref);
  }

  /** An empty one. @throws KernelError ENOMEM */
  static alloc(machine: Machine): JobOrder {
    const slab = machine.slab(J);
    const ref = slab.alloc('gpu_job');
    J.task.set(machine.mem, slab.at(ref), machine.tid);
    return new JobOrder(machine, ref);
  }

  /**
   * Notes the unsignalled fences that work which writes (or only reads) must wait for.
   * @locks resv held
   * @throws KernelError EAGAIN when there are more than {@link MAX_BEFORE}
   */
  collect(resv: Resv, write: boolean): void {
    const { i32 } = this.machine.mem;
    const [count, list] = [this.#p + J.count.at, this.#p + J.before.at];
    resv.forEach(resvUsageRw(write), (fence) => {
      if (fence.signaledFlag()) return;
      if (i32[count] === MAX_BEFORE) {
        throw new KernelError('EAGAIN', 'gpu_job', `more than ${MAX_BEFORE} unsignalled fences on the buffer`);
      }
      fence.get();
      i32[list + i32[count]!] = fence.ref;
      i32[count]! += 1;
    });
  }

  /** The fences, in the order of the reservation object. */
  fences(): Fence[] {
    const { mem } = this.machine;
    return Array.from({ length: J.count.get(mem, this.#p) }, (_, i) =>
      Fence.of(this.machine, J.before.get(mem, this.#p, i)),
    );
  }

  /** Drops the references and gives the struct back. */
  free(): void {
    freeJobOrder(this.machine, this.ref);
  }
}

/** Drops what a job of any task holds. */
export function freeJobOrder(machine: Machine, ref: number): void {
  const { i32 } = machine.mem;
  const slab = machine.slab(J);
  const p = slab.at(ref);
  while (i32[p + J.count.at]! > 0) {
    const last = --i32[p + J.count.at]!;
    fencePut(machine, i32[p + J.before.at + last]!);
  }
  slab.free(ref, 'gpu_job');
}

/** Tells the machine's check which references jobs hold. */
export function noteJobFences(machine: Machine): void {
  noteFenceHolder(machine, 'importers.gpu', (hold) => {
    const slab = machine.slab(J);
    for (const ref of slab.live()) {
      const p = slab.at(ref);
      for (let i = 0; i < J.count.get(machine.mem, p); i++) hold(J.before.get(machine.mem, p, i));
    }
  });
}
