const UNITS = ['B', 'K', 'M', 'G', 'T', 'P'] as const;

/** `64G`, `16M`, `4K`, as lspci writes sizes of BARs. */
export function byteSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${UNITS[unit]}`;
}
