import { MSI_ADDRESS, MSI_ADDRESS_UPPER, MSI_FLAGS, MsiFlag } from '../registers.ts';

/** Where the registers of an MSI capability are: that depends on its width and on whether it can mask. */
export interface MsiRegisters {
  readonly flags: number;
  readonly address: number;
  /** `null` for addresses of 32 bits. */
  readonly addressUpper: number | null;
  readonly data: number;
  /** `null` when vectors cannot be masked. */
  readonly mask: number | null;
  readonly pending: number | null;
  /** Vectors that the function can send. */
  readonly vectors: number;
  readonly length: number;
}

/** @param flags - content of the flags register of the capability at `at` */
export function msiRegisters(at: number, flags: number): MsiRegisters {
  const wide = (flags & MsiFlag.WIDE) !== 0;
  const maskable = (flags & MsiFlag.MASKABLE) !== 0;
  const data = at + (wide ? MSI_ADDRESS_UPPER + 4 : MSI_ADDRESS_UPPER);
  return {
    flags: at + MSI_FLAGS,
    address: at + MSI_ADDRESS,
    addressUpper: wide ? at + MSI_ADDRESS_UPPER : null,
    data,
    mask: maskable ? data + 4 : null,
    pending: maskable ? data + 8 : null,
    vectors: Math.min(32, 2 ** ((flags & MsiFlag.CAPABLE) >>> 1)),
    length: (wide ? 14 : 10) + (maskable ? 10 : 0),
  };
}
