/** Bus addresses that interrupt messages are written to: nothing else is there, and the IOMMU does not translate them. */
export const MESSAGE_WINDOW = { start: 0xfee0_0000, end: 0xfeef_ffff } as const;

/** Bytes of a message. */
export const MESSAGE_BYTES = 4;

const DESTINATION_SHIFT = 12;
const VECTOR_BITS = 8;

/** Number of a message among all that there can be: destination, then vector. */
export type MessageNumber = number;

/** Whether a write to `address` is an interrupt message. */
export function isMessageAddress(address: number): boolean {
  return address >= MESSAGE_WINDOW.start && address <= MESSAGE_WINDOW.end;
}

export function messageNumber(address: number, data: number): MessageNumber {
  const destination = (address >>> DESTINATION_SHIFT) & 0xff;
  return (destination << VECTOR_BITS) | (data & 0xff);
}

/** Address and data that make a message. */
export function messageOf(number: MessageNumber): { readonly address: number; readonly data: number } {
  return { address: MESSAGE_WINDOW.start + (number >>> VECTOR_BITS) * 2 ** DESTINATION_SHIFT, data: number & 0xff };
}
