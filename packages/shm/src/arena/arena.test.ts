import { Machine } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const names = new URL(import.meta.resolve('#dist/arena/arena.test-worker.js'));

describe('Arena', () => {
  it('interns equal texts to equal ids, in every thread', async () => {
    using machine = testMachine();
    const texts = ['', 'vfio-pci', 'ü', 'x'.repeat(300)];
    const ids = texts.map((text) => machine.intern(text));
    expect(new Set(ids).size).toBe(texts.length);
    const theirs = await startTestWorker<number[]>(names, machine, { texts }).result;
    expect(theirs).toEqual(ids);
    expect(ids.map((id) => machine.string(id))).toEqual(texts);
    expect(machine.string(0)).toBe('');
  });

  it('numbers names densely per kind', () => {
    using machine = testMachine();
    expect([machine.arena.dense('k', 'a'), machine.arena.dense('k', 'b'), machine.arena.dense('k', 'a')]).toEqual([
      1, 2, 1,
    ]);
    expect(machine.arena.dense('other', 'b')).toBe(1);
    expect(machine.arena.denseName('k', 2)).toBe('b');
    expect(machine.arena.denseName('k', 3)).toBe('');
    expect(() => ['1', '2', '3'].map((n) => machine.arena.dense('tiny', n, 2))).toThrow(/ENOSPC/);
  });

  it('keeps immutable blobs', () => {
    using machine = testMachine();
    machine.setBlob('topology', new Uint8Array([1, 2, 3]));
    expect(machine.blob('topology')).toEqual(new Uint8Array([1, 2, 3]));
    expect(machine.blob('nothing')).toBeUndefined();
    expect(() => machine.setBlob('topology', new Uint8Array())).toThrow(/exists already/);
  });

  it('runs again what threw the first time', () => {
    using machine = testMachine();
    const log: string[] = [];
    const fail = (): never => {
      throw new Error('no');
    };
    expect(() => machine.once('late', fail)).toThrow('no');
    for (const text of ['done', 'again']) machine.once('late', () => log.push(text));
    expect(log).toEqual(['done']);
  });

  it('runs once per machine', async () => {
    using machine = testMachine();
    const runs = machine.root('runs', 16);
    await Promise.all([1, 2].map((n) => startTestWorker(names, machine, { texts: [], onceAt: runs }, `w${n}`).result));
    machine.once('bump', () => machine.mem.i32[runs]!++);
    expect(machine.mem.i32[runs]).toBe(1);
  });

  it('says how full it is', () => {
    using machine = Machine.create({ arenaBytes: 4 << 20 });
    const { usedBytes, totalBytes } = machine.arena.usage();
    expect(totalBytes).toBe(4 << 20);
    expect(usedBytes).toBeGreaterThan(0);
    expect(usedBytes).toBeLessThan(totalBytes);
  });
});
