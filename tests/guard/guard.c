/* A malloc for LD_PRELOAD that lets no fault of memory pass: while on, every block of at least `least` bytes lies
   between two pages that nobody may touch, and a freed block becomes one. A read or write beyond a block's end
   (or, with `front`, before its beginning), or of freed memory, is a segmentation fault at that very instruction.
   What alignment leaves free in a block's pages is filled with a pattern, checked when the block is freed.

   Blocks are cut from one large range of addresses, in order, and no address is ever used again. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { PAGE = 4096, ALIGNMENT = 16, PATTERN = 0xA5 };
static const size_t RANGE = (size_t)1 << 37, LARGEST = (size_t)1 << 27;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int on;
static size_t least;
static int at_front;
static unsigned char *range;   /* of RANGE bytes, not accessible but for the blocks in use */
static size_t used;            /* bytes of the range given out */
static size_t *sizes;          /* bytes asked for, by the page of the range that a block begins in */
static long made, broken;

void guard_on(size_t smallest, int front) {
  if (!range) {
    range = mmap(0, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    sizes = mmap(0, RANGE / PAGE * sizeof *sizes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED || sizes == MAP_FAILED) abort();
  }
  least = smallest;
  at_front = front;
  on = 1;
}
void guard_off(void) { on = 0; }
long guard_made(void) { return made; }
long guard_broken(void) { return broken; }

static int wanted(size_t size) { return on && size >= least && size <= LARGEST; }
static int ours(void *p) { return range && (unsigned char *)p >= range && (unsigned char *)p < range + RANGE; }
static size_t whole_pages(size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }
static size_t page_of(void *p) { return ((unsigned char *)p - range) / PAGE; }

static void *guarded(size_t size) {
  size_t length = whole_pages(size);
  pthread_mutex_lock(&lock);
  unsigned char *pages = range + used + PAGE;
  used += length + PAGE; /* the next block's first forbidden page is this one's last */
  made++;
  pthread_mutex_unlock(&lock);
  if (pages + length + PAGE > range + RANGE || mprotect(pages, length, PROT_READ | PROT_WRITE)) abort();
  memset(pages, PATTERN, length);
  unsigned char *block = at_front ? pages : pages + ((length - size) & ~(size_t)(ALIGNMENT - 1));
  sizes[page_of(block)] = size;
  return block;
}

static void release(void *p) {
  size_t size = sizes[page_of(p)], length = whole_pages(size);
  unsigned char *pages = range + page_of(p) * PAGE;
  for (unsigned char *q = pages; q < pages + length; q++) {
    if (q == p) q += size;
    if (q < pages + length && *q != PATTERN) {
      broken++;
      break;
    }
  }
  madvise(pages, length, MADV_DONTNEED);
  if (mprotect(pages, length, PROT_NONE)) abort();
}

void *malloc(size_t size) { return wanted(size) ? guarded(size) : __libc_malloc(size); }

void free(void *p) {
  if (!p) return;
  if (ours(p)) release(p);
  else __libc_free(p);
}

void *calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || !wanted(bytes)) return __libc_calloc(count, size);
  return memset(guarded(bytes), 0, bytes);
}

void *realloc(void *p, size_t size) {
  if (!p || !ours(p)) return __libc_realloc(p, size);
  size_t before = sizes[page_of(p)];
  void *moved = malloc(size);
  if (!moved) return 0;
  memcpy(moved, p, before < size ? before : size);
  release(p);
  return moved;
}

void *memalign(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }
int posix_memalign(void **p, size_t alignment, size_t size) {
  *p = __libc_memalign(alignment, size);
  return *p ? 0 : ENOMEM;
}
