import type { Machine, TraceEvent } from '@dmabuf-emu/shm';

/** Makes the lines that the kernel's own trace events have (system `dma_buf`, without task and time). @kernel TRACE_EVENT */
export class DmaBufTraceText {
  readonly #machine: Machine;
  /** `exp_name= size= ino=` of each buffer that was met. */
  readonly #buffers = new Map<number, string>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The line of an event; undefined when it is none of the kernel's eight. To be asked for all events in their order. */
  line({ name, args: [ino, b, c, d] }: TraceEvent): string | undefined {
    switch (name) {
      case 'dma_buf_export':
      case 'dma_buf_mmap_internal':
      case 'dma_buf_mmap':
      case 'dma_buf_put': {
        const size = d * 2 ** 32 + (c >>> 0);
        const text = `exp_name=${this.#machine.string(b)} size=${size} ino=${ino}`;
        this.#buffers.set(ino, text);
        return `${name}: ${text}`;
      }
      case 'dma_buf_dynamic_attach':
      case 'dma_buf_detach': {
        const attachment = (b >>> 0).toString(16).padStart(16, '0');
        return `${name}: ${this.#buffer(ino)} attachment:${attachment} is_dynamic=${d} dev_name=${this.#machine.string(c)}`;
      }
      case 'dma_buf_fd':
      case 'dma_buf_get':
        return `${name}: ${this.#buffer(ino)} fd=${b}`;
      default:
        return undefined;
    }
  }

  /** A buffer whose export the ring has lost is known by its number only. */
  #buffer(ino: number): string {
    return this.#buffers.get(ino) ?? `exp_name=? size=? ino=${ino}`;
  }
}
