import {
  getPage,
  hugePagesUsed,
  pagePaddr,
  pageRefs,
  putPage,
  setHugePageLimit,
  Shmem,
} from '@dmabuf-emu/exporter-heap';
import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errno, rig } from '../testing/rig.fixture.ts';

const PAGE = 4096;

describe('Shmem', () => {
  it('has no pages until they are asked for, and gives them back at the end', () => {
    using r = rig();
    const shmem = Shmem.create(r.machine, 8 * PAGE);
    expect(shmem.size).toBe(8 * PAGE);
    expect(shmem.peek(3)).toBe(0);
    expect([...shmem.read(0, 3)]).toEqual([0, 0, 0]);
    expect(r.usedPages).toBe(0);
    const page = shmem.page(3);
    expect(shmem.page(3)).toBe(page);
    expect(shmem.present()).toEqual([3]);
    expect(r.usedPages).toBe(1);
    expect(() => shmem.page(8)).toThrow(errno('EINVAL'));
    expect(() => shmem.page(-1)).toThrow(errno('EINVAL'));
    shmem.get().put();
    shmem.put();
    expect(r.usedPages).toBe(0);
  });

  it('holds bytes where a device finds them', () => {
    using r = rig({ iommu: false });
    const shmem = Shmem.create(r.machine, 2 * PAGE);
    expect(shmem.write(PAGE - 2, Uint8Array.of(1, 2, 3, 4))).toBe(4);
    expect([...shmem.read(PAGE - 2, 4)]).toEqual([1, 2, 3, 4]);
    const paddr = pagePaddr(r.machine, shmem.page(1));
    expect([...r.nic.dma.read(paddr, 2)]).toEqual([3, 4]);
    r.nic.dma.write(paddr, Uint8Array.of(9));
    expect([...r.machine.mem.read(shmem.fault(1), 2)]).toEqual([9, 4]);
    shmem.put();
  });

  it('zeroes pages that somebody had before', () => {
    using r = rig();
    for (let i = 0; i < 3; i++) {
      const shmem = Shmem.create(r.machine, PAGE);
      expect(shmem.read(0, PAGE).every((byte) => byte === 0)).toBe(true);
      expect([...r.machine.mem.read(shmem.fault(0), 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
      shmem.write(0, new Uint8Array(PAGE).fill(0xff));
      shmem.put();
    }
  });

  it('keeps a pinned page alive when it gives it up', () => {
    using r = rig();
    const shmem = Shmem.create(r.machine, 2 * PAGE);
    shmem.write(0, Uint8Array.of(7));
    const page = shmem.pin(0);
    expect(pageRefs(r.machine, page)).toBe(2);
    shmem.punch(0, PAGE);
    expect([...shmem.read(0, 1)]).toEqual([0]);
    expect(r.pci.memory.cpuRead(pagePaddr(r.machine, page), 1)).toEqual(Uint8Array.of(7));
    shmem.write(0, Uint8Array.of(8));
    expect(shmem.page(0)).not.toBe(page);
    shmem.put();
    expect(r.usedPages).toBe(1);
    getPage(r.machine, page);
    putPage(r.machine, page);
    putPage(r.machine, page);
    expect(r.usedPages).toBe(0);
  });

  it('reads and writes as a plain array of bytes does, through holes and changes of size', () => {
    const size = 5 * PAGE;
    const at = fc.nat(size);
    const step = fc.oneof(
      fc.record({
        op: fc.constant('write' as const),
        at,
        length: fc.nat(2 * PAGE),
        value: fc.integer({ min: 1, max: 255 }),
      }),
      fc.record({ op: fc.constant('punch' as const), at, length: fc.nat(3 * PAGE), value: fc.constant(0) }),
      fc.record({ op: fc.constant('resize' as const), at, length: fc.nat(size), value: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        using r = rig();
        const shmem = Shmem.create(r.machine, size);
        let model = new Uint8Array(size);
        for (const { op, at: offset, length, value } of steps) {
          if (op === 'resize') {
            const grown = new Uint8Array(length);
            grown.set(model.subarray(0, length));
            model = grown;
            shmem.resize(length);
          } else {
            const end = Math.min(offset + length, model.length);
            if (offset >= end) continue;
            model.fill(value, offset, end);
            if (op === 'write') expect(shmem.write(offset, model.slice(offset, end))).toBe(end - offset);
            else shmem.punch(offset, end - offset);
          }
          expect(Buffer.compare(shmem.read(0, shmem.size), model)).toBe(0);
          expect(shmem.pages).toBe(r.usedPages);
        }
        shmem.put();
      }),
      { numRuns: propertyRuns(40) },
    );
  });

  it('writes what fits when memory ends', () => {
    using r = rig({ ramBytes: 4 * PAGE });
    const shmem = Shmem.create(r.machine, 8 * PAGE);
    // Physical page 0 is never given out.
    expect(shmem.write(0, new Uint8Array(8 * PAGE).fill(1))).toBe(3 * PAGE);
    expect(() => shmem.write(4 * PAGE, Uint8Array.of(1))).toThrow(errno('ENOMEM'));
    shmem.put();
  });

  it('is whole again when the n-th allocation fails, for every n', () => {
    using r = rig();
    setHugePageLimit(r.machine, 2);
    for (const huge of [false, true]) {
      for (let n = 1; ; n++) {
        const before = r.machine.faults.count;
        r.machine.faults.failNth(n);
        let shmem: Shmem | undefined;
        try {
          shmem = Shmem.create(r.machine, 2 ** 21, { huge });
          shmem.page(511);
        } catch (error) {
          expect(error).toEqual(errno('ENOMEM'));
        }
        const failed = r.machine.faults.count > before;
        r.machine.faults.off();
        if (failed) expect(r.usedPages).toBe(0);
        shmem?.put();
        if (failed) continue;
        expect(n).toBeGreaterThan(4);
        break;
      }
      expect(r.machine.verify().ok).toBe(true);
    }
    expect(hugePagesUsed(r.machine)).toBe(0);
  });

  it('takes huge pages from their pool, and gives them up as a whole', () => {
    using r = rig();
    setHugePageLimit(r.machine, 1);
    const shmem = Shmem.create(r.machine, 2 ** 22, { huge: true });
    const page = shmem.page(5);
    expect(pagePaddr(r.machine, page)).toBe(pagePaddr(r.machine, shmem.page(0)) + 5 * PAGE);
    expect(pagePaddr(r.machine, shmem.page(0)) % 2 ** 21).toBe(0);
    expect(hugePagesUsed(r.machine)).toBe(1);
    expect(() => shmem.page(512)).toThrow(errno('ENOMEM'));
    shmem.write(0, new Uint8Array(3 * PAGE).fill(3));
    shmem.punch(PAGE, PAGE);
    expect(hugePagesUsed(r.machine)).toBe(1);
    expect([...shmem.read(PAGE - 1, 2), ...shmem.read(2 * PAGE - 1, 2)]).toEqual([3, 0, 0, 3]);
    shmem.punch(0, 2 ** 21);
    expect(hugePagesUsed(r.machine)).toBe(0);
    expect(r.usedPages).toBe(0);
    shmem.put();
  });
});
