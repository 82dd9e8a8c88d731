import { EventFd } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { FileBehaviour } from './file-behaviour.ts';

const COUNTER_BYTES = 8;

/** @kernel eventfd_fops */
export const EVENT_FD_BEHAVIOUR: FileBehaviour = {
  seekable: true,
  llseek: ({ file }) => file.pos,
  read: ({ file }, length) => {
    checkLength(length, 'eventfd_read');
    const bytes = new Uint8Array(COUNTER_BYTES);
    new DataView(bytes.buffer).setBigUint64(0, EventFd.of(file).read(), true);
    return bytes;
  },
  write: ({ file }, bytes) => {
    checkLength(bytes.length, 'eventfd_write');
    EventFd.of(file).write(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    return COUNTER_BYTES;
  },
};

/** It has commands of its own, and says so of every other one. @kernel eventpoll_fops */
export const EPOLL_BEHAVIOUR: FileBehaviour = {
  seekable: true,
  llseek: ({ file }) => file.pos,
  ioctl: ({ command }) => {
    throw new KernelError('EINVAL', 'ep_eventpoll_ioctl', `there is no command 0x${command.toString(16)}`);
  },
};

function checkLength(length: number, where: string): void {
  if (length < COUNTER_BYTES) throw new KernelError('EINVAL', where, `8 bytes at least, got ${length}`);
}
