/** A buffer mapped into the kernel's address space: a byte offset in the machine's memory, never 0. @kernel iosys_map */
export interface KernelMapping {
  readonly address: number;
  readonly isIomem: boolean;
}
