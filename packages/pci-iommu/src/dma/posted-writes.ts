import type { DmaPort } from './dma-port.ts';

/** When more writes than this are on their way, all arrive. */
const MOST_PENDING = 64;

interface PendingWrite {
  readonly port: DmaPort;
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * Writes of a function that were sent and have not arrived: the worst that hardware may do with posted writes. They arrive in
 * the order in which they were sent, and before whatever else of the function follows them: another write, an interrupt, the
 * answer to a read. Until then nobody sees them, however the thread tells others that it is done. Only packets with relaxed
 * ordering overtake them.
 *
 * Of one thread's port; lost with the thread, like writes of a device that lost power.
 */
export class PostedWrites {
  #queue: PendingWrite[] = [];

  /** Writes that did not arrive yet. */
  get pending(): number {
    return this.#queue.length;
  }

  /** Sends a write through a port. The bytes are taken as they are now. */
  post(port: DmaPort, address: number, bytes: Uint8Array): void {
    if (port.packet.relaxedOrdering === true) port.tryWrite(address, bytes);
    else this.#queue.push({ port, address, bytes: bytes.slice() });
    if (this.#queue.length > MOST_PENDING) this.flush();
  }

  /** Lets all of them arrive, as a read of any register does. Returns the bytes that were written. */
  flush(): number {
    const queue = this.#queue;
    this.#queue = [];
    return queue.reduce((sum, { port, address, bytes }) => sum + port.tryWrite(address, bytes), 0);
  }
}
