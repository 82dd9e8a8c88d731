/* iommu translate PAGES (random addresses; map a page) | iommu iova (allocate + free, 4096 live ranges). ns. */
#include "pages.h"

static volatile u32 sink;

static int translate(u32 pages) {
  enum { SAMPLES = 1 << 16 };
  const u64 window = 0xfffff0000ull; /* page number: the top of 48 bits, so every level is used */
  page_table table = page_table_for(pages);
  u64 *random = malloc(SAMPLES * sizeof *random);
  u32 x = 1;
  for (int i = 0; i < SAMPLES; i++) {
    x = x * 1664525u + 1013904223u;
    random[i] = window + (x >> 8) % pages;
  }
  double map = NS_PER_TURN(scaled(1 << 20), map_page(&table, window + i % pages, (u32)(i % pages)));
  for (u32 i = 0; i < pages; i++) map_page(&table, window + i, i);
  u32 sum = 0;
  double look_up = NS_PER_TURN(scaled(1 << 22), {
    u64 page = random[i & (SAMPLES - 1)];
    sum += walk(table.entries, (u32)page, page >> 32);
  });
  sink = sum;
  printf("{\"translate_ns\":%.4f,\"map_page_ns\":%.4f}\n", look_up, map);
  return 0;
}

/* ---- IOVA: per-size magazines of 127 ranges, two in use and a depot, in front of a bitmap of 2^20 pages */
enum { WINDOW = 1 << 20, WORDS = WINDOW / 32, SIZES = 6, MAGAZINE = 127, DEPOT = 32 };
static u32 bitmap[WORDS], next_word;

static u32 bitmap_alloc(u32 size) {
  static const u32 aligned[SIZES] = {~0u, 0x55555555u, 0x11111111u, 0x01010101u, 0x00010001u, 1u};
  u32 mask = size == 32 ? ~0u : (1u << size) - 1;
  for (u32 k = 0; k < WORDS; k++) {
    u32 w = next_word, runs = ~bitmap[w];
    for (u32 s = 1; s < size; s <<= 1) runs &= runs >> s;
    runs &= aligned[__builtin_ctz(size)];
    if (runs) {
      u32 bit = __builtin_ctz(runs);
      bitmap[w] |= mask << bit;
      return w * 32 + bit;
    }
    next_word = (w + 1) % WORDS;
  }
  return ~0u;
}

static void bitmap_free(u32 at, u32 size) { bitmap[at >> 5] &= ~((size == 32 ? ~0u : (1u << size) - 1) << (at & 31)); }

typedef struct {
  u32 count, at[MAGAZINE];
} range_magazine;
typedef struct {
  range_magazine *loaded, *previous, *depot[DEPOT];
  u32 stored;
} range_cache;
static range_cache caches[SIZES];

ALWAYS_INLINE void swap_magazines(range_cache *c) {
  range_magazine *m = c->loaded;
  c->loaded = c->previous, c->previous = m;
}

static u32 iova_alloc(u32 size) {
  range_cache *c = &caches[__builtin_ctz(size)];
  if (!c->loaded->count) {
    if (c->previous->count) swap_magazines(c);
    else if (c->stored) free(c->loaded), c->loaded = c->depot[--c->stored];
    else return bitmap_alloc(size);
  }
  return c->loaded->at[--c->loaded->count];
}

static void iova_free(u32 at, u32 size) {
  range_cache *c = &caches[__builtin_ctz(size)];
  range_magazine *m = c->loaded;
  if (m->count == MAGAZINE) {
    if (!c->previous->count) swap_magazines(c);
    else if (c->stored < DEPOT) c->depot[c->stored++] = m, c->loaded = calloc(1, sizeof *m);
    else {
      for (u32 i = 0; i < MAGAZINE; i++) bitmap_free(m->at[i], size);
      m->count = 0;
    }
    m = c->loaded;
  }
  m->at[m->count++] = at;
}

static u32 seed = 7;
ALWAYS_INLINE u32 next_random(void) { return (seed = seed * 1664525u + 1013904223u) >> 8; }
ALWAYS_INLINE u32 next_size(int mixed) {
  if (!mixed) return 1;
  u32 r = next_random() % 100;
  return r < 60 ? 1 : r < 75 ? 2 : r < 85 ? 4 : r < 92 ? 8 : r < 97 ? 16 : 32;
}

static double exchange_ranges(int mixed) {
  enum { LIVE = 4096 };
  static u32 at[LIVE], size[LIVE];
  memset(bitmap, 0, sizeof bitmap), next_word = 0;
  for (int i = 0; i < SIZES; i++)
    caches[i] = (range_cache){calloc(1, sizeof(range_magazine)), calloc(1, sizeof(range_magazine)), {0}, 0};
  for (int i = 0; i < LIVE; i++) at[i] = iova_alloc(size[i] = next_size(mixed));
  return NS_PER_TURN(scaled(1e6), {
    u32 k = next_random() % LIVE;
    iova_free(at[k], size[k]);
    at[k] = iova_alloc(size[k] = next_size(mixed));
    if (at[k] == ~0u) abort();
  });
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "translate")) return translate(atoi(argv[2]));
  if (argc != 2) return 2;
  double one = exchange_ranges(0), mixed = exchange_ranges(1);
  printf("{\"one_page_ns\":%.4f,\"mixed_ns\":%.4f}\n", one, mixed);
}
