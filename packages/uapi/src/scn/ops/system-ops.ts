import { OpenFlags } from '@dmabuf-emu/core';
import type { Process } from '../../process/process.ts';
import { dropRoot, setrlimit } from '../../syscalls/credentials.ts';
import { close } from '../../syscalls/descriptor.ts';
import { ioctl } from '../../syscalls/ioctl.ts';
import { open } from '../../syscalls/open.ts';
import { read, write } from '../../syscalls/read-write.ts';
import { sleepMs } from '../../syscalls/sleep.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

const CHUNK_BYTES = 8192;
const IOCTL_BYTES = 512;

/** Operations on the system's files, limits, time, and ioctls of any bytes. */
export const SYSTEM_OPS: readonly Op[] = [
  op('sleep', { ms: 'number' }, (call) => {
    sleepMs(call.process, Number(call.u64('ms')));
    call.returns(0);
  }),
  op('cat', { path: 'text' }, (call) => {
    const path = call.text('path');
    const text = withOpen(call.process, path, OpenFlags.RDONLY, (fd) => readAll(call.process, fd));
    call.returns(0);
    call.set('text', path.includes('bufinfo') ? withoutCounters(text) : text);
  }),
  op('write_file', { path: 'text', text: 'text' }, (call) => {
    const bytes = Buffer.from(call.text('text'), 'latin1');
    withOpen(call.process, call.text('path'), OpenFlags.WRONLY, (fd) =>
      call.process.memory.stack.with(bytes, (address) => write(call.process, fd, address, BigInt(bytes.length))),
    );
    call.returns(0);
  }),
  op('rlimit', { what: 'text', value: 'number' }, (call) => {
    const what = call.text('what');
    if (what !== 'NOFILE' && what !== 'MEMLOCK') {
      throw new RangeError(`expected what=NOFILE or what=MEMLOCK, got what=${what}`);
    }
    setrlimit(call.process, what, call.u64('value'));
    call.returns(0);
  }),
  op('drop_root', {}, (call) => {
    dropRoot(call.process);
    call.returns(0);
  }),
  op('ioctl', { fd: 'number', cmd: 'number', hex: 'hex?', arg: 'number?' }, rawIoctl),
];

function rawIoctl(call: OpCall): void {
  const { process } = call;
  const [fd, command] = [call.s32('fd'), call.u32('cmd')];
  if (call.has('arg')) {
    call.returns(ioctl(process, fd, command, call.u64('arg')));
    return;
  }
  const given = call.hex('hex', '', IOCTL_BYTES);
  const bytes = new Uint8Array(IOCTL_BYTES);
  bytes.set(given);
  process.memory.stack.with(bytes, (address) => {
    call.attempt(() => call.returns(ioctl(process, fd, command, address)));
    call.set('hex', Buffer.from(process.memory.read(address, given.length)).toString('hex'));
  });
}

function withOpen<T>(process: Process, path: string, flags: number, fn: (fd: number) => T): T {
  const fd = open(process, path, flags);
  try {
    return fn(fd);
  } finally {
    close(process, fd);
  }
}

function readAll(process: Process, fd: number): string {
  const { memory } = process;
  return memory.stack.with(new Uint8Array(CHUNK_BYTES), (address) => {
    let text = '';
    for (;;) {
      const count = read(process, fd, address, BigInt(CHUNK_BYTES));
      if (count === 0) return text;
      text += Buffer.from(memory.read(address, count)).toString('latin1');
    }
  });
}

/** Without inode numbers and numbers of fence contexts, which count on for the life of the machine. */
function withoutCounters(text: string): string {
  return text.replaceAll(/^(\d{8}(?:\t[^\t\n]*){4}\t)\d+/gm, '$1#').replaceAll(/^(.* fence:)\d+/gm, '$1#');
}
