/* memory copy BYTES (memcpy and memset) | memory scatter-gather PAGES (walk + memcpy, frames in random order) |
 * memory scatter-gather-2 PAGES (both sides through the table). GB/s. */
#include "pages.h"

static void *(*volatile fill_bytes)(void *, int, size_t) = memset;
static volatile u32 sink;

#define GB_PER_S(bytes, statement) \
  ((bytes) / NS_PER_TURN(scaled(4e8 / (bytes)) + 1, statement; __asm__ volatile("" ::: "memory")))

static void shuffle(u32 *list, u32 count, u32 seed) {
  for (u32 i = count - 1; i > 0; i--) {
    seed = seed * 1664525u + 1013904223u;
    u32 j = (seed >> 8) % (i + 1), t = list[i];
    list[i] = list[j], list[j] = t;
  }
}

static u32 scatter_gather(u8 *memory, const u32 *entries, const u32 *source_frames, u32 first_page, u32 pages) {
  for (u32 i = 0; i < pages; i++) {
    u32 entry = walk(entries, first_page + i, 0);
    if (!(entry & WRITE)) return i;
    copy_bytes(memory + ((u64)(entry >> 4) << 12), memory + ((u64)source_frames[i] << 12), PAGE);
  }
  return pages;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  u32 n = strtoul(argv[2], 0, 10);
  if (!strcmp(argv[1], "copy")) {
    u8 *source = aligned_alloc(PAGE, n), *target = aligned_alloc(PAGE, n);
    memset(source, 7, n), memset(target, 9, n);
    double copy = GB_PER_S((double)n, copy_bytes(target, source, n));
    double fill = GB_PER_S((double)n, fill_bytes(target, (int)i, n));
    printf("{\"copy_GB_s\":%.3f,\"fill_GB_s\":%.3f}\n", copy, fill);
    return 0;
  }
  const u32 first_page = 0x100000;
  int both = !strcmp(argv[1], "scatter-gather-2");
  u8 *memory = touched_memory((size_t)n * 2 * PAGE);
  u32 *from = malloc(n * sizeof *from), *to = malloc(n * sizeof *to);
  for (u32 i = 0; i < n; i++) from[i] = i, to[i] = n + i;
  shuffle(from, n, 1), shuffle(to, n, 2);
  page_table table = page_table_for((u64)n * 2);
  for (u32 i = 0; i < n; i++) map_page(&table, first_page + i, to[i]), map_page(&table, first_page + n + i, from[i]);
  double gb = GB_PER_S((double)n * PAGE, sink = both ? dma_copy(memory, table.entries, first_page + n, first_page, n)
                                                     : scatter_gather(memory, table.entries, from, first_page, n));
  if (sink != n) return 3;
  printf("{\"GB_s\":%.3f}\n", gb);
}
