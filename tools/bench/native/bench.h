/* What every reference program needs: a clock, medians, a pause instruction, futexes, scaled counts. */
#ifndef BENCH_H
#define BENCH_H
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define CACHE_LINES 128 /* a line and the neighbour the prefetcher brings along */

typedef int32_t i32;
typedef uint32_t u32;
typedef uint64_t u64;
typedef uint8_t u8;

ALWAYS_INLINE double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

/* CPU time of this process. */
ALWAYS_INLINE double cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

ALWAYS_INLINE void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static inline int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static inline void sort_doubles(double *v, long n) { qsort(v, n, sizeof *v, compare_doubles); }

/* An iteration count, made smaller by BENCH_SCALE (0..1) in quick runs. */
static inline long scaled(double count) {
  const char *s = getenv("BENCH_SCALE");
  double n = count * (s ? atof(s) : 1);
  return n < 1 ? 1 : (long)n;
}

/* Median ns a turn of 7 timed slices of `count` turns each, after one slice of warm-up; `i` is the turn. */
#define NS_PER_TURN(count, statement)                       \
  ({                                                        \
    long count_ = (count);                                  \
    double slices_[7];                                      \
    for (int slice_ = -1; slice_ < 7; slice_++) {           \
      double start_ = now_ns();                             \
      for (long i = 0; i < count_; i++) {                   \
        statement;                                          \
      }                                                     \
      if (slice_ >= 0) slices_[slice_] = (now_ns() - start_) / count_; \
    }                                                       \
    sort_doubles(slices_, 7);                               \
    slices_[3];                                             \
  })

/* glibc drops the lock prefix in pthread_mutex while a process has one thread: start a second one before timing. */
static void *sleep_for_ever(void *unused) {
  (void)unused;
  for (;;) pause();
  return 0;
}
static inline void become_multithreaded(void) {
  pthread_t t;
  pthread_create(&t, 0, sleep_for_ever, 0);
}

#ifdef NEEDS_FUTEX
#ifndef __linux__
#error "this reference needs the futex system call of Linux"
#endif
#include <linux/futex.h>
#include <sys/syscall.h>
static inline void futex_wait(_Atomic i32 *word, i32 expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, 0, 0, 0);
}
static inline void futex_wake(_Atomic i32 *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}
#endif
#endif
