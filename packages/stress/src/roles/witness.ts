import {
  defineImporter,
  DmaDirection,
  registerDrivers,
  type Attachment,
  type Device,
  type DmaBuf,
} from '@dmabuf-emu/core';
import { isKernelError, KernelBug, type Machine } from '@dmabuf-emu/shm';

/**
 * An importer that maps nothing for long: it only asks. Its callback has nothing to do; every thread that revokes a buffer
 * must know it.
 */
const witnessImporter = defineImporter({
  name: 'stress-witness',
  allowPeer2Peer: true,
  invalidateMappings: () => undefined,
});

export function registerWitness(machine: Machine): void {
  registerDrivers(machine, [witnessImporter]);
}

/** An attachment of the run's own, to see from outside whether a buffer can be mapped. */
export class Witness {
  readonly #dmabuf: DmaBuf;
  readonly #attachment: Attachment;

  private constructor(dmabuf: DmaBuf, attachment: Attachment) {
    this.#dmabuf = dmabuf;
    this.#attachment = attachment;
  }

  /** @throws what the exporter refuses with */
  static attach(dmabuf: DmaBuf, device: Device): Witness {
    return new Witness(dmabuf, dmabuf.attachDynamic(device, witnessImporter));
  }

  /** Tries to map the buffer, and unmaps it again: the errno that it was refused with, or undefined when it was not. */
  tryMap(): string | undefined {
    return this.#dmabuf.resv.with(() => {
      try {
        this.#attachment.unmap(this.#attachment.map(DmaDirection.BIDIRECTIONAL), DmaDirection.BIDIRECTIONAL);
        return undefined;
      } catch (error) {
        if (!isKernelError(error) || error instanceof KernelBug) throw error;
        return error.code;
      }
    });
  }

  /** Mappings of the buffer that are alive now, whoever made them. */
  liveMaps(): number {
    return this.#dmabuf.resv.with(() =>
      this.#dmabuf.attachments().reduce((sum, attachment) => sum + attachment.tables().length, 0),
    );
  }

  detach(): void {
    this.#dmabuf.detach(this.#attachment);
  }
}
