import { type Attachment, FdTable, File } from '@dmabuf-emu/core';
import { isKernelError, Random } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { device, exported, plainImporter, recorder, revocableImporter } from './recorder.fixture.ts';

describe('a whole life with the n-th allocation failing, for every n', () => {
  it.each([[[]], [['core.dmabufDebug']]])('leaves nothing behind (quirks %j)', (quirks) => {
    using machine = testMachine({ quirks });
    const recording = recorder({}, { dynamic: true });
    const dev = device(machine);
    let failures = 0;
    for (let n = 1; ; n++) {
      const undo: (() => void)[] = [];
      machine.faults.failNth(n);
      let complete = false;
      let extra: (() => void) | undefined;
      try {
        const dmabuf = exported(machine, recording);
        undo.push(() => dmabuf.put());
        dmabuf.get();
        extra = () => dmabuf.put();
        const fd = dmabuf.fd();
        extra = undefined;
        undo.push(() => FdTable.current(machine).close(fd));
        const attachment = dmabuf.attach(dev);
        undo.push(() => dmabuf.detach(attachment));
        const table = attachment.mapUnlocked(0);
        undo.push(() => attachment.unmapUnlocked(table, 0));
        complete = true;
      } catch (error) {
        expect(isKernelError(error, 'ENOMEM')).toBe(true);
        failures++;
        if (extra !== undefined) undo.push(extra);
      } finally {
        machine.faults.off();
      }
      for (const step of undo.toReversed()) step();
      expect(File.openCount(machine)).toBe(0);
      expect(machine.verify()).toMatchObject({ ok: true, counts: { dma_buf: 0, dma_buf_attachment: 0, sg_table: 0 } });
      if (complete) break;
    }
    expect(failures).toBeGreaterThanOrEqual(6);
  });
});

describe('random operations against a plain model', () => {
  it.each([1, 2, 3, 4, 5, 6])('agree on lists, counts and results (seed %i)', (seed) => {
    using machine = testMachine();
    const random = new Random(seed);
    const recording = recorder({}, { dynamic: true });
    const devices = [0, 1, 2].map(() => device(machine));
    const importer = revocableImporter();
    const dmabuf = exported(machine, recording);
    const model: { attachment: Attachment; tables: number[]; pins: number; dynamic: boolean }[] = [];
    let refs = 1;
    for (let step = 0; step < 400; step++) {
      const entry = model.length > 0 ? random.pick(model) : undefined;
      switch (random.below(8)) {
        case 0: {
          const kind = random.below(3);
          const dev = random.pick(devices);
          const attachment =
            kind === 0 ? dmabuf.attach(dev) : dmabuf.attachDynamic(dev, kind === 1 ? plainImporter : importer);
          model.unshift({ attachment, tables: [], pins: 0, dynamic: kind !== 0 });
          break;
        }
        case 1:
          if (entry === undefined || entry.tables.length > 0 || entry.pins > 0) break;
          dmabuf.detach(entry.attachment);
          model.splice(model.indexOf(entry), 1);
          break;
        case 2:
        case 3:
          if (entry !== undefined) entry.tables.unshift(entry.attachment.mapUnlocked(0).ref);
          break;
        case 4: {
          if (entry === undefined || entry.tables.length === 0) break;
          const ref = random.pick(entry.tables);
          const table = entry.attachment.tables().find((t) => t.ref === ref)!;
          entry.attachment.unmapUnlocked(table, 0);
          entry.tables.splice(entry.tables.indexOf(ref), 1);
          break;
        }
        case 5:
          if (entry === undefined || !entry.dynamic) break;
          dmabuf.resv.with(() =>
            entry.pins > 0 && random.chance(0.5) ? entry.attachment.unpin() : entry.attachment.pin(),
          );
          entry.pins = entry.attachment.pins;
          break;
        case 6:
          dmabuf.get();
          refs++;
          break;
        default:
          if (refs > 1) {
            dmabuf.put();
            refs--;
          }
      }
      expect(dmabuf.refs).toBe(refs);
      expect(dmabuf.attachments().map((a) => a.ref)).toEqual(model.map((m) => m.attachment.ref));
      for (const m of model) expect(m.attachment.tables().map((t) => t.ref)).toEqual(m.tables);
    }
    const outstanding = (op: string, inverse: string) =>
      recording.log.filter((l) => l.startsWith(`${op} `)).length -
      recording.log.filter((l) => l.startsWith(`${inverse} `)).length;
    const maps = model.reduce((sum, m) => sum + m.tables.length, 0);
    const staticMaps = model.reduce((sum, m) => sum + (m.dynamic ? 0 : m.tables.length), 0);
    expect(outstanding('map', 'unmap')).toBe(maps);
    expect(outstanding('pin', 'unpin')).toBe(model.reduce((sum, m) => sum + m.pins, 0) + staticMaps);
    for (const { attachment, pins } of model) {
      for (const table of attachment.tables()) attachment.unmapUnlocked(table, 0);
      dmabuf.resv.with(() => {
        for (let n = 0; n < pins; n++) attachment.unpin();
      });
      dmabuf.detach(attachment);
    }
    for (; refs > 0; refs--) dmabuf.put();
    expect(recording.log.at(-1)).toBe('release');
  });
});
