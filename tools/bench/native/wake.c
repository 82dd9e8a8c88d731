/* Signal -> wake between two threads.   wake ping-pong MODE ROUNDS | wake cold MODE ROUNDS
 * MODE: futex (sleep at once) | cond (mutex and condition variable) | spin (never sleep)
 * ping-pong: time of a round trip. cold: one way, the waiter has been waiting for 100 us. */
#define NEEDS_FUTEX
#include "bench.h"

enum mode { FUTEX, COND, SPIN };
static enum mode mode;
static long rounds;

typedef struct {
  _Alignas(CACHE_LINES) _Atomic i32 value;
} word;
static word ping, pong;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ping_changed = PTHREAD_COND_INITIALIZER, pong_changed = PTHREAD_COND_INITIALIZER;
static double *woken_at;

static void signal_word(word *w, i32 value, pthread_cond_t *changed) {
  if (mode == COND) {
    pthread_mutex_lock(&mutex);
    w->value = value;
    pthread_cond_signal(changed);
    pthread_mutex_unlock(&mutex);
    return;
  }
  atomic_store(&w->value, value);
  if (mode == FUTEX) futex_wake(&w->value, 1);
}

static void await_word(word *w, i32 value, pthread_cond_t *changed) {
  i32 seen;
  switch (mode) {
    case COND:
      pthread_mutex_lock(&mutex);
      while (w->value != value) pthread_cond_wait(changed, &mutex);
      pthread_mutex_unlock(&mutex);
      return;
    case SPIN:
      while (atomic_load_explicit(&w->value, memory_order_acquire) != value) cpu_relax();
      return;
    case FUTEX:
      while ((seen = atomic_load(&w->value)) != value) futex_wait(&w->value, seen);
  }
}

static void *echo(void *unused) {
  (void)unused;
  for (long i = 1; i <= rounds; i++) {
    await_word(&ping, i, &ping_changed);
    signal_word(&pong, i, &pong_changed);
  }
  return 0;
}

static void *note_wake_time(void *unused) {
  (void)unused;
  for (long i = 1; i <= rounds; i++) {
    await_word(&ping, i, &ping_changed);
    woken_at[i - 1] = now_ns();
    atomic_store(&pong.value, i);
  }
  return 0;
}

static void print_quantiles(double *samples) {
  sort_doubles(samples, rounds);
  printf("{\"p50_us\":%.4f,\"p99_us\":%.4f}\n", samples[rounds / 2] / 1e3, samples[(long)(rounds * 0.99)] / 1e3);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  mode = !strcmp(argv[2], "spin") ? SPIN : !strcmp(argv[2], "cond") ? COND : FUTEX;
  rounds = scaled(atof(argv[3]));
  double *samples = malloc(rounds * sizeof *samples);
  woken_at = malloc(rounds * sizeof *woken_at);
  int cold = !strcmp(argv[1], "cold");
  pthread_t peer;
  pthread_create(&peer, 0, cold ? note_wake_time : echo, 0);
  for (long i = 1; i <= rounds; i++) {
    if (cold)
      for (double end = now_ns() + 100e3; now_ns() < end;) cpu_relax();
    double start = now_ns();
    signal_word(&ping, i, &ping_changed);
    if (cold) {
      while (atomic_load(&pong.value) != i) cpu_relax();
      samples[i - 1] = woken_at[i - 1] - start;
    } else {
      await_word(&pong, i, &pong_changed);
      samples[i - 1] = now_ns() - start;
    }
  }
  pthread_join(peer, 0);
  print_quantiles(samples);
}
