import type { RawCapability } from './raw-function.ts';

const STATUS = 0x06;
const STATUS_CAP_LIST = 0x10;
const FIRST_POINTER = 0x34;
const CONVENTIONAL_START = 0x40;
const EXTENDED_START = 0x100;
const EXTENDED_SIZE = 4096;
/** A list longer than this loops. */
const MAX_CAPABILITIES = 96;

/** Both capability lists, as far as the bytes reach; stops at pointers that leave them or loop. */
export function walkCapabilities(view: DataView): readonly RawCapability[] {
  return [...conventional(view), ...extended(view)];
}

function conventional(view: DataView): readonly RawCapability[] {
  const found: RawCapability[] = [];
  if ((view.getUint16(STATUS, true) & STATUS_CAP_LIST) === 0) return found;
  let offset = view.getUint8(FIRST_POINTER) & 0xfc;
  while (offset >= CONVENTIONAL_START && offset + 2 <= view.byteLength && found.length < MAX_CAPABILITIES) {
    found.push({ offset, extended: false, id: view.getUint8(offset), name: '' });
    offset = view.getUint8(offset + 1) & 0xfc;
  }
  return found;
}

function extended(view: DataView): readonly RawCapability[] {
  const found: RawCapability[] = [];
  if (view.byteLength < EXTENDED_SIZE) return found;
  let offset = EXTENDED_START;
  while (offset >= EXTENDED_START && found.length < MAX_CAPABILITIES) {
    const header = view.getUint32(offset, true);
    if (header === 0 || header === 0xffff_ffff) break;
    found.push({ offset, extended: true, id: header & 0xffff, name: '' });
    offset = (header >>> 20) & 0xffc;
  }
  return found;
}
