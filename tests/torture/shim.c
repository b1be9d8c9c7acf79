/* Counts the calls of the C library that change files below a path, and lets the nth of them kill the process, fail,
 * or do a part of its work. `shim.py` compiles it, loads it by LD_PRELOAD, and arms it through ctypes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, KILL, FAIL, SHORT };
enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, LINK = 16, UNLINK = 32, MKDIR = 64, RESIZE = 128, READ = 256 };

static int mode = OFF, error_number, sticky;
static unsigned mask;
static long nth;
static atomic_long count;
static char prefix[PATH_MAX];

void torture_arm(int new_mode, unsigned new_mask, long new_nth, int new_error, int new_sticky, const char *new_prefix) {
  mode = OFF;
  atomic_store(&count, 0);
  mask = new_mask, nth = new_nth, error_number = new_error, sticky = new_sticky;
  strncpy(prefix, new_prefix, sizeof prefix - 1);
  mode = new_mode;
}

long torture_count(void) { return atomic_load(&count); }

static int concerns(const char *path) { return path && strncmp(path, prefix, strlen(prefix)) == 0; }

static int concerns_file(int fd) {
  char name[64], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return concerns(path);
}

/* Returns whether the call has to fail or to be short. */
static int struck(unsigned kind) {
  long number = atomic_fetch_add(&count, 1) + 1;
  if (!nth || (sticky ? number < nth : number != nth)) return 0;
  (void)kind;
  if (mode == KILL) kill(getpid(), SIGKILL), pause();
  errno = error_number;
  return 1;
}

#define ARMED(kind) (mode != OFF && (mask & (kind)))
#define REAL(name) ((__typeof__(&name))(real_##name ? real_##name : (real_##name = dlsym(RTLD_NEXT, #name))))
#define HOOK(kind, concern, result, name, declared, passed)                                   \
  static void *real_##name;                                                                   \
  result name declared {                                                                      \
    if (ARMED(kind) && (concern)) {                                                           \
      int saved = errno;                                                                      \
      if (struck(kind) && mode != SHORT) return -1;                                           \
      errno = saved;                                                                          \
    }                                                                                         \
    return REAL(name) passed;                                                                 \
  }

#define WRITING(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))

#define OPEN_HOOK(name)                                                                       \
  static void *real_##name;                                                                   \
  int name(const char *path, int flags, ...) {                                                \
    va_list rest;                                                                             \
    va_start(rest, flags);                                                                    \
    mode_t bits = va_arg(rest, mode_t);                                                       \
    va_end(rest);                                                                             \
    if (ARMED(OPEN) && WRITING(flags) && concerns(path) && struck(OPEN) && mode != SHORT) return -1; \
    return ((int (*)(const char *, int, ...))(real_##name ? real_##name : (real_##name = dlsym(RTLD_NEXT, #name))))(path, flags, bits); \
  }

OPEN_HOOK(open)
OPEN_HOOK(open64)

#define TRANSFER_HOOK(kind, name, last_declared, last_passed, buffer)                         \
  static void *real_##name;                                                                   \
  ssize_t name(int fd, buffer data, size_t size last_declared) {                              \
    if (ARMED(kind) && concerns_file(fd) && struck(kind)) {                                   \
      if (mode != SHORT) return -1;                                                           \
      size = size > 1 ? size / 2 : size;                                                      \
    }                                                                                         \
    return ((ssize_t(*)(int, buffer, size_t, off_t))(real_##name ? real_##name : (real_##name = dlsym(RTLD_NEXT, #name))))(fd, data, size last_passed); \
  }

#define NOTHING
#define COMMA_OFFSET_DECLARED , off_t offset
#define COMMA_OFFSET , offset
#define COMMA_ZERO , 0

TRANSFER_HOOK(WRITE, write, NOTHING, COMMA_ZERO, const void *)
TRANSFER_HOOK(WRITE, pwrite, COMMA_OFFSET_DECLARED, COMMA_OFFSET, const void *)
TRANSFER_HOOK(WRITE, pwrite64, COMMA_OFFSET_DECLARED, COMMA_OFFSET, const void *)
TRANSFER_HOOK(READ, read, NOTHING, COMMA_ZERO, void *)
TRANSFER_HOOK(READ, pread, COMMA_OFFSET_DECLARED, COMMA_OFFSET, void *)
TRANSFER_HOOK(READ, pread64, COMMA_OFFSET_DECLARED, COMMA_OFFSET, void *)

HOOK(WRITE, concerns_file(fd), ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number))
HOOK(WRITE, concerns_file(out), ssize_t, sendfile, (int out, int in, off_t *offset, size_t size), (out, in, offset, size))
HOOK(WRITE, concerns_file(out), ssize_t, sendfile64, (int out, int in, off_t *offset, size_t size), (out, in, offset, size))
HOOK(SYNC, concerns_file(fd), int, fsync, (int fd), (fd))
HOOK(SYNC, concerns_file(fd), int, fdatasync, (int fd), (fd))
HOOK(RENAME, concerns(one) || concerns(other), int, rename, (const char *one, const char *other), (one, other))
HOOK(RENAME, concerns(one) || concerns(other), int, renameat, (int a, const char *one, int b, const char *other), (a, one, b, other))
HOOK(RENAME, concerns(one) || concerns(other), int, renameat2, (int a, const char *one, int b, const char *other, unsigned flags), (a, one, b, other, flags))
HOOK(LINK, concerns(other), int, link, (const char *one, const char *other), (one, other))
HOOK(LINK, concerns(other), int, linkat, (int a, const char *one, int b, const char *other, int flags), (a, one, b, other, flags))
HOOK(UNLINK, concerns(path), int, unlink, (const char *path), (path))
HOOK(UNLINK, at == AT_FDCWD ? concerns(path) : concerns_file(at), int, unlinkat, (int at, const char *path, int flags), (at, path, flags))
HOOK(UNLINK, concerns(path), int, rmdir, (const char *path), (path))
HOOK(MKDIR, concerns(path), int, mkdir, (const char *path, mode_t bits), (path, bits))
HOOK(RESIZE, concerns_file(fd), int, ftruncate, (int fd, off_t size), (fd, size))
HOOK(RESIZE, concerns_file(fd), int, ftruncate64, (int fd, off_t size), (fd, size))
