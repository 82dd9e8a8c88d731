import type { Machine } from '@dmabuf-emu/shm';

/**
 * Events of this room and their arguments. The first eight are the kernel's; `ino` names the buffer in all of them.
 *
 * | event | a | b | c | d |
 * |---|---|---|---|---|
 * | dma_buf_export, dma_buf_mmap_internal, dma_buf_mmap, dma_buf_put | ino | id of exp_name | size, low 32 bits | size, high bits |
 * | dma_buf_dynamic_attach, dma_buf_detach | ino | attachment | id of dev_name | is_dynamic |
 * | dma_buf_fd, dma_buf_get | ino | fd | | |
 * | dma_buf_map_attachment, dma_buf_unmap_attachment | ino | attachment | table | direction |
 * | dma_buf_pin, dma_buf_unpin | ino | attachment | | |
 * | dma_buf_invalidate_mappings | ino | attachment | importer | |
 * | dma_buf_begin_cpu_access, dma_buf_end_cpu_access | ino | direction | | |
 * | dma_buf_revoke | ino | step 1 to 6, 7 when done | | |
 * | dma_buf_release | ino | | | |
 *
 * @kernel dma_buf:dma_buf_export, dma_buf:dma_buf_mmap_internal, dma_buf:dma_buf_mmap, dma_buf:dma_buf_put,
 *   dma_buf:dma_buf_dynamic_attach, dma_buf:dma_buf_detach, dma_buf:dma_buf_fd, dma_buf:dma_buf_get
 */
export const DMA_BUF_EVENTS = [
  'dma_buf_export',
  'dma_buf_mmap_internal',
  'dma_buf_mmap',
  'dma_buf_put',
  'dma_buf_dynamic_attach',
  'dma_buf_detach',
  'dma_buf_fd',
  'dma_buf_get',
  'dma_buf_map_attachment',
  'dma_buf_unmap_attachment',
  'dma_buf_pin',
  'dma_buf_unpin',
  'dma_buf_invalidate_mappings',
  'dma_buf_begin_cpu_access',
  'dma_buf_end_cpu_access',
  'dma_buf_revoke',
  'dma_buf_release',
] as const;
export type DmaBufEvent = (typeof DMA_BUF_EVENTS)[number];

/** Writes those events to the calling task's ring; does nothing while tracing is off. */
export class DmaBufTrace {
  readonly #machine: Machine;
  readonly #ids = new Map<DmaBufEvent, number>();

  constructor(machine: Machine) {
    this.#machine = machine;
    if (machine.trace.on) for (const event of DMA_BUF_EVENTS) this.#ids.set(event, machine.trace.name(event));
  }

  /** An event of the kernel's class dma_buf. */
  emitBuffer(event: DmaBufEvent, ino: number, expName: number, size: number): void {
    this.emit(event, ino, expName, size | 0, Math.floor(size / 2 ** 32));
  }

  emit(event: DmaBufEvent, ino: number, b = 0, c = 0, d = 0): void {
    const { trace } = this.#machine;
    if (trace.on) trace.event(this.#ids.get(event)!, ino | 0, b, c, d);
  }
}
