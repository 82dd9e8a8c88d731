import { attachmentOf, DmaBuf, registerDrivers } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { device, exported, plainImporter, recorder, revocableImporter } from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('attach (core §1.7)', () => {
  it('asks the exporter before the attachment is on the list, without resv', () => {
    using machine = testMachine();
    const seen: unknown[] = [];
    const recording = recorder({
      attach: (dmabuf, attachment) => void seen.push([dmabuf.attachments().length, attachment.listed]),
    });
    const dmabuf = exported(machine, recording);
    const attachment = dmabuf.attach(device(machine));
    expect(seen).toEqual([[0, false]]);
    expect(recording.log).toEqual(['attach']);
    expect(attachment.listed).toBe(true);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('lists attachments newest first', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const made = [1, 2, 3].map(() => dmabuf.attach(device(machine)));
    expect(dmabuf.attachments().map((a) => a.ref)).toEqual(made.toReversed().map((a) => a.ref));
    dmabuf.detach(made[1]!);
    expect(dmabuf.attachments().map((a) => a.ref)).toEqual([made[2]!.ref, made[0]!.ref]);
    dmabuf.detach(made[2]!);
    dmabuf.detach(made[0]!);
    expect(dmabuf.attachments()).toEqual([]);
    dmabuf.put();
  });

  it("passes the exporter's refusal on unchanged and leaves nothing", () => {
    using machine = testMachine();
    const recording = recorder({
      attach: () => {
        throw new KernelError('EBUSY', 'recorder.attach', 'out of reach');
      },
    });
    const dmabuf = exported(machine, recording);
    expect(() => dmabuf.attach(device(machine))).toThrow(kernelError('EBUSY'));
    expect(dmabuf.attachments()).toEqual([]);
    expect(recording.log).toEqual(['attach']);
    dmabuf.put();
  });

  it('does not reach the exporter without memory', () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording);
    machine.faults.failNth(1, { site: 'dma_buf_dynamic_attach' });
    expect(() => dmabuf.attach(device(machine))).toThrow(kernelError('ENOMEM'));
    expect(recording.log).toEqual([]);
    dmabuf.put();
  });

  it('warns and refuses without a device', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_dynamic_attach');
    const dmabuf = exported(machine, recorder());
    expect(() => dmabuf.attach(undefined as never)).toThrow(kernelError('EINVAL'));
    dmabuf.put();
  });

  it('keeps the words of exporter and importer, for every handle of the attachment', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder({ attach: (_, attachment) => void (attachment.priv = 42) }));
    const dev = device(machine);
    const attachment = dmabuf.attachDynamic(dev, plainImporter, 7);
    const again = attachmentOf(machine, attachment.ref);
    expect(again).toMatchObject({ priv: 42, importerPriv: 7, ownerTask: machine.tid, importerName: 'plain' });
    expect(again.device.ref).toBe(dev.ref);
    expect(again.dmabuf.ref).toBe(dmabuf.ref);
    expect(again.importerOps).toBe(plainImporter);
    again.importerPriv = 8;
    expect(attachment.importerPriv).toBe(8);
    dmabuf.detach(again);
    dmabuf.put();
  });

  it('tells who is dynamic, takes bus addresses and can be revoked, already in the attach of the exporter', () => {
    using machine = testMachine();
    const seen: boolean[][] = [];
    const recording = recorder({
      attach: (_, a) => void seen.push([a.isDynamic, a.peer2peer, a.isRevocable()]),
    });
    const dmabuf = exported(machine, recording);
    const made = [
      dmabuf.attach(device(machine)),
      dmabuf.attachDynamic(device(machine), plainImporter),
      dmabuf.attachDynamic(device(machine), revocableImporter()),
    ];
    expect(seen).toEqual([
      [false, false, false],
      [true, false, false],
      [true, true, true],
    ]);
    expect(made.map((a) => a.importerOps?.name)).toEqual([undefined, 'plain', 'revocable']);
    for (const attachment of made) dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('does not count as revocable for being pinned', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder({}, { dynamic: true }));
    const attachment = dmabuf.attachDynamic(device(machine), plainImporter);
    dmabuf.resv.with(() => attachment.pin());
    expect(attachment.isRevocable()).toBe(false);
    dmabuf.resv.with(() => attachment.unpin());
    dmabuf.detach(attachment);
    dmabuf.put();
  });
});

describe('detach (core §1.7)', () => {
  it('takes the attachment off the list, then tells the exporter without resv, then frees it', () => {
    using machine = testMachine();
    const seen: unknown[] = [];
    const recording = recorder({
      detach: (dmabuf, attachment) =>
        void seen.push([dmabuf.attachments().length, attachment.listed, attachment.alive]),
    });
    const dmabuf = exported(machine, recording);
    const attachment = dmabuf.attach(device(machine));
    dmabuf.detach(attachment);
    expect(seen).toEqual([[0, false, true]]);
    expect(recording.log).toEqual(['attach', 'detach']);
    expect(attachment.alive).toBe(false);
    dmabuf.put();
  });

  it('warns and does nothing for an attachment of another buffer', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_detach');
    const recording = recorder();
    const [a, b] = [exported(machine, recording), exported(machine, recording)];
    const attachment = a.attach(device(machine));
    b.detach(attachment);
    expect(attachment.alive).toBe(true);
    a.detach(attachment);
    a.put();
    b.put();
  });

  it('reports the second detach of an attachment and harms nothing', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'double-detach');
    const recording = recorder();
    const dmabuf = exported(machine, recording);
    const attachment = dmabuf.attach(device(machine));
    dmabuf.detach(attachment);
    dmabuf.detach(attachment);
    expect(recording.log).toEqual(['attach', 'detach']);
    expect(machine.diag.records().at(-1)).toMatchObject({
      kind: 'violation',
      code: 'double-detach',
      buffer: dmabuf.label,
    });
    const next = dmabuf.attach(device(machine));
    dmabuf.detach(attachment);
    expect(next.alive).toBe(true);
    dmabuf.detach(next);
    dmabuf.put();
  });

  it('reports live mappings and pins, names the importer, and goes on as the kernel does', () => {
    const machine = testMachine();
    machine.diag.expect('violation', 'detach-while-mapped');
    machine.diag.expect('violation', 'use-after-detach');
    const recording = recorder({}, { dynamic: true });
    const dmabuf = exported(machine, recording);
    const attachment = dmabuf.attachDynamic(device(machine, 'gpu0'), revocableImporter());
    const table = dmabuf.resv.with(() => {
      attachment.pin();
      return attachment.map(0);
    });
    dmabuf.detach(attachment);
    expect(recording.log.at(-1)).toBe('detach');
    expect(machine.diag.records().at(-1)).toMatchObject({
      code: 'detach-while-mapped',
      importer: 'revocable',
      buffer: dmabuf.label,
      step: 'dma_buf_detach',
      data: { mapped: 1, pins: 1, task: machine.tid },
    });
    expect(() => attachment.unmapUnlocked(table, 0)).toThrow(kernelError('EINVAL'));
    expect(recording.log.at(-1)).toBe('detach');
    dmabuf.put();
    expect(machine.verify().leaks).toEqual([expect.stringContaining('sg_table')]);
    machine.leave();
  });
});

describe('drivers in other threads', () => {
  it('registers drivers for a thread and refuses what is none', () => {
    using machine = testMachine();
    registerDrivers(machine, [recorder().exporter, plainImporter]);
    expect(() => registerDrivers(machine, [{} as never])).toThrow(/defineExporter/);
    expect(machine.drivers.has('importer', machine.drivers.id('importer', 'plain'))).toBe(true);
    expect(DmaBuf.of(machine, 0).label).toBe('gone');
  });
});
