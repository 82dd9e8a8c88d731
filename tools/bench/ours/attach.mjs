// Sharing a buffer: DmaBuf.export, attach(device) or attachDynamic(device, importer), map and unmap with the reservation
// held, detach. The exporter does what an exporter must: it makes and frees the table.
import { built } from '../lib/not-wired.mjs';
import { nsPerTurn } from '../lib/stats.mjs';
import { createMachine } from './machine.mjs';

const EXPORTS = ['defineExporter', 'defineImporter', 'registerDrivers', 'Device', 'DmaBuf', 'DmaDirection', 'SgTable'];
const BUFFER_BYTES = 65_536;
const IOVA = 2 ** 32;

export async function cycle({ dynamic }) {
  const core = await built('core', EXPORTS);
  const machine = await createMachine();
  const exporter = core.defineExporter({
    name: 'bench',
    map: () => core.SgTable.from(machine, [{ address: IOVA, length: BUFFER_BYTES }], 'bench.map'),
    unmap: (_attachment, table) => table.free('bench.map'),
    release() {},
  });
  const importer = core.defineImporter({ name: 'bench', allowPeer2Peer: true, invalidateMappings() {} });
  core.registerDrivers(machine, [exporter, importer]);
  const device = core.Device.register(machine, { name: 'bench', kind: 'platform' });
  const dmabuf = core.DmaBuf.export(machine, { ops: exporter, priv: 1, size: BUFFER_BYTES });
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) {
      const attachment = dynamic ? dmabuf.attachDynamic(device, importer) : dmabuf.attach(device);
      const table = attachment.mapUnlocked(core.DmaDirection.BIDIRECTIONAL);
      attachment.unmapUnlocked(table, core.DmaDirection.BIDIRECTIONAL);
      dmabuf.detach(attachment);
    }
  };
  const cycle_ns = nsPerTurn(loop, 50_000);
  return { cycle_ns, kcycles_s: 1e6 / cycle_ns };
}
