/** Formats of memory requests: with 32 and 64 bits of address. */
const READ_32 = 0x00;
const READ_64 = 0x20;
const WRITE = 0x40;
const WORD_BYTES = 4;

/** Header of a memory request. */
export interface PacketHeader {
  readonly write: boolean;
  readonly requesterId: number;
  readonly address: number;
  readonly length: number;
}

/** The four words of a memory request's header, as error logs show them. */
export function headerWords({
  write,
  requesterId,
  address,
  length,
}: PacketHeader): readonly [number, number, number, number] {
  const wide = address >= 2 ** 32;
  const first = address % WORD_BYTES;
  const words = Math.ceil((first + length) / WORD_BYTES);
  const firstBytes = (0xf << first) & (words === 1 ? 0xf >> (WORD_BYTES - Math.min(first + length, WORD_BYTES)) : 0xf);
  const lastBytes = words === 1 ? 0 : 0xf >> (words * WORD_BYTES - first - length);
  const format = (wide ? READ_64 : READ_32) | (write ? WRITE : 0);
  const low = address - first;
  const second = ((requesterId << 16) | (lastBytes << 4) | (firstBytes & 0xf)) >>> 0;
  const head = ((format << 24) | (words & 0x3ff)) >>> 0;
  return wide ? [head, second, Math.floor(low / 2 ** 32), low % 2 ** 32] : [head, second, low, 0];
}
