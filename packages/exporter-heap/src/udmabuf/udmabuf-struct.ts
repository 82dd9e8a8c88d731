import { i32, ref, struct } from '@dmabuf-emu/shm';

/** A buffer over pages of memfds. @kernel struct udmabuf */
export const UdmabufStruct = struct('udmabuf', {
  /** Its pages, see {@link PageList}. */
  pages: ref(),
  /** Table that is mapped for the misc device itself, from the first CPU access on. */
  table: ref(),
  dmabuf: ref(),
  ownerTask: i32(),
});
