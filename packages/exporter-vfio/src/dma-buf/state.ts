import type { DmaBuf } from '@dmabuf-emu/core';
import { UsageError } from '@dmabuf-emu/shm';
import { ExportedBuffer } from './exported-buffer.ts';
import { vfioPciDriver } from './exporter-ops.ts';

/** Whether a buffer of this exporter is revoked at the moment. Takes no lock. @throws UsageError for another exporter's buffer */
export function isRevoked(dmabuf: DmaBuf): boolean {
  return bufferOf(dmabuf).revocable.revoked;
}

/** How many mappings of a buffer of this exporter are live. Takes no lock. @throws UsageError for another exporter's buffer */
export function liveMappings(dmabuf: DmaBuf): number {
  return Math.max(0, bufferOf(dmabuf).revocable.mapCount - 1);
}

function bufferOf(dmabuf: DmaBuf): ExportedBuffer {
  if (dmabuf.exporter === vfioPciDriver) return ExportedBuffer.of(dmabuf);
  throw new UsageError(`buffer ${dmabuf.label} is of exporter ${dmabuf.exporter.name}, not of ${vfioPciDriver.name}`);
}
