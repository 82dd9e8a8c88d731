import { orUndo } from '@dmabuf-emu/shm';
import { type Attachment, type Device, type DmaBuf, DmaDirection, type SgTable } from '@dmabuf-emu/core';
import { HwGate } from '../hw/hw-gate.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import { DmaWindow } from '../payload/dma-window.ts';
import { GatedSession, type Translations } from '../session/gated-session.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';
import { StaticImportStruct as I } from './static-import-struct.ts';

/**
 * A driver that maps once and keeps the mapping: video capture, devmem TCP, io_uring zero-copy receive. It has no callback,
 * so an exporter that must be able to revoke has to refuse it; with others the mapping pins the buffer.
 */
export class StaticSession extends GatedSession {
  readonly attachment: Attachment;
  readonly #import: number;
  readonly #table: SgTable;

  private constructor(
    attachment: Attachment,
    table: SgTable,
    ref: number,
    hw: HwGate,
    tools: SessionTools,
    slice: Slice,
  ) {
    const window = new DmaWindow(0, table.entries());
    super(attachment.dmabuf, hw, tools.traffic(hw.uid, slice), { translations: hw.program(), window });
    this.attachment = attachment;
    this.#table = table;
    this.#import = ref;
  }

  /** Attaches and maps the whole buffer. @throws KernelError when it is refused */
  static attach(dmabuf: DmaBuf, device: Device, tools: SessionTools, slice: Slice): StaticSession {
    const { machine } = dmabuf;
    const ref = allocImport(dmabuf);
    return orUndo(
      () => {
        const hw = HwGate.alloc(machine, tools.name, dmabuf.ref);
        return orUndo(
          () => {
            const attachment = dmabuf.attach(device);
            return orUndo(
              () =>
                new StaticSession(
                  attachment,
                  attachment.mapUnlocked(DmaDirection.BIDIRECTIONAL),
                  ref,
                  hw,
                  tools,
                  slice,
                ),
              () => dmabuf.detach(attachment),
            );
          },
          () => hw.free(),
        );
      },
      () => freeImport(dmabuf, ref),
    );
  }

  protected miss(): Translations {
    return { translations: this.hw.program(), window: new DmaWindow(0, this.#table.entries()) };
  }

  protected close(): void {
    const { attachment, dmabuf } = this;
    this.hw.zap();
    unlessLost(() => {
      attachment.unmapUnlocked(this.#table, DmaDirection.BIDIRECTIONAL);
      dmabuf.detach(attachment);
    });
    this.hw.free();
    freeImport(dmabuf, this.#import);
  }
}

/** The record of a new session, with a reference on its buffer. */
function allocImport(dmabuf: DmaBuf): number {
  const { machine } = dmabuf;
  const slab = machine.slab(I);
  const ref = slab.alloc('static_import');
  const p = slab.at(ref);
  dmabuf.get();
  I.task.set(machine.mem, p, machine.tid);
  machine.mem.i32[p + I.dmabuf.at] = dmabuf.ref;
  return ref;
}

function freeImport(dmabuf: DmaBuf, ref: number): void {
  dmabuf.machine.slab(I).free(ref, 'static_import');
  dmabuf.put();
}
