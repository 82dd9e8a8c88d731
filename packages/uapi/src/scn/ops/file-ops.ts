import { OpenFlags } from '@dmabuf-emu/core';
import { close, dup, FileInFlight, sameFile } from '../../syscalls/descriptor.ts';
import { Fcntl, fcntl } from '../../syscalls/fcntl.ts';
import { fallocate, fsync, ftruncate } from '../../syscalls/file-size.ts';
import { memfdCreate } from '../../syscalls/memfd-create.ts';
import { open } from '../../syscalls/open.ts';
import { lseek, pread, pwrite, read, write } from '../../syscalls/read-write.ts';
import { fstat, fstatfs, readFdInfo, readFdLink } from '../../syscalls/stat.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

const MFD_ALLOW_SEALING = 2n;
const READ_BYTES = 256;

/** Operations on descriptors and what is behind them. */
export const FILE_OPS: readonly Op[] = [
  op('memfd', { name: 'text?', flags: 'number?', size: 'number?', seals: 'number?' }, memfd),
  op('open', { path: 'text', flags: 'number?' }, (call) => {
    const flags = call.u32('flags', BigInt(OpenFlags.RDWR | OpenFlags.CLOEXEC));
    call.returnsFd(open(call.process, call.text('path'), flags | 0));
  }),
  op('close', { fd: 'number' }, (call) => {
    close(call.process, call.s32('fd'));
    call.returns(0);
  }),
  op('dup', { fd: 'number' }, (call) => call.returnsFd(dup(call.process, call.s32('fd')))),
  op('scm', { fd: 'number', close_first: 'number?' }, (call) => {
    const { fds } = call.process;
    // The ends of the socket pair that it goes through.
    const ends = [fds.reserve(), fds.reserve()];
    try {
      const message = FileInFlight.send(call.process, call.s32('fd'));
      if (call.u64('close_first', 0n) !== 0n) close(call.process, call.s32('fd'));
      call.returnsFd(message.receive(call.process));
    } finally {
      for (const end of ends) fds.unreserve(end);
    }
  }),
  op('kcmp', { a: 'number', b: 'number' }, (call) => {
    const same = sameFile(call.process, call.s32('a'), call.s32('b'));
    call.returns(0);
    call.set('same', same ? 'same' : 'different');
  }),
  op('fcntl', { fd: 'number', cmd: 'text', arg: 'number?' }, control),
  op('lseek', { fd: 'number', off: 'number', whence: 'number' }, (call) =>
    call.returns(lseek(call.process, call.s32('fd'), call.u64('off'), call.s32('whence'))),
  ),
  op('ftruncate', { fd: 'number', len: 'number' }, (call) => {
    ftruncate(call.process, call.s32('fd'), call.u64('len'));
    call.returns(0);
  }),
  op('fallocate', { fd: 'number', mode: 'number?', off: 'number?', len: 'number' }, (call) => {
    fallocate(call.process, call.s32('fd'), call.s32('mode', 0n), call.u64('off', 0n), call.u64('len'));
    call.returns(0);
  }),
  op('fsync', { fd: 'number' }, (call) => {
    fsync(call.process, call.s32('fd'));
    call.returns(0);
  }),
  op('pread', { fd: 'number', len: 'number?', off: 'number?' }, readBytes),
  op('pwrite', { fd: 'number', hex: 'hex?', off: 'number?' }, (call) => {
    const bytes = call.hex('hex', '00', READ_BYTES);
    const [fd, count] = [call.s32('fd'), BigInt(bytes.length)];
    const done = call.process.memory.stack.with(bytes, (address) =>
      call.has('off')
        ? pwrite(call.process, fd, address, count, call.u64('off'))
        : write(call.process, fd, address, count),
    );
    call.returns(done);
  }),
  op('fstat', { fd: 'number' }, (call) => {
    const { ino, size, blocks, blksize, nlink, mode } = fstat(call.process, call.s32('fd'));
    Object.assign(call.answer, { ret: 0, size, blocks, blksize, nlink, mode: `0${mode.toString(8)}` });
    call.keep(ino);
  }),
  op('eq', { a: 'number', b: 'number' }, (call) => {
    call.returns(0);
    call.set('equal', call.u64('a') === call.u64('b'));
  }),
  op('statfs', { fd: 'number' }, (call) => {
    const { type } = fstatfs(call.process, call.s32('fd'));
    call.returns(0);
    call.set('magic', `0x${type.toString(16)}`);
  }),
  op('readlink', { fd: 'number' }, (call) => {
    const link = readFdLink(call.process, call.s32('fd'));
    call.returns(0);
    call.set('link', link);
  }),
  op('fdinfo', { fd: 'number' }, (call) => {
    const lines = readFdInfo(call.process, call.s32('fd'));
    call.returns(0);
    call.set('lines', lines.join('\n').split('\n'));
  }),
];

function memfd(call: OpCall): void {
  const { process } = call;
  const fd = memfdCreate(process, call.text('name', 'm'), call.u32('flags', MFD_ALLOW_SEALING));
  const [size, seals] = [call.u64('size', 0n), call.u64('seals', 0n)];
  try {
    if (size !== 0n) ftruncate(process, fd, size);
    if (seals !== 0n) fcntl(process, fd, Fcntl.ADD_SEALS, seals);
  } catch (error) {
    close(process, fd);
    throw error;
  }
  call.returnsFd(fd);
}

function control(call: OpCall): void {
  const { process } = call;
  const [fd, command] = [call.s32('fd'), call.text('cmd')];
  switch (command) {
    case 'GETFL': {
      const flags = fcntl(process, fd, Fcntl.GETFL);
      const access = flags & OpenFlags.ACCMODE;
      call.returns(0);
      call.set('acc', access === OpenFlags.RDWR ? 'RDWR' : access === OpenFlags.WRONLY ? 'WRONLY' : 'RDONLY');
      call.set('nonblock', (flags & OpenFlags.NONBLOCK) !== 0 ? 1 : 0);
      call.set('append', (flags & OpenFlags.APPEND) !== 0 ? 1 : 0);
      return;
    }
    case 'SETFL':
    case 'ADD_SEALS':
      call.returns(fcntl(process, fd, Fcntl[command], call.u64('arg')));
      return;
    case 'GETFD':
    case 'GET_SEALS':
      call.returns(fcntl(process, fd, Fcntl[command]));
      return;
    default:
      throw new RangeError(`expected cmd=GETFL, SETFL, GETFD, GET_SEALS or ADD_SEALS, got cmd=${command}`);
  }
}

function readBytes(call: OpCall): void {
  const { process } = call;
  const { memory } = process;
  const fd = call.s32('fd');
  const length = call.u64('len', 8n);
  const count = length > BigInt(READ_BYTES) ? READ_BYTES : Number(length);
  const bytes = memory.stack.with(new Uint8Array(count), (address) => {
    const done = call.has('off')
      ? pread(process, fd, address, BigInt(count), call.u64('off'))
      : read(process, fd, address, BigInt(count));
    return memory.read(address, done);
  });
  call.returns(bytes.length);
  call.set('hex', Buffer.from(bytes).toString('hex'));
}
