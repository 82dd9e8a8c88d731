import { i32, ref, refcount, struct, u53 } from '@dmabuf-emu/shm';

/**
 * A page of RAM. The pages of a compound page (a huge page, say) are counted and freed together, through the first one.
 * @kernel struct page, struct folio
 */
export const PageStruct = struct('page', {
  /** Of a head page; the other pages of a compound page leave it 0. */
  refs: refcount(),
  /** The head page; itself, for that. */
  head: ref(),
  /** Physical address. */
  paddr: u53(),
  /** Pages of the compound page, on its head; 1 for a page of its own. */
  count: i32(),
  /** Next page of the compound page. */
  next: ref(),
});
