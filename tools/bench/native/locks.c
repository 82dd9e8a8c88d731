/* Mutexes.   locks uncontended | locks contended-futex THREADS SPIN | locks contended-pthread THREADS
 * uncontended: ns of lock + unlock. contended: million lock, short work, unlock, work a second, all threads together. */
#define NEEDS_FUTEX
#include "bench.h"

/* Three states (Drepper, "Futexes are tricky", mutex2): 0 free, 1 held, 2 held and somebody may sleep. */
typedef struct {
  _Alignas(64) _Atomic i32 state;
} futex_mutex;

static int spin_turns;
static futex_mutex futex_lock_word;
static pthread_mutex_t pthread_lock;
static int use_pthread;
static volatile long counter;
static long turns_per_thread;
static volatile u32 sink;
static pthread_barrier_t barrier;

ALWAYS_INLINE i32 compare_exchange(_Atomic i32 *word, i32 expected, i32 value) {
  atomic_compare_exchange_strong(word, &expected, value);
  return expected;
}

ALWAYS_INLINE void lock(futex_mutex *m) {
  if (compare_exchange(&m->state, 0, 1) == 0) return;
  for (int i = 0; i < spin_turns; i++) {
    if (atomic_load_explicit(&m->state, memory_order_relaxed) == 0 && compare_exchange(&m->state, 0, 1) == 0) return;
    cpu_relax();
  }
  while (atomic_exchange(&m->state, 2) != 0) futex_wait(&m->state, 2);
}

ALWAYS_INLINE void unlock(futex_mutex *m) {
  if (atomic_fetch_sub(&m->state, 1) == 1) return;
  atomic_store(&m->state, 0);
  futex_wake(&m->state, 1);
}

ALWAYS_INLINE u32 work(u32 x, int turns) {
  for (int i = 0; i < turns; i++) x = x * 1664525u + 1013904223u;
  return x;
}

static void *contend(void *seed) {
  u32 x = (u32)(uintptr_t)seed;
  pthread_barrier_wait(&barrier);
  for (long i = 0; i < turns_per_thread; i++) {
    if (use_pthread) pthread_mutex_lock(&pthread_lock);
    else lock(&futex_lock_word);
    counter++;
    x = work(x, 20);
    if (use_pthread) pthread_mutex_unlock(&pthread_lock);
    else unlock(&futex_lock_word);
    x = work(x, 60);
  }
  sink = x;
  return 0;
}

static int contended(int threads) {
  pthread_t t[32];
  turns_per_thread = scaled(2e6) / threads;
  pthread_barrier_init(&barrier, 0, threads + 1);
  for (long i = 0; i < threads; i++) pthread_create(&t[i], 0, contend, (void *)i);
  pthread_barrier_wait(&barrier);
  double start = now_ns();
  for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
  double elapsed = now_ns() - start;
  if (counter != turns_per_thread * threads) return 3; /* a lost update: the lock is broken */
  printf("{\"Mops_s\":%.4f}\n", turns_per_thread * threads / elapsed * 1e3);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  become_multithreaded();
  pthread_mutex_init(&pthread_lock, 0);
  if (!strcmp(argv[1], "uncontended")) {
    long turns = scaled(1e7);
    double futex = NS_PER_TURN(turns, lock(&futex_lock_word); unlock(&futex_lock_word));
    double pthread = NS_PER_TURN(turns, pthread_mutex_lock(&pthread_lock); pthread_mutex_unlock(&pthread_lock));
    printf("{\"lock_unlock_ns\":%.4f,\"pthread_ns\":%.4f}\n", futex, pthread);
    return 0;
  }
  int threads = argc > 2 ? atoi(argv[2]) : 2;
  if (threads < 1 || threads > 32) return 2;
  spin_turns = argc > 3 ? atoi(argv[3]) : 0;
  use_pthread = !strcmp(argv[1], "contended-pthread");
  return contended(threads);
}
