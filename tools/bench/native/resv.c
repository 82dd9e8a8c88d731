/* A reservation object with 1, 8 or 64 fences.   resv FENCES
 * add: lock, look for room, put a fence of each context in place of its predecessor, unlock. walk: without the lock, take a
 * reference on each fence, see that neither list nor entry changed, look at its flag, drop the reference. */
#include "bench.h"

enum { SIGNALED = 1, ONE_REF = 256, MOST = 64 };

typedef struct {
  i32 state, error;
  i32 context, unused;
  i32 seqno_low, seqno_high;
  i32 time_low, time_high;
} fence;

typedef struct {
  i32 count, max;
  i32 entry[2 * MOST]; /* index of a fence << 2 | usage */
} list;

static fence fences[MOST];
static list entries = {.max = 2 * MOST};
static _Alignas(CACHE_LINES) i32 lock_word;
static _Alignas(CACHE_LINES) i32 version;
static int count;
static volatile i32 sink;

ALWAYS_INLINE i32 load(i32 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
ALWAYS_INLINE void store(i32 *p, i32 v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
ALWAYS_INLINE void get(fence *f) { __atomic_fetch_add(&f->state, ONE_REF, __ATOMIC_SEQ_CST); }
ALWAYS_INLINE void put(fence *f) {
  if (__atomic_fetch_sub(&f->state, ONE_REF, __ATOMIC_SEQ_CST) >> 8 == 1) sink++;
}
ALWAYS_INLINE int try_get(fence *f) {
  for (i32 v = load(&f->state); v >> 8 != 0;) {
    if (__atomic_compare_exchange_n(&f->state, &v, v + ONE_REF, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 1;
  }
  return 0;
}

static void add(i32 index, i32 usage) {
  fence *f = &fences[index];
  get(f);
  for (i32 i = 0; i < entries.count; i++) {
    fence *old = &fences[entries.entry[i] >> 2];
    int later = old->context == f->context && (entries.entry[i] & 3) >= usage && f->seqno_low - old->seqno_low >= 0;
    if (!later && !(load(&old->state) & SIGNALED)) continue;
    store(&entries.entry[i], index << 2 | usage);
    put(old);
    return;
  }
  entries.entry[entries.count] = index << 2 | usage;
  store(&entries.count, entries.count + 1);
}

static void add_all(void) {
  i32 free_word = 0;
  while (!__atomic_compare_exchange_n(&lock_word, &free_word, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) free_word = 0;
  if (entries.count + count > entries.max) exit(2);
  for (i32 i = 0; i < count; i++) add(i, 1);
  __atomic_exchange_n(&lock_word, 0, __ATOMIC_SEQ_CST);
}

static i32 walk(void) {
  i32 found = 0, seen = load(&version), n = load(&entries.count);
  for (i32 i = 0; i < n; i++) {
    i32 entry = load(&entries.entry[i]);
    fence *f = &fences[entry >> 2];
    if (load(&version) != seen || !try_get(f) || load(&version) != seen || load(&entries.entry[i]) != entry) exit(2);
    if (!(load(&f->state) & SIGNALED)) found++;
    put(f);
  }
  return found;
}

int main(int argc, char **argv) {
  count = argc > 1 ? atoi(argv[1]) : 0;
  if (count < 1 || count > MOST) return 2;
  for (i32 i = 0; i < count; i++) fences[i] = (fence){.state = ONE_REF, .context = i + 1, .seqno_low = 1};
  long turns = scaled(2e6 / count);
  add_all();
  double add_ns = NS_PER_TURN(turns, add_all()) / count;
  double walk_ns = NS_PER_TURN(turns, sink = walk()) / count;
  if (walk() != count) return 3;
  printf("{\"add_ns\":%.4f,\"walk_ns\":%.4f}\n", add_ns, walk_ns);
}
