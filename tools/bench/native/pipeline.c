/* A whole DMA job: one thread submits {source, target, pages, fence}, the engine thread translates both sides, copies
 * and signals the fence.   pipeline PAGES IN_FLIGHT JOBS */
#define NEEDS_FUTEX
#include "pages.h"

/* 5000 PAUSEs are about 120 us on current x86-64: longer than a job, so a running system never sleeps. */
enum { SPIN_TURNS = 5000, SLOTS = 64, FIRST_PAGE = 0x100000 };

typedef struct {
  _Alignas(CACHE_LINES) _Atomic i32 value;
  _Atomic i32 sleepers;
} word;
static struct {
  u32 source, target, pages, fence;
} jobs[SLOTS];
static word submitted, fences[SLOTS];
static u8 *memory;
static page_table table;
static long job_count;
static u32 pages;

static void set(word *w, i32 value) {
  atomic_store(&w->value, value);
  if (atomic_load(&w->sleepers)) futex_wake(&w->value, 1);
}

static void wait_while(word *w, i32 value) {
  for (int i = 0; i < SPIN_TURNS; i++) {
    if (atomic_load_explicit(&w->value, memory_order_acquire) != value) return;
    cpu_relax();
  }
  atomic_store(&w->sleepers, 1);
  while (atomic_load(&w->value) == value) futex_wait(&w->value, value);
  atomic_store(&w->sleepers, 0);
}

static void *engine(void *unused) {
  (void)unused;
  for (i32 done = 0; done < job_count; done++) {
    while (atomic_load_explicit(&submitted.value, memory_order_acquire) == done) wait_while(&submitted, done);
    u32 k = done % SLOTS;
    if (dma_copy(memory, table.entries, jobs[k].source, jobs[k].target, jobs[k].pages) != pages) abort();
    set(&fences[jobs[k].fence], done + 1);
  }
  return 0;
}

static void await_job(i32 job) {
  word *fence = &fences[job % SLOTS];
  i32 seen;
  while ((seen = atomic_load_explicit(&fence->value, memory_order_acquire)) != job + 1) wait_while(fence, seen);
}

static void submit(i32 job, u32 side_pages) {
  u32 k = job % SLOTS;
  jobs[k].source = FIRST_PAGE + k * pages;
  jobs[k].target = FIRST_PAGE + side_pages + k * pages;
  jobs[k].pages = pages;
  jobs[k].fence = k;
  set(&submitted, job + 1);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  pages = atoi(argv[1]);
  long in_flight = atoi(argv[2]);
  job_count = scaled(atof(argv[3]));
  u32 side_pages = pages * SLOTS;
  memory = touched_memory((size_t)side_pages * 2 * PAGE);
  table = page_table_for(side_pages * 2);
  for (u32 i = 0; i < side_pages * 2; i++) map_page(&table, FIRST_PAGE + i, i);
  double *started = malloc(job_count * sizeof(double)), *latency = malloc(job_count * sizeof(double));
  pthread_t thread;
  pthread_create(&thread, 0, engine, 0);
  double start = now_ns();
  for (long i = 0; i < job_count + in_flight; i++) {
    long finished = i - in_flight;
    if (finished >= 0 && finished < job_count) {
      await_job(finished);
      latency[finished] = now_ns() - started[finished];
    }
    if (i < job_count) {
      started[i] = now_ns();
      submit(i, side_pages);
    }
  }
  double elapsed = now_ns() - start;
  pthread_join(thread, 0);
  sort_doubles(latency, job_count);
  printf("{\"p50_us\":%.4f,\"p99_us\":%.4f,\"kjobs_s\":%.3f}\n", latency[job_count / 2] / 1e3,
         latency[(long)(job_count * 0.99)] / 1e3, job_count / elapsed * 1e6);
}
