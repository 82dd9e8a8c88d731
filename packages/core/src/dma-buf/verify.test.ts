import { FdTable } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { AttachmentStruct, DmaBufStruct } from '#dist/dma-buf/internal/structs.js';
import { FdTableStruct } from '#dist/fd/fd-table-struct.js';
import { FileStruct } from '#dist/fd/file-struct.js';
import { SgTableStruct } from '#dist/sg/sg-table-struct.js';
import { device, exported, recorder } from './recorder.fixture.ts';

/** Runs the check while `change` holds. */
function verifyWith(machine: Machine, change: () => () => void): ReturnType<Machine['verify']> {
  const restore = change();
  const report = machine.verify();
  restore();
  return report;
}

/** A field that is set for the time of a check. */
function poke(machine: Machine, at: number, value: number): () => () => void {
  return () => {
    const before = machine.mem.i32[at]!;
    machine.mem.i32[at] = value;
    return () => void (machine.mem.i32[at] = before);
  };
}

describe('machine.verify on buffers', () => {
  it('counts objects and finds nothing wrong with descriptors and mappings of processes', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder({ mmap: () => {} }));
    const area = dmabuf.mmap({ offset: 0, length: 4096 });
    const fd = dmabuf.fd();
    expect(machine.verify()).toMatchObject({
      ok: true,
      counts: { dma_buf: 1, dma_buf_attachment: 0, sg_table: 0, file: 1, fd: 1, process: 1 },
    });
    area.unmap();
    FdTable.current(machine).close(fd);
  });

  it('finds references, attachments and mappings that nobody put back', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const attachment = dmabuf.attach(device(machine));
    const table = attachment.mapUnlocked(0);
    const report = machine.verify();
    expect(report.errors).toEqual([]);
    expect(report.leaks).toEqual([
      `dma_buf_attachment: importer static did not detach what task ${machine.tid} attached`,
      `sg_table: a table of task ${machine.tid} was not unmapped`,
      `file: buffer ${dmabuf.label} has 1 references, but 0 known holders`,
    ]);
    attachment.unmapUnlocked(table, 0);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('finds broken lists, counts and links', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const [a, b] = [dmabuf.attach(device(machine)), dmabuf.attach(device(machine))];
    const table = a.mapUnlocked(0);
    const fd = dmabuf.fd();
    const process = FdTable.current(machine);
    const words = {
      buffer: machine.slab(DmaBufStruct).at(dmabuf.ref),
      a: machine.slab(AttachmentStruct).at(a.ref),
      b: machine.slab(AttachmentStruct).at(b.ref),
      table: machine.slab(SgTableStruct).at(table.ref),
      file: machine.slab(FileStruct).at(dmabuf.file.ref),
      process: machine.slab(FdTableStruct).at(process.ref),
    };
    const errorsWith = (at: number, value: number): string =>
      verifyWith(machine, poke(machine, at, value)).errors.join('\n');
    expect(errorsWith(words.b + AttachmentStruct.next.at, 0)).toMatch(/an attachment and its buffer disagree/);
    expect(errorsWith(words.a + AttachmentStruct.prev.at, 0)).toMatch(
      /the attachments of buffer .* are broken after 1 members/,
    );
    expect(errorsWith(words.b + AttachmentStruct.next.at, b.ref)).toMatch(/are broken after 1 members/);
    expect(errorsWith(words.a + AttachmentStruct.dmabuf.at, 0)).toMatch(/an attachment of another buffer/);
    expect(errorsWith(words.table + SgTableStruct.maps.at, 0)).toMatch(
      /a table with 0 mappings and the lists disagree/,
    );
    expect(errorsWith(words.table + SgTableStruct.attachment.at, b.ref)).toMatch(
      /a table is listed by another attachment/,
    );
    expect(errorsWith(words.buffer + DmaBufStruct.listed.at, 0)).toMatch(/and the list of buffers disagree/);
    expect(errorsWith(words.buffer + DmaBufStruct.prev.at, dmabuf.ref)).toMatch(/the list of buffers are broken/);
    expect(errorsWith(words.file + FileStruct.priv.at, 0)).toMatch(/and its file disagree/);
    expect(errorsWith(words.process + FdTableStruct.users.at, 2)).toMatch(/has 2 users, but 1 tasks use it/);
    const known = process.dup(fd);
    expect(errorsWith(words.file + FileStruct.refs.at, 1)).toMatch(/has 1 references, but 2 known holders/);
    process.close(known);
    a.unmapUnlocked(table, 0);
    dmabuf.detach(a);
    dmabuf.detach(b);
    process.close(fd);
  });

  it('tells damage by dead tasks from leaks', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const attachment = dmabuf.attach(device(machine));
    const p = machine.slab(AttachmentStruct).at(attachment.ref);
    const report = verifyWith(machine, poke(machine, p + AttachmentStruct.lostBy.at, 9));
    expect(report.damage).toEqual([expect.stringContaining('(task 9 died)')]);
    const damaged = machine.slab(DmaBufStruct).at(dmabuf.ref) + DmaBufStruct.damagedBy.at;
    expect(verifyWith(machine, poke(machine, damaged, 9)).damage).toEqual([
      expect.stringContaining('beyond use since task 9'),
      expect.stringMatching(/did not detach .*\(task 9 died\)/),
    ]);
    dmabuf.detach(attachment);
    dmabuf.put();
  });
});
