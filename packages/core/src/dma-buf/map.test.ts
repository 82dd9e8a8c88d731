import {
  type Attachment,
  defineFenceOps,
  type DmaBuf,
  DmaDirection,
  type ExporterOps,
  Fence,
  fenceContextAlloc,
  fenceCreate,
  ResvUsage,
  SgTable,
} from '@dmabuf-emu/core';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { pendingFence } from '#dist/dma-buf/fences.test-worker.js';
import {
  device,
  exported,
  onePage,
  plainImporter,
  type Recorder,
  recorder,
  revocableImporter,
} from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const TO = DmaDirection.TO_DEVICE;

interface Setup {
  readonly dmabuf: DmaBuf;
  readonly attachment: Attachment;
  readonly log: string[];
}

/** A buffer with one attachment; the log starts after attaching. */
function setup(machine: Machine, recording: Recorder, importer: 'static' | 'plain' | 'revocable' = 'static'): Setup {
  const dmabuf = exported(machine, recording);
  const dev = device(machine);
  const attachment =
    importer === 'static'
      ? dmabuf.attach(dev)
      : dmabuf.attachDynamic(dev, importer === 'plain' ? plainImporter : revocableImporter());
  recording.log.length = 0;
  return { dmabuf, attachment, log: recording.log };
}

function teardown({ dmabuf, attachment }: Setup): void {
  dmabuf.detach(attachment);
  dmabuf.put();
}

function failing(code: 'EBUSY' | 'ENODEV' | 'EIO'): () => never {
  return () => {
    throw new KernelError(code, 'recorder');
  };
}

describe('map and unmap (core §1.9)', () => {
  it('gives a table with addresses and lengths, and takes it back', () => {
    using machine = testMachine();
    const s = setup(machine, recorder());
    const table = s.attachment.mapUnlocked(TO);
    expect(table.entries()).toEqual([{ address: 0x10000, length: 4096 }]);
    expect(table).toMatchObject({ mapped: true, attachment: s.attachment.ref, direction: TO, ownerTask: machine.tid });
    expect(s.attachment.tables().map((t) => t.ref)).toEqual([table.ref]);
    s.attachment.unmapUnlocked(table, TO);
    expect(table.alive).toBe(false);
    expect(s.log).toEqual(['map [resv]', 'unmap [resv]']);
    teardown(s);
  });

  it('makes a table of its own for every map, live at the same time', () => {
    using machine = testMachine();
    const s = setup(machine, recorder());
    const tables = [TO, DmaDirection.FROM_DEVICE, 77 as never].map((dir) => s.attachment.mapUnlocked(dir));
    expect(new Set(tables.map((t) => t.ref)).size).toBe(3);
    expect(s.attachment.tables().map((t) => t.ref)).toEqual(tables.toReversed().map((t) => t.ref));
    for (const table of [tables[1]!, tables[0]!, tables[2]!]) s.attachment.unmapUnlocked(table, table.direction);
    expect(s.attachment.tables()).toEqual([]);
    teardown(s);
  });

  it('counts an exporter that returns the same table twice', () => {
    using machine = testMachine();
    let kept: SgTable | undefined;
    let unmaps = 0;
    const recording = recorder({ map: (attachment) => (kept ??= onePage(attachment)) });
    const exporter = { ...recording.exporter, unmap: () => void unmaps++ };
    const s = setup(machine, { ...recording, exporter });
    const [a, b] = [s.attachment.mapUnlocked(TO), s.attachment.mapUnlocked(TO)];
    expect(a.ref).toBe(b.ref);
    s.attachment.unmapUnlocked(a, TO);
    expect(a.mapped).toBe(true);
    s.attachment.unmapUnlocked(a, TO);
    expect(a.mapped).toBe(false);
    expect(unmaps).toBe(2);
    kept!.free();
    teardown(s);
  });

  it('pins for a static importer of a movable exporter, and for nobody else', () => {
    using machine = testMachine();
    for (const [importer, dynamic, order] of [
      ['static', true, ['pin [resv]', 'map [resv]', 'unmap [resv]', 'unpin [resv]']],
      ['static', false, ['map [resv]', 'unmap [resv]']],
      ['plain', true, ['map [resv]', 'unmap [resv]']],
      ['revocable', true, ['map [resv]', 'unmap [resv]']],
    ] as const) {
      const s = setup(machine, recorder({}, { dynamic }), importer);
      expect(s.dmabuf.isDynamic).toBe(dynamic);
      s.attachment.unmapUnlocked(s.attachment.mapUnlocked(TO), TO);
      expect(s.log).toEqual(order);
      expect(s.attachment.pins).toBe(0);
      teardown(s);
    }
  });

  it('lets static importers wait for KERNEL fences under resv, and dynamic ones see to them themselves', () => {
    using machine = testMachine();
    for (const importer of ['static', 'plain'] as const) {
      const s = setup(machine, recorder({}, { dynamic: true }), importer);
      using right = pendingFence(machine);
      s.dmabuf.resv.with(() => {
        s.dmabuf.resv.reserveFences(1);
        s.dmabuf.resv.addFence(right.fence, ResvUsage.KERNEL);
        if (importer === 'static') {
          machine.interrupt(machine.tid);
          expect(() => s.attachment.map(TO)).toThrow(kernelError('ERESTARTSYS'));
          machine.clearSignal();
          right.signal();
        }
        s.attachment.unmap(s.attachment.map(TO), TO);
      });
      teardown(s);
    }
  });

  it('waits for KERNEL fences without a limit of time, until a signal', () => {
    using machine = testMachine();
    const waits: unknown[] = [];
    const ops = defineFenceOps({
      name: 'test-wait',
      getDriverName: () => 'test',
      getTimelineName: () => 'test',
      wait(fence, interruptible, timeoutMs) {
        waits.push([interruptible, timeoutMs]);
        fence.signalUnowned();
        return timeoutMs;
      },
    });
    const s = setup(machine, recorder());
    const fence = Fence.of(machine, fenceCreate(machine, { ops, context: fenceContextAlloc(machine), seqno: 1 }));
    s.dmabuf.resv.with(() => {
      s.dmabuf.resv.reserveFences(1);
      s.dmabuf.resv.addFence(fence, ResvUsage.KERNEL);
      s.attachment.unmap(s.attachment.map(TO), TO);
    });
    expect(waits).toEqual([[true, Number.POSITIVE_INFINITY]]);
    fence.put();
    teardown(s);
  });

  it('does not wait for fences of users', () => {
    using machine = testMachine();
    const s = setup(machine, recorder());
    using right = pendingFence(machine);
    s.dmabuf.resv.with(() => {
      s.dmabuf.resv.reserveFences(1);
      s.dmabuf.resv.addFence(right.fence, ResvUsage.WRITE);
      s.attachment.unmap(s.attachment.map(TO), TO);
    });
    expect(right.fence.signaledFlag()).toBe(false);
    teardown(s);
  });
});

describe('unwinding of a map (core §1.9, §7.13 d)', () => {
  const cases: { name: string; ops: Partial<ExporterOps>; code: string; order: string[] }[] = [
    { name: 'pin fails', ops: { pin: failing('ENODEV') }, code: 'ENODEV', order: ['pin [resv]'] },
    {
      name: 'map fails',
      ops: { map: failing('EIO') },
      code: 'EIO',
      order: ['pin [resv]', 'map [resv]', 'unpin [resv]'],
    },
    {
      name: 'map returns nothing',
      ops: { map: () => null },
      code: 'ENOMEM',
      order: ['pin [resv]', 'map [resv]', 'unpin [resv]'],
    },
  ];
  it.each(cases)('$name', ({ ops, code, order }) => {
    using machine = testMachine();
    const s = setup(machine, recorder(ops, { dynamic: true }));
    expect(() => s.attachment.mapUnlocked(TO)).toThrow(kernelError(code));
    expect(s.log).toEqual(order);
    expect(s.attachment.tables()).toEqual([]);
    teardown(s);
  });

  it('the wait for KERNEL fences is interrupted', () => {
    using machine = testMachine();
    const s = setup(machine, recorder({}, { dynamic: true }));
    using right = pendingFence(machine);
    s.dmabuf.resv.with(() => {
      s.dmabuf.resv.reserveFences(1);
      s.dmabuf.resv.addFence(right.fence, ResvUsage.KERNEL);
    });
    machine.interrupt(machine.tid);
    expect(() => s.attachment.mapUnlocked(TO)).toThrow(kernelError('ERESTARTSYS'));
    machine.clearSignal();
    expect(s.log).toEqual(['pin [resv]', 'map [resv]', 'unmap [resv]', 'unpin [resv]']);
    teardown(s);
  });

  it.each([
    ['there is no memory for the wrapper', 'ENOMEM', 1],
    ['the table has no entries to wrap', 'EINVAL', 0],
  ])('%s', (_, code, entries) => {
    using machine = testMachine({ quirks: ['core.dmabufDebug'] });
    const unmapped: number[] = [];
    const made: number[] = [];
    const recording = recorder(
      {
        map: (attachment) => {
          const table = SgTable.alloc(attachment.machine, entries, 'recorder.map');
          made.push(table.ref);
          return table;
        },
        unmap: (_attachment, table) => void unmapped.push(table.ref),
      },
      { dynamic: true },
    );
    const s = setup(machine, recording);
    if (entries > 0) machine.faults.failNth(1, { site: 'dma_buf_wrap_sg_table' });
    expect(() => s.attachment.mapUnlocked(TO)).toThrow(kernelError(code));
    expect(s.log).toEqual(['pin [resv]', 'map [resv]', 'unmap [resv]', 'unpin [resv]']);
    expect(unmapped).toEqual(made);
    teardown(s);
  });

  it('warns once when the pin of a mapping is refused with EBUSY', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_map_attachment');
    const s = setup(machine, recorder({ pin: failing('EBUSY') }, { dynamic: true }));
    for (let i = 0; i < 2; i++) expect(() => s.attachment.mapUnlocked(TO)).toThrow(kernelError('EBUSY'));
    expect(machine.diag.count('warn')).toBe(1);
    teardown(s);
  });

  it("undoes the same way when the exporter's own code breaks", () => {
    using machine = testMachine();
    const broken = (): never => {
      throw new TypeError('undefined is not a function');
    };
    const s = setup(machine, recorder({ map: broken }, { dynamic: true }));
    expect(() => s.attachment.mapUnlocked(TO)).toThrow(TypeError);
    expect(s.log).toEqual(['pin [resv]', 'map [resv]', 'unpin [resv]']);
    teardown(s);
  });
});

describe('contract of map and unmap', () => {
  it('is refused without resv, with a violation that names importer and buffer', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'resv-not-held');
    const s = setup(machine, recorder({}, { dynamic: true }), 'plain');
    const table = s.attachment.mapUnlocked(TO);
    for (const [step, call] of [
      ['dma_buf_map_attachment', () => s.attachment.map(TO)],
      ['dma_buf_unmap_attachment', () => s.attachment.unmap(table, TO)],
      ['dma_buf_pin', () => s.attachment.pin()],
      ['dma_buf_unpin', () => s.attachment.unpin()],
    ] as const) {
      expect(call).toThrow(kernelError('EINVAL'));
      expect(machine.diag.records().at(-1)).toMatchObject({
        code: 'resv-not-held',
        importer: 'plain',
        buffer: s.dmabuf.label,
        step,
      });
    }
    expect(s.log).toEqual(['map [resv]']);
    s.attachment.unmapUnlocked(table, TO);
    teardown(s);
  });

  it('reports the second unmap of a table and does nothing', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'double-unmap');
    const s = setup(machine, recorder());
    const table = s.attachment.mapUnlocked(TO);
    s.attachment.unmapUnlocked(table, TO);
    s.attachment.unmapUnlocked(table, TO);
    expect(s.log).toEqual(['map [resv]', 'unmap [resv]']);
    const next = s.attachment.mapUnlocked(TO);
    s.attachment.unmapUnlocked(table, TO);
    expect(next.mapped).toBe(true);
    s.attachment.unmapUnlocked(next, TO);
    expect(machine.diag.count('violation')).toBe(2);
    teardown(s);
  });

  it("reports the unmap of another attachment's table and does nothing", () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'double-unmap');
    const s = setup(machine, recorder());
    const other = s.dmabuf.attachDynamic(device(machine), plainImporter);
    const table = s.attachment.mapUnlocked(TO);
    other.unmapUnlocked(table, TO);
    expect(table.mapped).toBe(true);
    expect(machine.diag.records().at(-1)).toMatchObject({ code: 'double-unmap', importer: 'plain' });
    s.attachment.unmapUnlocked(table, TO);
    s.dmabuf.detach(other);
    teardown(s);
  });

  it('warns and does nothing without a table', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_unmap_attachment');
    const s = setup(machine, recorder());
    s.attachment.unmap(undefined as never, TO);
    expect([machine.diag.count('warn'), s.log]).toEqual([1, []]);
    teardown(s);
  });

  it('reports an exporter that hands out a table which another attachment has mapped', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'table-reused');
    let kept: SgTable | undefined;
    const recording = recorder({ map: (attachment) => (kept ??= onePage(attachment)) });
    const exporter = { ...recording.exporter, unmap: () => {} };
    const s = setup(machine, { ...recording, exporter });
    const other = s.dmabuf.attach(device(machine));
    const table = s.attachment.mapUnlocked(TO);
    expect(() => other.mapUnlocked(TO)).toThrow(kernelError('EINVAL'));
    s.attachment.unmapUnlocked(table, TO);
    kept!.free();
    s.dmabuf.detach(other);
    teardown(s);
  });

  it('notes tables that are not page aligned without blame', () => {
    using machine = testMachine();
    const unaligned = { address: 0x10000, length: 0xffffffff };
    const s = setup(machine, recorder({ map: (a) => SgTable.from(a.machine, [unaligned], 'recorder.map') }));
    s.attachment.unmapUnlocked(s.attachment.mapUnlocked(TO), TO);
    expect(machine.diag.records().at(-1)).toMatchObject({ kind: 'info', code: 'sg-not-aligned' });
    teardown(s);
  });
});

describe('wrapped tables (core §1.10)', () => {
  it('protect the table of the exporter from what an importer does to its view', () => {
    using machine = testMachine({ quirks: ['core.dmabufDebug'] });
    const made: SgTable[] = [];
    const seen: unknown[] = [];
    const recording = recorder({
      map: (attachment) => {
        made.push(onePage(attachment));
        return made.at(-1)!;
      },
      unmap: (_, table) => void seen.push([table.ref, table.entries()]),
    });
    const s = setup(machine, recording);
    const view = s.attachment.mapUnlocked(TO);
    expect(view.ref).not.toBe(made[0]!.ref);
    expect(view.entries()).toEqual(made[0]!.entries());
    expect(view.origNents).toBe(0);
    view.setEntry(0, 0xdead000, 1);
    view.nents = 0;
    s.attachment.unmapUnlocked(view, TO);
    expect(seen).toEqual([[made[0]!.ref, [{ address: 0x10000, length: 4096 }]]]);
    expect(view.alive).toBe(false);
    teardown(s);
  });
});

describe('pin and unpin (core §1.8)', () => {
  it('calls the exporter, without counting its pins, and passes its refusal on', () => {
    using machine = testMachine();
    const s = setup(machine, recorder({}, { dynamic: true }), 'plain');
    s.dmabuf.resv.with(() => {
      s.attachment.pin();
      s.attachment.pin();
      s.attachment.unpin();
      s.attachment.unpin();
    });
    expect(s.log).toEqual(['pin [resv]', 'pin [resv]', 'unpin [resv]', 'unpin [resv]']);
    const refusing = setup(machine, recorder({ pin: failing('EBUSY') }, { dynamic: true }), 'plain');
    refusing.dmabuf.resv.with(() => expect(() => refusing.attachment.pin()).toThrow(kernelError('EBUSY')));
    expect(refusing.attachment.pins).toBe(0);
    teardown(refusing);
    teardown(s);
  });

  it('succeeds with an exporter that never moves its storage', () => {
    using machine = testMachine();
    const s = setup(machine, recorder(), 'plain');
    s.dmabuf.resv.with(() => {
      s.attachment.pin();
      s.attachment.unpin();
    });
    expect(s.log).toEqual([]);
    teardown(s);
  });

  it('warns about static importers and goes on', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_pin');
    machine.diag.expect('warn', 'dma_buf_unpin');
    const s = setup(machine, recorder({}, { dynamic: true }));
    s.dmabuf.resv.with(() => {
      s.attachment.pin();
      s.attachment.unpin();
    });
    expect(s.log).toEqual(['pin [resv]', 'unpin [resv]']);
    expect(machine.diag.count('warn')).toBe(2);
    teardown(s);
  });

  it('reports an unpin too many and does nothing', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'double-unpin');
    const s = setup(machine, recorder({}, { dynamic: true }), 'plain');
    s.dmabuf.resv.with(() => s.attachment.unpin());
    expect(s.log).toEqual([]);
    teardown(s);
  });
});
