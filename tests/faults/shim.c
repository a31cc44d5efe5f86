/* Faults for the calls that change files below one folder: the n-th of them fails, is cut short, or ends the process.

Preloaded (LD_PRELOAD) into a process, which calls `faults_arm` before what it wants disturbed and `faults_disarm` after.
Calls on descriptors count where the descriptor's file lies below the folder. Opening a file for reading counts too. Calls
that go past the C library are not met: the safetensors package renames its own file so. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FAIL, FAIL_FROM_HERE_ON, CUT, KILL_BEFORE, KILL_AFTER };

static char folder[PATH_MAX], trace[1 << 16];
static int at, what, number, count, armed;

void faults_arm(const char *below, int nth, int kind, int error) {
  snprintf(folder, sizeof folder, "%s", below);
  trace[0] = 0;
  at = nth, what = kind, number = error, count = 0, armed = 1;
}

int faults_disarm(void) {
  armed = 0;
  return count;
}

/* One line a call: its name, a tab, and the path below the folder. */
const char *faults_trace(void) { return trace; }

/* Whether this call fails. `length` is what a write is asked for; it is lowered where the write is to be cut. */
static int fault(const char *call, const char *path, size_t *length) {
  size_t size = strlen(folder), used = strlen(trace);
  if (!armed || strncmp(path, folder, size) || (path[size] && path[size] != '/')) return 0;
  snprintf(trace + used, sizeof trace - used, "%s\t%s\n", call, path[size] ? path + size + 1 : ".");
  count++;
  if (count == at && what == KILL_BEFORE) raise(SIGKILL);
  if (what == CUT && count == at && length && *length > 1) {
    *length /= 2;
    return 0;
  }
  if ((count == at && (what == FAIL || what == CUT)) ||
      (count > at && what == CUT && length) || (count >= at && what == FAIL_FROM_HERE_ON)) {
    errno = number;
    return 1;
  }
  return 0;
}

static void done(void) {
  if (armed && count == at && what == KILL_AFTER) raise(SIGKILL);
}

static const char *of_descriptor(int descriptor, char *buffer) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t size = readlink(link, buffer, PATH_MAX - 1);
  buffer[size < 0 ? 0 : size] = 0;
  return buffer;
}

static const char *at_folder(int descriptor, const char *path, char *buffer) {
  if (path[0] == '/') return path;
  if (descriptor == AT_FDCWD) {
    if (!getcwd(buffer, PATH_MAX)) return path;
  } else {
    of_descriptor(descriptor, buffer);
  }
  size_t used = strlen(buffer);
  snprintf(buffer + used, PATH_MAX - used, "/%s", path);
  return buffer;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALL(name, path, length, ...) CALL_OR(-1, name, path, length, __VA_ARGS__)
#define CALL_OR(failure, name, path, length, ...)         \
  do {                                                    \
    if (armed && fault(#name, path, length)) return failure; \
    __typeof__(name(__VA_ARGS__)) result = REAL(name)(__VA_ARGS__); \
    if (armed) {                                          \
      int kept = errno;                                   \
      done();                                             \
      errno = kept;                                       \
    }                                                     \
    return result;                                        \
  } while (0)
#define BUFFER char buffer[PATH_MAX] = ""
#define AT(descriptor, path) armed ? at_folder(descriptor, path, buffer) : ""
#define OF(descriptor) armed ? of_descriptor(descriptor, buffer) : ""

#define OPEN(name)                                  \
  int name(const char *path, int flags, ...) {      \
    BUFFER;                                         \
    va_list list;                                   \
    va_start(list, flags);                          \
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0; \
    va_end(list);                                   \
    CALL(name, AT(AT_FDCWD, path), NULL, path, flags, mode); \
  }
#define OPENAT(name)                                     \
  int name(int parent, const char *path, int flags, ...) { \
    BUFFER;                                              \
    va_list list;                                        \
    va_start(list, flags);                               \
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0; \
    va_end(list);                                        \
    CALL(name, AT(parent, path), NULL, parent, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t n) { BUFFER; CALL(write, OF(fd), &n, fd, data, n); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t to) { BUFFER; CALL(pwrite, OF(fd), &n, fd, data, n, to); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t to) { BUFFER; CALL(pwrite64, OF(fd), &n, fd, data, n, to); }
ssize_t writev(int fd, const struct iovec *v, int n) { BUFFER; CALL(writev, OF(fd), NULL, fd, v, n); }
int fsync(int fd) { BUFFER; CALL(fsync, OF(fd), NULL, fd); }
int fdatasync(int fd) { BUFFER; CALL(fdatasync, OF(fd), NULL, fd); }
int ftruncate(int fd, off_t to) { BUFFER; CALL(ftruncate, OF(fd), NULL, fd, to); }
int ftruncate64(int fd, off64_t to) { BUFFER; CALL(ftruncate64, OF(fd), NULL, fd, to); }
int chmod(const char *path, mode_t mode) { BUFFER; CALL(chmod, AT(AT_FDCWD, path), NULL, path, mode); }
int fchmod(int fd, mode_t mode) { BUFFER; CALL(fchmod, OF(fd), NULL, fd, mode); }
int rename(const char *from, const char *to) { BUFFER; CALL(rename, AT(AT_FDCWD, to), NULL, from, to); }
int renameat(int a, const char *from, int b, const char *to) { BUFFER; CALL(renameat, AT(b, to), NULL, a, from, b, to); }
int mkdir(const char *path, mode_t mode) { BUFFER; CALL(mkdir, AT(AT_FDCWD, path), NULL, path, mode); }
int mkdirat(int fd, const char *path, mode_t mode) { BUFFER; CALL(mkdirat, AT(fd, path), NULL, fd, path, mode); }
int unlink(const char *path) { BUFFER; CALL(unlink, AT(AT_FDCWD, path), NULL, path); }
int unlinkat(int fd, const char *path, int flags) { BUFFER; CALL(unlinkat, AT(fd, path), NULL, fd, path, flags); }
int rmdir(const char *path) { BUFFER; CALL(rmdir, AT(AT_FDCWD, path), NULL, path); }
DIR *opendir(const char *path) { BUFFER; CALL_OR(NULL, opendir, AT(AT_FDCWD, path), NULL, path); }
int renameat2(int a, const char *from, int b, const char *to, unsigned int flags) {
  BUFFER;
  CALL(renameat2, AT(b, to), NULL, a, from, b, to, flags);
}

/* What fails to be closed is closed nevertheless: a network's file system tells so late that a write was lost. Of what
is only read nothing can be lost. */
int close(int fd) {
  BUFFER;
  int written = armed && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  int failed = written && fault("close", OF(fd), NULL), error = errno;
  int result = REAL(close)(fd);
  if (!failed) {
    int kept = errno;
    if (written) done();
    errno = kept;
    return result;
  }
  errno = error;
  return -1;
}
