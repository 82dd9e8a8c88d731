import { DmaBuf, dmaBufs, OpenFlags, PAGE_BYTES } from '@dmabuf-emu/core';
import { createUdmabuf, DmaHeap, Memfd, MemfdFlags, Seal } from '@dmabuf-emu/exporter-heap';
import { sys } from '@dmabuf-emu/uapi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { programRig, type ProgramRig } from '../process/process.fixture.ts';

/** The cases of selftests/bpf/prog_tests/dmabuf_iter.c (core §7.9). */
const UDMABUF = { name: 'udmabuf_test_buffer_for_iter', exporter: 'udmabuf', size: 10 * PAGE_BYTES };
const SYSHEAP = { name: 'sysheap_test_buffer_for_iter', exporter: 'system', size: 20 * PAGE_BYTES };
const FLAGS = OpenFlags.RDWR | OpenFlags.CLOEXEC;

let rig: ProgramRig;

function setName(fd: number, name: string): void {
  const dmabuf = DmaBuf.get(rig.machine, fd);
  dmabuf.setName(name);
  dmabuf.put();
}

function allocHeapBuffer(size: number): number {
  return DmaHeap.find(rig.machine, 'system')!.alloc({ len: size, fdFlags: FLAGS });
}

beforeEach(() => {
  rig = programRig();
  rig.process.fds.join();
  const memfd = Memfd.create(rig.machine, 'udmabuf-test', MemfdFlags.ALLOW_SEALING);
  memfd.truncate(UDMABUF.size);
  memfd.addSeals(Seal.SHRINK);
  const fd = memfd.fd();
  setName(createUdmabuf(rig.machine, { memfd: fd, offset: 0, size: UDMABUF.size, flags: 1 }), UDMABUF.name);
  sys.close(rig.process, fd);
  setName(allocHeapBuffer(SYSHEAP.size), SYSHEAP.name);
});
afterEach(() => rig[Symbol.dispose]());

/** The file of the suite's program: four lines a buffer, written as far as they are read. */
function* readFile(bytes: number): Generator<string, void, undefined> {
  let text = '';
  for (const { ino, size, name, expName } of dmaBufs(rig.machine)) {
    text += `${ino}\n${size}\n${(name ?? '').replaceAll('\n', ' ')}\n${expName}\n`;
    while (text.length >= bytes) {
      yield text.slice(0, bytes);
      text = text.slice(bytes);
    }
  }
  if (text !== '') yield text;
}

describe('bpf/dmabuf_iter', () => {
  it('no_infinite_reads', () => {
    let reads = 0;
    for (const text of readFile(4096)) {
      expect(text.length).toBeGreaterThan(0);
      expect(++reads).toBeLessThan(100);
    }
    expect(reads).toBe(1);
  });

  it('default_iter', () => {
    const unnamed = allocHeapBuffer(PAGE_BYTES);
    const odd = allocHeapBuffer(PAGE_BYTES);
    setName(odd, 'two\nlines');
    const lines = [...readFile(7)].join('').split('\n').slice(0, -1);
    expect(lines.length % 4).toBe(0);
    const buffers = Array.from({ length: lines.length / 4 }, (_, i) => lines.slice(4 * i, 4 * i + 4));
    expect(new Set(buffers.map(([ino]) => ino)).size).toBe(4);
    expect(buffers.map(([, size, name, exporter]) => ({ size: Number(size), name, exporter }))).toEqual([
      { size: PAGE_BYTES, name: 'two lines', exporter: 'system' },
      { size: PAGE_BYTES, name: '', exporter: 'system' },
      SYSHEAP,
      UDMABUF,
    ]);
    for (const fd of [unnamed, odd]) sys.close(rig.process, fd);
  });

  it('lots_of_buffers', () => {
    for (let i = 0; i < 100; i++) setName(allocHeapBuffer(PAGE_BYTES), SYSHEAP.name);
    let total = 0;
    const file = readFile(1024);
    for (let read = file.next(); read.done !== true; read = file.next()) total += read.value.length;
    expect(total).toBeGreaterThan(4096);
    expect(file.next()).toEqual({ done: true, value: undefined });
  });

  it('open_coded', () => {
    const found = new Map([UDMABUF.name, SYSHEAP.name].map((name) => [name, false]));
    for (const { name } of dmaBufs(rig.machine)) if (name !== null && found.has(name)) found.set(name, true);
    expect([...found.values()]).toEqual([true, true]);
  });
});
