/* A disk that fails below the store, for `disk_faults.rs`: preloaded, it counts the calls of a process that change files of one
 * directory, and lets the n-th of them fail.
 *
 * DISK_UNDER  the directory
 * DISK_AT     which call; 0: none
 * DISK_HELD   a file: while it is there, calls hang, which a file of that name and `.hangs` says
 * DISK_MODE   full: from this call on nothing is written any more, as without space
 *             lost: the process ends at this call as if the power failed: what was written and not synced is not on the disk.
 *                   A file that was renamed before it was synced has its new name, and not its content
 * DISK_COUNT  a file that gets the number of calls at the end
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a write replaced, the newest first. */
struct undo {
    int fd;
    dev_t dev;
    ino_t ino;
    off_t at, size;
    ssize_t length;
    char *old;
    struct undo *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct undo *undone;
static long calls;

#define REAL(type, name, ...)                                  \
    static type (*real)(__VA_ARGS__);                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t put(int fd, const void *bytes, size_t count, off_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    return real(fd, bytes, count, at);
}

static int cut_to(int fd, off_t size) {
    REAL(int, "ftruncate64", int, off_t);
    return real(fd, size);
}

static int is_under(const char *path) {
    const char *under = getenv("DISK_UNDER");
    return under && strncmp(path, under, strlen(under)) == 0;
}

static int is_ours(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    struct stat stat;
    return is_under(path) && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
}

static int mode_is(const char *mode) {
    const char *set = getenv("DISK_MODE");
    return set && strcmp(set, mode) == 0;
}

static void write_count(void) {
    const char *path = getenv("DISK_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld", calls);
    fclose(file);
}

__attribute__((destructor)) static void end(void) { write_count(); }

/* The power fails: takes back what is not synced. */
static void lose(void) {
    for (struct undo *one = undone; one; one = one->next) {
        if (one->length > 0) put(one->fd, one->old, one->length, one->at);
        cut_to(one->fd, one->size);
    }
    _exit(137);
}

/* The disk does not answer as long as it is held. */
static void hang(void) {
    const char *held = getenv("DISK_HELD");
    char hangs[PATH_MAX];
    if (!held || access(held, F_OK) != 0) return;
    snprintf(hangs, sizeof hangs, "%s.hangs", held);
    close(open(hangs, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    while (access(held, F_OK) == 0) usleep(10000);
}

/* Counts a call. Whether it fails; called with the lock held. */
static int fails(void) {
    hang();
    long at = getenv("DISK_AT") ? atol(getenv("DISK_AT")) : 0;
    calls++;
    if (!at || calls < at) return 0;
    if (mode_is("lost")) lose();
    errno = ENOSPC;
    return 1;
}

/* Remembers what these bytes of a file are, and how long it is. */
static void remember(int fd, off_t at, size_t count) {
    struct stat stat;
    if (!mode_is("lost") || fstat(fd, &stat) != 0) return;
    struct undo *one = calloc(1, sizeof *one);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    *one = (struct undo){open(link, O_RDWR | O_CLOEXEC), stat.st_dev, stat.st_ino, at, stat.st_size, 0, malloc(count + 1), undone};
    if (one->fd >= 0) one->length = pread(one->fd, one->old, count, at);
    undone = one;
}

/* What is in this file now stays. */
static void synced(int fd) {
    struct stat stat;
    if (fstat(fd, &stat) != 0) return;
    for (struct undo **place = &undone; *place;) {
        struct undo *one = *place;
        if (one->dev != stat.st_dev || one->ino != stat.st_ino) {
            place = &one->next;
            continue;
        }
        *place = one->next;
        close(one->fd);
        free(one->old);
        free(one);
    }
}

#define GUARDED(result, fd, at, count, call)  \
    if (!is_ours(fd)) return call;            \
    pthread_mutex_lock(&mutex);               \
    result done = -1;                         \
    if (!fails()) {                           \
        remember(fd, at, count);              \
        done = call;                          \
    }                                         \
    int error = errno;                        \
    pthread_mutex_unlock(&mutex);             \
    errno = error;                            \
    return done

static off_t place(int fd) {
    off_t end = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    return end < 0 ? 0 : end;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    GUARDED(ssize_t, fd, place(fd), count, real(fd, bytes, count));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    size_t bytes = 0;
    for (int n = 0; n < count; n++) bytes += parts[n].iov_len;
    GUARDED(ssize_t, fd, place(fd), bytes, real(fd, parts, count));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    GUARDED(ssize_t, fd, at, count, put(fd, bytes, count, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    GUARDED(ssize_t, fd, at, count, put(fd, bytes, count, at));
}

static int cut(int fd, off_t size) {
    struct stat stat;
    off_t from = size, count = fstat(fd, &stat) == 0 && stat.st_size > size ? stat.st_size - size : 0;
    GUARDED(int, fd, from, count, cut_to(fd, size));
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

#define SYNC(call)                            \
    if (!is_ours(fd)) return call;            \
    pthread_mutex_lock(&mutex);               \
    int done = fails() ? -1 : call;           \
    int error = errno;                        \
    if (done == 0) synced(fd);                \
    pthread_mutex_unlock(&mutex);             \
    errno = error;                            \
    return done

int fsync(int fd) {
    REAL(int, "fsync", int);
    SYNC(real(fd));
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    SYNC(real(fd));
}

int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned);
    SYNC(real(fd, at, count, flags));
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (!is_under(to)) return real(from, to);
    pthread_mutex_lock(&mutex);
    int done = fails() ? -1 : real(from, to);
    int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}
