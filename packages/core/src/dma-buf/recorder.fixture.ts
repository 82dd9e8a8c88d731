import {
  type Attachment,
  defineExporter,
  defineImporter,
  Device,
  DmaBuf,
  type Exporter,
  type ExporterOps,
  type ExportInfo,
  type Importer,
  SgTable,
} from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';

/** Exporter operations that also write down in which order, and with resv held or not, they ran. */
export interface Recorder {
  readonly log: string[];
  readonly exporter: Exporter;
}

const BUFFER_BYTES = 8192;

let recorders = 0;

/** An exporter of one page at 0x10000; `overrides` run after their call is written down. `dynamic` adds pin and unpin. */
export function recorder(
  overrides: Partial<ExporterOps> = {},
  { dynamic = false }: { dynamic?: boolean } = {},
): Recorder {
  const log: string[] = [];
  const note = (op: string, dmabuf: DmaBuf): void => {
    log.push(dmabuf.resv.heldByMe ? `${op} [resv]` : op);
  };
  const pin: Pick<ExporterOps, 'pin' | 'unpin'> = {
    pin(attachment) {
      note('pin', attachment.dmabuf);
      overrides.pin?.(attachment);
    },
    unpin(attachment) {
      note('unpin', attachment.dmabuf);
      overrides.unpin?.(attachment);
    },
  };
  const exporter = defineExporter({
    name: `recorder${++recorders}`,
    attach(dmabuf, attachment) {
      note('attach', dmabuf);
      overrides.attach?.(dmabuf, attachment);
    },
    detach(dmabuf, attachment) {
      note('detach', dmabuf);
      overrides.detach?.(dmabuf, attachment);
    },
    map(attachment, direction) {
      note('map', attachment.dmabuf);
      return overrides.map === undefined ? onePage(attachment) : overrides.map(attachment, direction);
    },
    unmap(attachment, table, direction) {
      note('unmap', attachment.dmabuf);
      overrides.unmap?.(attachment, table, direction);
      table.free();
    },
    release(dmabuf) {
      note('release', dmabuf);
      overrides.release?.(dmabuf);
    },
    ...(dynamic ? pin : {}),
    ...pick(overrides, 'beginCpuAccess', 'endCpuAccess', 'mmap', 'vmap', 'vunmap'),
  });
  return { log, exporter };
}

/** A table of one page. */
export function onePage(attachment: Attachment): SgTable {
  return SgTable.from(attachment.machine, [{ address: 0x10000, length: 4096 }], 'recorder.map');
}

/** A buffer of that exporter. */
export function exported(machine: Machine, { exporter }: Recorder, info: Partial<ExportInfo> = {}): DmaBuf {
  return DmaBuf.export(machine, { ops: exporter, priv: 1, size: BUFFER_BYTES, ...info });
}

let devices = 0;

/** A device of its own. */
export function device(machine: Machine, name = `device${++devices}`): Device {
  return Device.register(machine, { name, kind: 'platform' });
}

/** A dynamic importer without a callback. */
export const plainImporter: Importer = defineImporter({ name: 'plain', allowPeer2Peer: false });

/** A revocable importer that takes bus addresses and does `onInvalidate` when told. */
export function revocableImporter(
  onInvalidate: (attachment: Attachment) => void = () => {},
  name = 'revocable',
): Importer {
  return defineImporter({ name, allowPeer2Peer: true, invalidateMappings: onInvalidate });
}

function pick<K extends keyof ExporterOps>(ops: Partial<ExporterOps>, ...names: K[]): Partial<ExporterOps> {
  return Object.fromEntries(names.flatMap((name) => (ops[name] === undefined ? [] : [[name, ops[name]]])));
}
