import { iow } from './ioctl-command.ts';
import { abiStruct, u32, u64 } from './layout.ts';

/** @kernel UDMABUF_FLAGS_CLOEXEC */
export const UDMABUF_FLAGS_CLOEXEC = 1;

/** @kernel UDMABUF_CREATE, udmabuf_create */
export const UDMABUF_CREATE = iow(
  'UDMABUF_CREATE',
  'u',
  0x42,
  abiStruct('udmabuf_create', { memfd: u32, flags: u32, offset: u64, size: u64 }),
);

/** {@link UdmabufCreateItem}s follow the struct. @kernel UDMABUF_CREATE_LIST, udmabuf_create_list */
export const UDMABUF_CREATE_LIST = iow(
  'UDMABUF_CREATE_LIST',
  'u',
  0x43,
  abiStruct('udmabuf_create_list', { flags: u32, count: u32 }),
);

/** @kernel udmabuf_create_item */
export const UdmabufCreateItem = abiStruct('udmabuf_create_item', { memfd: u32, pad: u32, offset: u64, size: u64 });
