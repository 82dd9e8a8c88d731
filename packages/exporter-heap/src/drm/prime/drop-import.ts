import { Attachment, SgTable } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import type { GemObject } from '../gem/gem-object.ts';
import { GemStruct as G } from '../gem/gem-struct.ts';

/** Gives back what an imported object holds of the buffer. @kernel drm_prime_gem_destroy @locks takes the buffer's resv */
export function dropImport(gem: GemObject): void {
  const { machine, p } = gem;
  const dmabuf = gem.imported!;
  const attachment = new Attachment(dmabuf, G.attachment.get(machine.mem, p));
  const table = SgTable.of(machine, G.table.get(machine.mem, p));
  try {
    attachment.unmapUnlocked(table, table.direction);
    dmabuf.detach(attachment);
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    machine.diag.info('drm-import-lost', `buffer ${dmabuf.label} stays attached: ${error.message}`);
  }
  G.imported.set(machine.mem, p, 0);
  dmabuf.put();
}
