/* Both trees are walked by descriptors and single names, and no link is ever followed: a layer may
 * hold any name, and what an earlier layer has put down is not trusted either. */
#include "runner/jail/confine_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As getdents64(2) gives it. */
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};

struct copy {
    const struct confine_error *error;
    unsigned depth;
};

static int fail(const struct copy *copy, const char *name)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        snprintf(copy->error->text, copy->error->size, "copy %s: %s (project too large)", name,
                 strerror(errno));
    else
        confine_fail(copy->error, "copy", name);
    return -1;
}

static int copy_bytes(int from, int to, off_t size)
{
    /* One job copies in one process: a buffer of its own needs no stack and no heap. */
    static char bytes[128 << 10];
    for (off_t total = 0; total < size;) { /* nobody writes to a layer: no read to see its end */
        ssize_t got = read(from, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(to, bytes + done, (size_t)(got - done));
            if (put < 0 && errno != EINTR)
                return -1;
            done += put > 0 ? put : 0;
        }
        total += got;
    }
    return 0;
}

static int create(int to, const char *name, mode_t mode)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(to, name, flags, mode);
    if (fd < 0 && errno == EEXIST && unlinkat(to, name, 0) == 0)
        fd = openat(to, name, flags, mode);
    return fd;
}

static int copy_file(const struct copy *copy, int from, int to, const char *name)
{
    struct stat st;
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return fail(copy, name);
    int failed = fstat(in, &st);
    if (!failed && !S_ISREG(st.st_mode)) {
        errno = EINVAL;
        failed = -1;
    }
    int out = failed ? -1 : create(to, name, (st.st_mode & 0777) | 0400);
    if (out >= 0) {
        struct timespec times[2] = {st.st_mtim, st.st_mtim};
        failed = copy_bytes(in, out, st.st_size) != 0 || futimens(out, times) != 0 ? -1 : 0;
        int code = errno;
        close(out);
        errno = code;
    }
    int code = errno;
    close(in);
    errno = code;
    return failed || out < 0 ? fail(copy, name) : 0;
}

static int copy_link(const struct copy *copy, int from, int to, const char *name)
{
    char target[4096];
    ssize_t len = readlinkat(from, name, target, sizeof target - 1);
    if (len < 0)
        return fail(copy, name);
    target[len] = '\0';
    int failed = symlinkat(target, to, name);
    if (failed && errno == EEXIST && unlinkat(to, name, 0) == 0)
        failed = symlinkat(target, to, name);
    return failed ? fail(copy, name) : 0;
}

static int make_folder(int to, const char *name, mode_t mode)
{
    if (mkdirat(to, name, mode) == 0)
        return 0;
    struct stat st;
    if (errno != EEXIST || fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return 0;
    return unlinkat(to, name, 0) == 0 ? mkdirat(to, name, mode) : -1;
}

static int copy_tree(struct copy *copy, int from, int to);

static int copy_folder(struct copy *copy, int from, int to, const char *name)
{
    if (copy->depth >= CONFINE_DEPTH_MAX) {
        errno = ELOOP;
        return fail(copy, name);
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;
    int in = openat(from, name, flags);
    if (in < 0 || fstat(in, &st) != 0 || make_folder(to, name, (st.st_mode & 0777) | 0700) != 0) {
        fail(copy, name);
        if (in >= 0)
            close(in);
        return -1;
    }
    int out = openat(to, name, flags);
    int failed = out < 0 ? fail(copy, name) : 0;
    copy->depth++;
    if (!failed)
        failed = copy_tree(copy, in, out);
    copy->depth--;
    close(in);
    if (out >= 0)
        close(out);
    return failed;
}

static int copy_entry(struct copy *copy, int from, int to, const struct entry *entry)
{
    const char *name = entry->name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    mode_t kind = (mode_t)entry->type << 12; /* DTTOIF() */
    struct stat st;
    if (kind == 0) {
        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return fail(copy, name);
        kind = st.st_mode & S_IFMT;
    }
    if (kind == S_IFREG)
        return copy_file(copy, from, to, name);
    if (kind == S_IFDIR)
        return copy_folder(copy, from, to, name);
    if (kind == S_IFLNK)
        return copy_link(copy, from, to, name);
    errno = EINVAL; /* a special file */
    return fail(copy, name);
}

static int copy_tree(struct copy *copy, int from, int to)
{
    char batch[4096] __attribute__((aligned(8)));
    for (;;) {
        long got = syscall(SYS_getdents64, from, batch, sizeof batch);
        if (got < 0)
            return fail(copy, ".");
        if (got == 0)
            return 0;
        for (long at = 0; at < got;) {
            const struct entry *entry = (const void *)(batch + at);
            if (copy_entry(copy, from, to, entry) != 0)
                return -1;
            at += entry->len;
        }
    }
}

int confine_copy(int layer, int to, const struct confine_error *error)
{
    struct copy copy = {.error = error};
    int from = openat(layer, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return confine_fail(error, "open a layer", NULL);
    int failed = copy_tree(&copy, from, to);
    close(from);
    return failed;
}
