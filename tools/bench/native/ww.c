/* Wound-wait transactions: 3 of LOCKS locks at random, work inside and outside.   ww THREADS LOCKS SPIN
 * An older transaction wounds a younger holder, which gives its locks back; a younger one waits. A waiter waits on its own
 * event word, so an unlock wakes the oldest one and a wound reaches a sleeper wherever it sleeps. */
#define NEEDS_FUTEX
#include "bench.h"

enum { MOST_LOCKS = 64, MOST_THREADS = 16, TAKES = 3, WORK_TURNS = 200 };

typedef struct {
  _Alignas(CACHE_LINES) _Atomic i32 holder; /* thread + 1, 0 for none */
  _Atomic i32 waiters;                      /* a bit a thread */
} ww_lock;

typedef struct {
  _Alignas(CACHE_LINES) _Atomic i32 event;
  _Atomic i32 wounded, parked, stamp;
  long backoffs;
} transaction;

static ww_lock locks[MOST_LOCKS];
static transaction contexts[MOST_THREADS];
static _Alignas(CACHE_LINES) _Atomic i32 stamps;
static long held_by[MOST_LOCKS]; /* counted under the lock: shows lost exclusion */
static int lock_count, spin_turns;
static long turns_per_thread;
static volatile u32 sink;
static pthread_barrier_t barrier;

ALWAYS_INLINE u32 next_random(u32 x) { return x * 1664525u + 1013904223u; }
ALWAYS_INLINE u32 work(u32 x) {
  for (int i = 0; i < WORK_TURNS; i++) x = next_random(x);
  return x;
}

ALWAYS_INLINE int take(ww_lock *l, int me, i32 *holder) {
  *holder = 0;
  return atomic_compare_exchange_strong(&l->holder, holder, me + 1);
}

static void wake(transaction *t) {
  atomic_fetch_add(&t->event, 1);
  if (atomic_load(&t->parked)) futex_wake(&t->event, 1);
}

/* Whether the lock was taken; not when the transaction is wounded, unless it holds nothing else. */
static int lock(int me, ww_lock *l, int holds_nothing) {
  transaction *mine = &contexts[me];
  i32 bit = 1 << me, holder;
  for (;;) {
    if (take(l, me, &holder)) return 1;
    if (!holds_nothing && atomic_load(&mine->wounded)) return 0;
    for (int i = 0; i < spin_turns; i++) {
      cpu_relax();
      if (atomic_load(&l->holder) == 0 && take(l, me, &holder)) return 1;
      if (!holds_nothing && atomic_load_explicit(&mine->wounded, memory_order_relaxed)) return 0;
    }
    i32 event = atomic_load(&mine->event);
    atomic_fetch_or(&l->waiters, bit);
    int taken = take(l, me, &holder);
    if (!taken) {
      transaction *other = &contexts[holder - 1];
      if (atomic_load(&mine->stamp) < atomic_load(&other->stamp) && !atomic_exchange(&other->wounded, 1)) wake(other);
      if (holds_nothing || !atomic_load(&mine->wounded)) {
        atomic_store(&mine->parked, 1);
        if (atomic_load(&mine->event) == event) futex_wait(&mine->event, event);
        atomic_store(&mine->parked, 0);
      }
    }
    atomic_fetch_and(&l->waiters, ~bit);
    if (taken) return 1;
    if (!holds_nothing && atomic_load(&mine->wounded)) return 0;
  }
}

static void unlock(ww_lock *l) {
  atomic_store(&l->holder, 0);
  int oldest = -1;
  for (i32 left = atomic_load(&l->waiters); left; left &= left - 1) {
    int i = __builtin_ctz(left);
    if (oldest < 0 || contexts[i].stamp < contexts[oldest].stamp) oldest = i;
  }
  if (oldest >= 0) wake(&contexts[oldest]);
}

static u32 choose(u32 x, int *set) {
  for (int n = 0; n < TAKES;) {
    x = next_random(x);
    int candidate = (x >> 8) % lock_count, known = 0;
    for (int i = 0; i < n; i++) known |= set[i] == candidate;
    if (!known) set[n++] = candidate;
  }
  return x;
}

/* Takes all of the set; after a wound, the lock that was refused comes first. */
static void take_all(int me, const int *set) {
  transaction *mine = &contexts[me];
  for (int first = -1, i = 0; i < TAKES; i++) {
    if (set[i] == first || lock(me, &locks[set[i]], 0)) continue;
    for (int j = 0; j < i; j++)
      if (set[j] != first) unlock(&locks[set[j]]);
    if (first >= 0) unlock(&locks[first]);
    atomic_store(&mine->wounded, 0);
    mine->backoffs++;
    first = set[i];
    lock(me, &locks[first], 1);
    i = -1;
  }
}

static void *run(void *argument) {
  int me = (int)(intptr_t)argument, set[TAKES];
  u32 x = me * 7919u + 1;
  pthread_barrier_wait(&barrier);
  for (long turn = 0; turn < turns_per_thread; turn++) {
    x = choose(x, set);
    atomic_store(&contexts[me].wounded, 0);
    atomic_store(&contexts[me].stamp, atomic_fetch_add(&stamps, 1));
    take_all(me, set);
    for (int i = 0; i < TAKES; i++) held_by[set[i]]++;
    x = work(x);
    for (int i = 0; i < TAKES; i++) unlock(&locks[set[i]]);
    x = work(x);
  }
  sink = x;
  return 0;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 0;
  lock_count = argc > 2 ? atoi(argv[2]) : 0;
  spin_turns = argc > 3 ? atoi(argv[3]) : 0;
  if (threads < 1 || threads > MOST_THREADS || lock_count < TAKES || lock_count > MOST_LOCKS) return 2;
  turns_per_thread = scaled(1e6) / threads;
  pthread_t t[MOST_THREADS];
  pthread_barrier_init(&barrier, 0, threads + 1);
  for (long i = 0; i < threads; i++) pthread_create(&t[i], 0, run, (void *)i);
  pthread_barrier_wait(&barrier);
  double start = now_ns(), cpu_start = cpu_ns();
  for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
  double elapsed = now_ns() - start, cpu = cpu_ns() - cpu_start;
  long total = turns_per_thread * threads, held = 0, backoffs = 0;
  for (int i = 0; i < lock_count; i++) held += held_by[i];
  for (int i = 0; i < threads; i++) backoffs += contexts[i].backoffs;
  if (held != total * TAKES) return 3; /* a lost update: a lock is broken */
  printf("{\"ktx_s\":%.4f,\"cpu_ns\":%.4f,\"backoffs_per_ktx\":%.4f}\n", total / elapsed * 1e6, cpu / total,
         backoffs * 1e3 / total);
}
