import { DmaBuf, FdTable } from '@dmabuf-emu/core';
import { createUdmabuf, DmaHeap, Memfd, prepareUdmabuf, registerHeaps, Seal } from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { asleepFor, kill, startActor } from './testing/actors.fixture.ts';
import { errno, rig, type Rig } from './testing/rig.fixture.ts';

const PAGE = 4096;
const NIC = '15:00.0';

function prepared(): Rig {
  const r = rig();
  registerHeaps(r.machine);
  prepareUdmabuf(r.machine);
  return r;
}

function memfd(r: Rig, pages: number): [Memfd, number] {
  const made = Memfd.create(r.machine, 'm');
  made.truncate(pages * PAGE);
  made.addSeals(Seal.SHRINK);
  return [made, made.fd()];
}

/** Every kind of buffer, by name. */
function buffers(r: Rig): [string, DmaBuf][] {
  const [, fd] = memfd(r, 5);
  return [
    ['system', DmaHeap.find(r.machine, 'system')!.allocBuffer(21 * PAGE)],
    ['cma', DmaHeap.find(r.machine, 'default_cma_region')!.allocBuffer(5 * PAGE)],
    ['udmabuf', DmaBuf.get(r.machine, createUdmabuf(r.machine, { memfd: fd, offset: 0, size: 5 * PAGE }))],
  ];
}

describe('another thread', () => {
  it('uses every kind of buffer by its ref', async () => {
    using r = prepared();
    for (const [name, dmabuf] of buffers(r)) {
      const actor = await startActor(r.machine, { do: 'use', bdf: NIC, dmabuf: dmabuf.ref }, name);
      expect(await actor.result, name).toEqual([0x5a, 0x5a]);
      const area = dmabuf.mmap({ offset: 0, length: dmabuf.size });
      expect([...area.read(dmabuf.size - 1, 1)], name).toEqual([0x5a]);
      area.unmap();
      dmabuf.put();
    }
    FdTable.exit(r.machine);
  });

  it('makes and frees buffers while others do', async () => {
    using r = prepared();
    const jobs = ['system', 'default_cma_region', 'system'].map((heap, i) =>
      startActor(r.machine, { do: 'churn', bdf: NIC, heap, rounds: 40 }, `churn ${i}`),
    );
    for (const actor of await Promise.all(jobs)) expect(await actor.result).toEqual({ done: 40 });
    expect(r.usedPages).toBe(0);
  });
});

describe('a memfd that threads share', () => {
  it('gives every page back, whoever pinned it and made the hole', async () => {
    using r = prepared();
    const [made] = memfd(r, 6);
    const jobs = [1, 2, 3].map((i) =>
      startActor(r.machine, { do: 'share', bdf: NIC, shmem: made.shmem.ref, rounds: 60 }, `share ${i}`),
    );
    for (const actor of await Promise.all(jobs)) expect(await actor.result).toBe(60);
    expect(r.usedPages).toBe(made.pages);
    made.addSeals(Seal.WRITE);
    FdTable.exit(r.machine);
    expect(r.usedPages).toBe(0);
  });
});

describe('after a task died', () => {
  it('its mappings are undone, and the buffer goes on', async () => {
    using r = prepared();
    for (const [name, dmabuf] of buffers(r)) {
      const actor = await startActor(r.machine, { do: 'map-and-hang', bdf: NIC, dmabuf: dmabuf.ref }, name);
      expect(r.nic.iommu.mappedPages).toBe(dmabuf.size / PAGE);
      await kill(r.machine, actor);
      expect(r.nic.iommu.mappedPages).toBe(0);
      expect(dmabuf.attachments()).toEqual([]);
      const attachment = dmabuf.attach(r.nic.device);
      attachment.unmapUnlocked(attachment.mapUnlocked(0), 0);
      dmabuf.detach(attachment);
      // The reference that the dead task had taken is lost with it.
      dmabuf.put();
      dmabuf.put();
    }
    FdTable.exit(r.machine);
    expect(r.usedPages).toBe(0);
  });

  it('its descriptors are closed, and their memory is free', async () => {
    using r = prepared();
    const actor = await startActor(r.machine, { do: 'own-and-hang', bdf: NIC });
    expect(r.usedPages).toBe(22);
    await kill(r.machine, actor);
    expect(r.usedPages).toBe(0);
    const { counts } = r.machine.verify();
    expect([counts['shmem'], counts['udmabuf'], counts['heap_buffer'], counts['page']]).toEqual([0, 0, 0, 0]);
  });

  it('with the lock of a file, others are told, and the file can be given up', async () => {
    using r = prepared();
    const [made, fd] = memfd(r, 2);
    made.pwrite(0, Uint8Array.of(1));
    const actor = await startActor(r.machine, { do: 'hold-pages', bdf: NIC, shmem: made.shmem.ref });
    await kill(r.machine, actor);
    expect(() => made.pread(0, 1)).toThrow(errno('EOWNERDEAD'));
    expect(() => createUdmabuf(r.machine, { memfd: fd, offset: 0, size: PAGE })).toThrow(errno('EOWNERDEAD'));
    FdTable.exit(r.machine);
    expect(r.usedPages).toBe(0);
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [] });
  });

  it('wherever it was, what is left is damage, not leaks and errors', async () => {
    const ends: string[] = [];
    for (let nth = 110; ; nth += 333) {
      using r = prepared();
      const actor = await startActor(r.machine, { do: 'die-at', bdf: NIC, nth });
      const passed = await Promise.race([actor.result, asleepFor(actor, 'test.hang')]);
      if (passed !== undefined) {
        expect(passed).toBeLessThan(nth);
        break;
      }
      await kill(r.machine, actor);
      const { errors, leaks, damage } = r.machine.verify();
      expect([...errors, ...leaks].join('\n'), `sync point ${nth}`).toBe('');
      ends.push(damage.length > 0 ? 'damage' : 'clean');
    }
    expect(ends.length).toBeGreaterThan(3);
  });
});
