import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { laxExporter, rdmaLike, vfioLike } from '#dist/testing/bar-exporter.test-worker.js';
import { attach, buffer, pciOf, steps } from '#dist/testing/rig.test-worker.js';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

// spec: drivers §5.7, core §5.4
describe.each(['pinned', 'static'] as const)('a %s importer', (kind) => {
  it('is refused by an exporter that must be able to take its memory back', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine, vfioLike);
    expect(() => attach(kind, dmabuf)).toThrow(kernelError('EOPNOTSUPP'));
    expect(dmabuf.refs).toBe(1);
    expect(dmabuf.attachments()).toEqual([]);
    dmabuf.put();
  });

  it('is refused by memory that cannot be pinned', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine, rdmaLike);
    expect(() => attach(kind, dmabuf)).toThrow(kernelError('EOPNOTSUPP'));
    expect(dmabuf.refs).toBe(1);
    dmabuf.put();
  });

  it('works with others, and hears nothing of a revoke', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine, laxExporter);
    const session = attach(kind, dmabuf);
    expect(session.attachment.isRevocable()).toBe(false);
    dmabuf.resv.with(() => dmabuf.invalidateMappings());
    expect(session.mapped).toBe(true);
    expect(steps(session, 10)).toMatchObject({ outcome: 'ok', mismatches: [] });
    session.detach();
    expect(session.mapped).toBe(false);
    dmabuf.put();
  });
});
