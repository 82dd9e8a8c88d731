/* The life cycle of a fence in a table of 32-byte slots.   fence own THREADS [clock] | fence crossing
 * own: each thread creates, publishes in a reservation slot, signals, checks, clears the slot, drops two references
 * and frees its own fences. crossing: one thread creates and publishes, the other signals and frees.
 * The free list is a magazine of 2 x 32 slots a thread, exchanged in batches of 32 with a shared depot by one tagged
 * compare-and-swap. */
#include "bench.h"

enum { SIGNALED = 1, ONE_REF = 256, BATCH = 32, FENCES = 65536, RING = 1024 };

/* refs << 8 | flags live in one word, so that signal, get and put are one read-modify-write each. */
typedef struct {
  i32 state, error;
  i32 context_low, context_high;
  i32 seqno_low, seqno_high;
  i32 time_low, time_high;
} fence;
_Static_assert(sizeof(fence) == 32, "a fence is half a cache line");

typedef struct {
  i32 count;
  i32 slot[2 * BATCH];
} magazine;

static fence *fences;
static i32 next_in_batch[FENCES], next_batch[FENCES];
static _Alignas(CACHE_LINES) i32 depot; /* tag << 20 | index + 1 of the first slot of a batch */
static _Alignas(CACHE_LINES) i32 reservations[16 * 64];
static _Alignas(CACHE_LINES) i32 ring_head;
static _Alignas(CACHE_LINES) i32 ring_tail;
static _Alignas(CACHE_LINES) i32 ring[RING];
static long cycles;
static int crossing, read_clock;
static pthread_barrier_t barrier;
static volatile i32 sink;

ALWAYS_INLINE i32 load(i32 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
ALWAYS_INLINE void store(i32 *p, i32 v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
ALWAYS_INLINE int swap_depot(i32 old, i32 link) {
  i32 value = (i32)(((u32)old + 0x100000u) & 0xfff00000u) | link;
  return __atomic_compare_exchange_n(&depot, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static i32 take_batch(void) {
  for (;;) {
    i32 head = load(&depot), first = (head & 0xfffff) - 1;
    if (first < 0) return -1;
    if (swap_depot(head, load(&next_batch[first]))) return first;
  }
}

static void give_batch(i32 first) {
  for (;;) {
    i32 head = load(&depot);
    store(&next_batch[first], head & 0xfffff);
    if (swap_depot(head, first + 1)) return;
  }
}

ALWAYS_INLINE i32 alloc_slot(magazine *m) {
  if (m->count == 0) {
    i32 x = take_batch();
    if (x < 0) return -1;
    for (int i = 0; i < BATCH; i++, x = next_in_batch[x]) m->slot[i] = x;
    m->count = BATCH;
  }
  return m->slot[--m->count];
}

ALWAYS_INLINE void free_slot(magazine *m, i32 x) {
  if (m->count == 2 * BATCH) {
    for (int i = BATCH; i < 2 * BATCH - 1; i++) next_in_batch[m->slot[i]] = m->slot[i + 1];
    m->count = BATCH;
    give_batch(m->slot[BATCH]);
  }
  m->slot[m->count++] = x;
}

ALWAYS_INLINE void init_fence(i32 x, i32 context, i32 seqno) {
  fence *f = &fences[x];
  f->error = 0;
  f->context_low = context, f->context_high = 0;
  f->seqno_low = seqno, f->seqno_high = 0;
  f->time_low = 0, f->time_high = 0;
  store(&f->state, ONE_REF);
}
ALWAYS_INLINE void get_fence(i32 x) { __atomic_fetch_add(&fences[x].state, ONE_REF, __ATOMIC_SEQ_CST); }
ALWAYS_INLINE void signal_fence(i32 x, i32 time) {
  fences[x].time_low = read_clock ? (i32)now_ns() : time;
  __atomic_fetch_or(&fences[x].state, SIGNALED, __ATOMIC_SEQ_CST);
}
ALWAYS_INLINE i32 is_signaled(i32 x) { return load(&fences[x].state) & SIGNALED; }
ALWAYS_INLINE void put_fence(magazine *m, i32 x) {
  if (__atomic_fetch_sub(&fences[x].state, ONE_REF, __ATOMIC_SEQ_CST) >> 8 == 1) free_slot(m, x);
}

static i32 live_and_die(magazine *m, i32 thread) {
  i32 sum = 0;
  for (long i = 0; i < cycles; i++) {
    i32 *slot = &reservations[thread * 64 + (i & 7)];
    i32 x = alloc_slot(m);
    init_fence(x, thread + 1, (i32)i);
    get_fence(x);
    store(slot, x + 1);
    signal_fence(x, (i32)i);
    sum += is_signaled(x);
    put_fence(m, __atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST) - 1);
    put_fence(m, x);
  }
  return sum;
}

static void produce(magazine *m) {
  for (i32 i = 0, head = 0; i < cycles; i++) {
    i32 x;
    while ((x = alloc_slot(m)) < 0) cpu_relax();
    init_fence(x, 1, i);
    get_fence(x);
    while (head - load(&ring_tail) >= RING) cpu_relax();
    ring[head & (RING - 1)] = x;
    store(&ring_head, ++head);
    put_fence(m, x);
  }
}

static void consume(magazine *m) {
  for (i32 i = 0, tail = 0; i < cycles; i++) {
    while (load(&ring_head) == tail) cpu_relax();
    i32 x = ring[tail & (RING - 1)];
    store(&ring_tail, ++tail);
    signal_fence(x, i);
    put_fence(m, x);
  }
}

static void *run(void *argument) {
  i32 thread = (i32)(intptr_t)argument;
  magazine m = {0};
  pthread_barrier_wait(&barrier);
  if (!crossing) sink = live_and_die(&m, thread);
  else if (thread == 0) produce(&m);
  else consume(&m);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  crossing = !strcmp(argv[1], "crossing");
  int threads = crossing ? 2 : argc > 2 ? atoi(argv[2]) : 1;
  read_clock = argc > 3 && !strcmp(argv[3], "clock");
  if (threads < 1 || threads > 16) return 2;
  cycles = scaled(6e6) / (crossing ? 1 : threads);
  fences = aligned_alloc(CACHE_LINES, sizeof(fence) * FENCES);
  memset(fences, 0, sizeof(fence) * FENCES);
  for (i32 b = FENCES - BATCH; b >= 0; b -= BATCH) {
    for (i32 i = 0; i < BATCH - 1; i++) next_in_batch[b + i] = b + i + 1;
    give_batch(b);
  }
  pthread_t t[16];
  pthread_barrier_init(&barrier, 0, threads + 1);
  for (long i = 0; i < threads; i++) pthread_create(&t[i], 0, run, (void *)i);
  pthread_barrier_wait(&barrier);
  double start = now_ns(), cpu_start = cpu_ns();
  for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
  double elapsed = now_ns() - start, cpu = cpu_ns() - cpu_start, total = (double)cycles * (crossing ? 1 : threads);
  printf("{\"cycle_ns\":%.4f,\"cpu_ns\":%.4f,\"Mcycles_s\":%.4f}\n", elapsed / cycles, cpu / total, total / elapsed * 1e3);
}
