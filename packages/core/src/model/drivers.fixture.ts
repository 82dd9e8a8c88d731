import {
  type Attachment,
  defineExporter,
  defineFenceCallback,
  defineImporter,
  type DmaBuf,
  type ExporterOps,
  registerDrivers,
  SgTable,
} from '@dmabuf-emu/core';
import { RevocableStruct, revocableOf } from '#dist/dma-buf/revocable-exporter.test-worker.js';
import { mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { type ErrnoName, KernelError, type Machine } from '@dmabuf-emu/shm';

export type ExporterKind = 'static' | 'dynamic' | 'revocable';
export type ImporterKind = 'static' | 'plain' | 'stubborn' | 'obedient';

/** Has the next exporter call that it concerns fail, on both sides alike. */
export class FailNext {
  readonly #raise: (code: ErrnoName) => never;
  next: { readonly call: 'attach' | 'pin' | 'map'; readonly code: ErrnoName | null } | undefined;

  constructor(raise: (code: ErrnoName) => never) {
    this.#raise = raise;
  }

  /** True: return nothing. */
  check(call: 'attach' | 'pin' | 'map'): boolean {
    if (this.next?.call !== call) return false;
    const { code } = this.next;
    this.next = undefined;
    return code === null || this.#raise(code);
  }
}

/** What the drivers of one run are told and write down. One run at a time. */
export const run = {
  calls: [] as string[],
  failNext: new FailNext(refuse),
  /** Number of a buffer, by its ref. */
  ids: new Map<number, number>(),
};

function refuse(code: ErrnoName): never {
  throw new KernelError(code, 'exporter', 'asked for');
}

function note(call: string, dmabuf: DmaBuf, attachment?: Attachment): void {
  const who = attachment === undefined ? '' : ` a${attachment.importerPriv}`;
  run.calls.push(`${call} b${run.ids.get(dmabuf.ref)}${who}${dmabuf.resv.heldByMe ? ' locked' : ''}`);
}

const refuseRevoked = (attachment: Attachment, call: string): void => {
  if (revocableOf(attachment.dmabuf).revoked) throw new KernelError('ENODEV', call, 'revoked');
};

function onePage(attachment: Attachment): SgTable | null {
  note('map', attachment.dmabuf, attachment);
  if (run.failNext.check('map')) return null;
  return SgTable.from(attachment.machine, [{ address: 0x10000, length: 4096 }], 'model.map');
}

const basicOps: Omit<ExporterOps, 'name'> = {
  attach(dmabuf, attachment) {
    note('attach', dmabuf, attachment);
    run.failNext.check('attach');
  },
  detach: (dmabuf, attachment) => note('detach', dmabuf, attachment),
  map: onePage,
  unmap(attachment, table) {
    note('unmap', attachment.dmabuf, attachment);
    table.free();
  },
  release: (dmabuf) => note('release', dmabuf),
  beginCpuAccess: (dmabuf) => note('begin', dmabuf),
  endCpuAccess: (dmabuf) => note('end', dmabuf),
};

const pinOps: Pick<ExporterOps, 'pin' | 'unpin'> = {
  pin(attachment) {
    note('pin', attachment.dmabuf, attachment);
    run.failNext.check('pin');
  },
  unpin: (attachment) => note('unpin', attachment.dmabuf, attachment),
};

export const exporters = {
  static: defineExporter({ ...basicOps, name: 'model-static' }),
  dynamic: defineExporter({ ...basicOps, ...pinOps, name: 'model-dynamic' }),
  revocable: defineExporter({
    ...basicOps,
    ...pinOps,
    name: 'model-revocable',
    attach(dmabuf, attachment) {
      basicOps.attach!(dmabuf, attachment);
      if (!attachment.peer2peer || !attachment.isRevocable()) throw new KernelError('EOPNOTSUPP', 'attach', 'deaf');
      refuseRevoked(attachment, 'attach');
    },
    pin(attachment) {
      pinOps.pin!(attachment);
      refuseRevoked(attachment, 'pin');
    },
    map(attachment) {
      const table = onePage(attachment);
      if (table === null) return null;
      try {
        refuseRevoked(attachment, 'map');
      } catch (error) {
        table.free();
        throw error;
      }
      revocableOf(attachment.dmabuf).mapped();
      return table;
    },
    unmap(attachment, table, direction) {
      basicOps.unmap(attachment, table, direction);
      revocableOf(attachment.dmabuf).unmapped();
    },
    release(dmabuf) {
      note('release', dmabuf);
      dmabuf.machine.slab(RevocableStruct).free(dmabuf.priv);
    },
  }),
};

export const importers = {
  plain: defineImporter({ name: 'model-plain', allowPeer2Peer: false }),
  stubborn: defineImporter({
    name: 'model-stubborn',
    allowPeer2Peer: true,
    invalidateMappings: (attachment) => note('invalidate', attachment.dmabuf, attachment),
  }),
  obedient: defineImporter({
    name: 'model-obedient',
    allowPeer2Peer: true,
    invalidateMappings(attachment) {
      note('invalidate', attachment.dmabuf, attachment);
      for (const table of attachment.tables()) attachment.unmap(table, 0);
    },
  }),
};

/** Its argument is its number. */
export const noteCallback = defineFenceCallback({
  name: 'model-note',
  run: (_, callback) => void run.calls.push(`callback ${callback.arg}`),
});

/** Makes everything known to a task. */
export function registerModelDrivers(machine: Machine): void {
  registerDrivers(machine, [...Object.values(exporters), ...Object.values(importers), noteCallback, mockOps as never]);
}
