/**
 * Rules that a rogue importer can break:
 *
 * | kind | what it does | seen as |
 * |---|---|---|
 * | ignores-invalidate | its callback does nothing: DMA goes on, the mapping stays past the bound | write-after-fence, unmap-bound |
 * | unmaps-late | stops its DMA in the callback, unmaps only past the bound | unmap-bound |
 * | never-unmaps | stops its DMA in the callback, never unmaps | unmap-bound |
 * | writes-after-fence | writes once more after its fence has signalled and the revoker has gone on | write-after-fence |
 * | uses-stale-address | unmaps in order, then writes to the old address | iommu-fault, stale-iotlb-hit, use-after-revoke |
 * | double-unmap | unmaps its mapping twice | double-unmap |
 * | skips-lock | unmaps without holding the buffer's reservation | resv-not-held |
 * | never-signals | puts a job's fence on the buffer and never signals it | fence-bound |
 * | signals-twice | signals a job's fence a second time | fence-signalled-twice |
 */
export const ROGUE_KINDS = [
  'ignores-invalidate',
  'unmaps-late',
  'never-unmaps',
  'writes-after-fence',
  'uses-stale-address',
  'double-unmap',
  'skips-lock',
  'never-signals',
  'signals-twice',
] as const;
export type RogueKind = (typeof ROGUE_KINDS)[number];

/** Name that a rogue's operations are registered under, and that reports show. */
export function rogueName(kind: RogueKind): string {
  return `rogue-${kind}`;
}
