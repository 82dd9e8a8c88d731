import {
  type Attachment,
  defineImporter,
  type Device,
  type DmaBuf,
  DmaDirection,
  type Importer,
  registerDrivers,
  SgTable,
} from '@dmabuf-emu/core';
import { i32, type Machine, ref, struct } from '@dmabuf-emu/shm';

/** What an importer does when it is told that its mappings are stale. */
export const OnInvalidate = {
  /** Takes everything back before it returns, and maps again at the next use. */
  UNMAP: 1,
  /** The same, and never maps again. */
  DIE: 2,
  /** Only notes it; its owner unmaps later. */
  NOTE: 3,
} as const;
export type OnInvalidate = (typeof OnInvalidate)[keyof typeof OnInvalidate];

/** State of one attachment, for whichever thread runs the callback. */
const SessionStruct = struct('test_importer', {
  behaviour: i32(),
  table: ref(),
  stale: i32(),
  dead: i32(),
  pinned: i32(),
  invalidations: i32(),
});
const S = SessionStruct;

/** Told of each step of a callback that runs in this thread; for recorded sequences. */
let listener: ((step: string) => void) | null = null;

export function onImporterStep(tell: ((step: string) => void) | null): void {
  listener = tell;
}

function invalidateMappings(attachment: Attachment): void {
  const { machine } = attachment;
  const p = machine.slab(S).at(attachment.importerPriv);
  S.invalidations.add(machine.mem, p, 1);
  listener?.('invalidate');
  const table = S.table.get(machine.mem, p);
  switch (S.behaviour.get(machine.mem, p)) {
    case OnInvalidate.NOTE:
      S.stale.store(machine.mem, p, 1);
      return;
    case OnInvalidate.DIE:
      if (S.dead.exchange(machine.mem, p, 1) !== 0) return listener?.('dead already');
      if (table !== 0) takeBack(attachment, p, table);
      if (S.pinned.exchange(machine.mem, p, 0) !== 0) {
        listener?.('unpin');
        attachment.unpin();
      }
      return;
    default:
      if (table === 0) return listener?.('nothing mapped');
      takeBack(attachment, p, table);
  }
}

function takeBack(attachment: Attachment, p: number, table: number): void {
  listener?.('zap');
  S.table.store(attachment.machine.mem, p, 0);
  attachment.unmap(SgTable.of(attachment.machine, table), DmaDirection.BIDIRECTIONAL);
}

/** Can do everything that an exporter of BARs asks for. */
export const revocable: Importer = defineImporter({ name: 'test-revocable', allowPeer2Peer: true, invalidateMappings });
/** Cannot use bus addresses. */
export const pageBound: Importer = defineImporter({
  name: 'test-page-bound',
  allowPeer2Peer: false,
  invalidateMappings,
});
/** Cannot be told that its mappings are stale. */
export const irrevocable: Importer = defineImporter({ name: 'test-irrevocable', allowPeer2Peer: true });

/** Every thread that may run a callback needs this. */
export function registerTestImporters(machine: Machine): void {
  registerDrivers(machine, [revocable, pageBound, irrevocable]);
}

/** One device's use of one buffer. */
export class Session {
  readonly attachment: Attachment;
  readonly #state: number;

  private constructor(attachment: Attachment, state: number) {
    this.attachment = attachment;
    this.#state = state;
  }

  static attach(
    dmabuf: DmaBuf,
    device: Device,
    behaviour: OnInvalidate = OnInvalidate.UNMAP,
    importer: Importer = revocable,
  ): Session {
    const { machine } = dmabuf;
    registerTestImporters(machine);
    const slab = machine.slab(S);
    const state = slab.alloc('test_importer');
    S.behaviour.set(machine.mem, slab.at(state), behaviour);
    try {
      return new Session(dmabuf.attachDynamic(device, importer, state), state);
    } catch (error) {
      slab.free(state);
      throw error;
    }
  }

  /** How often it was told that its mappings are stale. */
  get invalidations(): number {
    return S.invalidations.load(this.#mem, this.#p);
  }

  get mapped(): boolean {
    return S.table.load(this.#mem, this.#p) !== 0;
  }

  get stale(): boolean {
    return S.stale.load(this.#mem, this.#p) !== 0;
  }

  get dead(): boolean {
    return S.dead.load(this.#mem, this.#p) !== 0;
  }

  get table(): SgTable {
    return SgTable.of(this.attachment.machine, S.table.load(this.#mem, this.#p));
  }

  /** Maps the buffer. @throws what the exporter throws */
  map(): SgTable {
    return this.attachment.dmabuf.resv.with(() => this.mapLocked());
  }

  /** {@link map} with resv held. */
  mapLocked(): SgTable {
    const table = this.attachment.map(DmaDirection.BIDIRECTIONAL);
    S.table.store(this.#mem, this.#p, table.ref);
    return table;
  }

  /** Pins and maps, as a revocable pinned importer does. */
  mapPinned(): SgTable {
    return this.attachment.dmabuf.resv.with(() => {
      this.attachment.pin();
      S.pinned.store(this.#mem, this.#p, 1);
      return this.mapLocked();
    });
  }

  /** Ends the mapping, if there is one. */
  unmap(): void {
    this.attachment.dmabuf.resv.with(() => {
      const table = S.table.exchange(this.#mem, this.#p, 0);
      S.stale.store(this.#mem, this.#p, 0);
      if (table !== 0) this.attachment.unmap(SgTable.of(this.attachment.machine, table), DmaDirection.BIDIRECTIONAL);
      if (S.pinned.exchange(this.#mem, this.#p, 0) !== 0) this.attachment.unpin();
    });
  }

  /** Unmaps and detaches. */
  end(): void {
    this.unmap();
    this.attachment.dmabuf.detach(this.attachment);
    this.attachment.machine.slab(S).free(this.#state);
  }

  get #mem(): Machine['mem'] {
    return this.attachment.machine.mem;
  }

  get #p(): number {
    return this.attachment.machine.slab(S).at(this.#state);
  }
}
