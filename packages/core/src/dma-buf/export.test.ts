import { DmaBuf, File, ModuleOwner, OpenFlags, Resv } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { exported, recorder } from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('DmaBuf.export (core §1.3)', () => {
  it('makes a buffer with one reference, which the caller owns', () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording, { size: 4096, expName: 'thing', priv: 7 });
    expect(dmabuf).toMatchObject({ refs: 1, size: 4096, expName: 'thing', priv: 7, name: null, damagedBy: 0 });
    dmabuf.put();
    expect(recording.log).toEqual(['release']);
  });

  it('takes the name of the exporter when none is given, and accepts a size of 0', () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording, { size: 0 });
    expect(dmabuf.expName).toBe(recording.exporter.name);
    expect(dmabuf.size).toBe(0);
    dmabuf.put();
  });

  it('keeps sizes beyond 4 GiB exact', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder(), { size: 2 ** 40 + 4096 });
    expect(DmaBuf.of(machine, dmabuf.ref).size).toBe(2 ** 40 + 4096);
    dmabuf.put();
  });

  it.each([['map'], ['unmap'], ['release']] as const)('warns and refuses an exporter without %s', (op) => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_export');
    const ops = { ...recorder().exporter, [op]: undefined } as never;
    expect(() => DmaBuf.export(machine, { ops, priv: 1, size: 1 })).toThrow(kernelError('EINVAL'));
    expect(machine.diag.count('warn')).toBe(1);
  });

  it('warns and refuses a priv of 0, before it looks at pin and unpin', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_export');
    const { exporter } = recorder();
    const ops = { ...exporter, pin: () => {} };
    expect(() => DmaBuf.export(machine, { ops, priv: 0, size: 1 })).toThrow(/priv must not be 0/);
    expect(() => DmaBuf.export(machine, { ops, priv: 1, size: 1 })).toThrow(/pin but not unpin/);
    expect(() => DmaBuf.export(machine, { ops: { ...exporter, unpin: () => {} }, priv: 1, size: 1 })).toThrow(
      /unpin but not pin/,
    );
  });

  it('checks the operations before the module, and the module before memory', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_export');
    const { exporter } = recorder();
    const owner = ModuleOwner.load(machine, 'recorder_mod');
    owner.beginUnload();
    machine.faults.failNth(1);
    expect(() => DmaBuf.export(machine, { ops: exporter, priv: 0, size: 1, owner })).toThrow(kernelError('EINVAL'));
    expect(() => DmaBuf.export(machine, { ops: exporter, priv: 1, size: 1, owner })).toThrow(kernelError('ENOENT'));
    machine.faults.off();
    owner.unload();
  });

  it('holds a reference on the module as long as the buffer lives', () => {
    using machine = testMachine();
    const owner = ModuleOwner.load(machine, 'recorder_mod');
    const dmabuf = exported(machine, recorder(), { owner });
    expect(owner.users).toBe(1);
    expect(() => owner.unload()).toThrow(kernelError('EBUSY'));
    dmabuf.put();
    expect(owner.users).toBe(0);
    owner.unload();
  });

  it('numbers buffers from 1 and never uses a number twice, not even that of a failed export', () => {
    using machine = testMachine();
    const first = exported(machine, recorder());
    expect(first.ino).toBe(1);
    first.put();
    machine.faults.failNth(1, { site: 'dma_buf_export.file' });
    expect(() => exported(machine, recorder())).toThrow(kernelError('ENOMEM'));
    const third = exported(machine, recorder());
    expect(third.ino).toBe(3);
    third.put();
  });

  it('keeps access mode and O_NONBLOCK of the flags and drops the rest', () => {
    using machine = testMachine();
    const flags = OpenFlags.RDWR | OpenFlags.NONBLOCK | OpenFlags.CLOEXEC | 0o100;
    const dmabuf = exported(machine, recorder(), { flags });
    expect(dmabuf.file.flags).toBe(OpenFlags.RDWR | OpenFlags.NONBLOCK);
    dmabuf.put();
  });

  it('reports the machine-wide limit of open files as ENFILE', () => {
    using machine = testMachine();
    const first = exported(machine, recorder());
    File.setLimit(machine, 1);
    expect(() => exported(machine, recorder())).toThrow(kernelError('ENFILE'));
    first.put();
    exported(machine, recorder()).put();
  });

  it('leaves nothing behind, and the module free, whichever allocation fails', () => {
    using machine = testMachine();
    const owner = ModuleOwner.load(machine, 'recorder_mod');
    const { exporter, log } = recorder();
    exported(machine, { exporter, log }).put();
    let failures = 0;
    for (let n = 1; ; n++) {
      log.length = 0;
      machine.faults.failNth(n);
      try {
        exported(machine, { exporter, log }, { owner }).put();
        break;
      } catch (error) {
        expect(error).toEqual(kernelError('ENOMEM'));
        failures++;
      } finally {
        machine.faults.off();
      }
      expect(log).toEqual([]);
      expect(owner.users).toBe(0);
      expect(File.openCount(machine)).toBe(0);
      expect(machine.verify()).toMatchObject({ ok: true });
    }
    expect(failures).toBeGreaterThanOrEqual(3);
    expect(log).toEqual(['release']);
    owner.unload();
  });

  it('shares a reservation object that is given, and does not destroy it', () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    const [a, b] = [exported(machine, recorder(), { resv }), exported(machine, recorder(), { resv })];
    expect(a.resv.ref).toBe(b.resv.ref);
    a.put();
    b.put();
    resv.with(() => expect(resv.heldByMe).toBe(true));
    resv.destroy();
  });

  it('refuses a size that is no whole number of bytes', () => {
    using machine = testMachine();
    expect(() => exported(machine, recorder(), { size: 1.5 })).toThrow(/got 1\.5/);
    expect(() => exported(machine, recorder(), { size: -1 })).toThrow(/got -1/);
  });
});
