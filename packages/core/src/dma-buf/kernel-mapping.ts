/**
 * A buffer mapped into the kernel's address space. The address is never 0: a byte offset in the machine's memory, or, above
 * all of these, an address that the exporter's package reads and writes (pages that do not lie in a row).
 * @kernel iosys_map
 */
export interface KernelMapping {
  readonly address: number;
  readonly isIomem: boolean;
}
