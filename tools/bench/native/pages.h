/* A page table of four levels of 512 entries for 48-bit addresses, and a DMA job through it.
 * A leaf entry is frame << 4 | flags in 32 bits; an upper entry is the index of the next table's first entry. */
#ifndef PAGES_H
#define PAGES_H
#include "bench.h"
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { READ = 1, WRITE = 2, ENTRIES = 512, PAGE = 4096 };

/* Called through a pointer, or gcc turns a copy of known size into `rep movs`, which is slower. */
static void *(*volatile copy_bytes)(void *, const void *, size_t) = memcpy;

typedef struct {
  u32 *entries;
  u32 used;
} page_table;

static inline page_table page_table_for(u64 pages) {
  page_table t = {calloc(ENTRIES * (pages / ENTRIES + 20), sizeof(u32)), ENTRIES};
  return t;
}

/* Page numbers have 36 bits: `low` 32 of them and `high` 4. */
ALWAYS_INLINE u32 walk(const u32 *entries, u32 low, u32 high) {
  u32 e = entries[(high << 5 | low >> 27) & 511];
  if (!e) return 0;
  e = entries[e + ((low >> 18) & 511)];
  if (!e) return 0;
  e = entries[e + ((low >> 9) & 511)];
  if (!e) return 0;
  return entries[e + (low & 511)];
}

ALWAYS_INLINE u32 *leaf_of(page_table *t, u64 page) {
  u32 e = 0;
  for (int shift = 27; shift > 0; shift -= 9) {
    u32 *entry = &t->entries[e + ((page >> shift) & 511)];
    if (!*entry) *entry = t->used, t->used += ENTRIES;
    e = *entry;
  }
  return &t->entries[e + (page & 511)];
}

ALWAYS_INLINE void map_page(page_table *t, u64 page, u32 frame) {
  __atomic_store_n(leaf_of(t, page), frame << 4 | READ | WRITE, __ATOMIC_RELEASE);
}

/* Moves `pages` pages between two mapped ranges; frames that follow each other are copied in one go. */
ALWAYS_INLINE u32 dma_copy(u8 *memory, const u32 *entries, u32 source, u32 target, u32 pages) {
  for (u32 i = 0; i < pages;) {
    u32 from = walk(entries, source + i, 0), to = walk(entries, target + i, 0), run = 1;
    if (!(from & READ) || !(to & WRITE)) return i;
    while (i + run < pages && walk(entries, source + i + run, 0) == from + (run << 4) &&
           walk(entries, target + i + run, 0) == to + (run << 4))
      run++;
    copy_bytes(memory + ((u64)(to >> 4) << 12), memory + ((u64)(from >> 4) << 12), (size_t)run << 12);
    i += run;
  }
  return pages;
}

/* Memory that has been written (unwritten pages all read from the one zero page) and, if possible, in huge pages. */
static inline u8 *touched_memory(size_t bytes) {
  size_t size = (bytes + 0x1fffff) & ~(size_t)0x1fffff;
  u8 *memory = aligned_alloc(1 << 21, size);
#ifdef MADV_HUGEPAGE
  madvise(memory, size, MADV_HUGEPAGE);
#endif
  memset(memory, 1, size);
  return memory;
}
#endif
