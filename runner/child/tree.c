#include "runner/child/tree.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct process {
    pid_t pid;
    pid_t parent;
    uint64_t rss_bytes;
    uint64_t cpu_ms;
    unsigned threads;
    int owner; /* index of a root, NOBODY, or UNKNOWN */
};

enum { NOBODY = -1, UNKNOWN = -2 };

/* No chain of parents is longer than this; a walk that races with forks must end. */
#define CHAIN_MAX 4096

static bool read_stat(int proc, const char *name, char *text, size_t size)
{
    char path[32];
    snprintf(path, sizeof path, "%.16s/stat", name);
    owned_fd int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, size - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    return true;
}

/* The fields of proc(5) behind the name, which may itself hold blanks and parentheses. */
static bool parse_stat(const char *text, struct process *out)
{
    const char *rest = strrchr(text, ')');
    char state;
    int parent;
    unsigned long long utime, stime, rss;
    long long cutime, cstime, threads;
    if (!rest || sscanf(rest + 1,
                        " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d "
                        "%lld %*d %*u %*u %llu",
                        &state, &parent, &utime, &stime, &cutime, &cstime, &threads, &rss) != 8)
        return false;
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    out->pid = (pid_t)strtol(text, NULL, 10);
    out->parent = parent;
    out->rss_bytes = rss * (uint64_t)sysconf(_SC_PAGESIZE);
    out->cpu_ms = (utime + stime + (uint64_t)cutime + (uint64_t)cstime) * 1000 / hz;
    out->threads = threads > 0 ? (unsigned)threads : 1;
    out->owner = state == 'Z' || state == 'X' ? NOBODY : UNKNOWN;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    pid_t left = ((const struct process *)a)->pid;
    pid_t right = ((const struct process *)b)->pid;
    return (left > right) - (left < right);
}

static struct process *list_processes(size_t *count)
{
    struct process *list = NULL;
    size_t capacity = 0;
    *count = 0;
    DIR *dir = opendir("/proc");
    if (!dir)
        return NULL;
    char text[1024];
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct process one;
        if (!isdigit((unsigned char)entry->d_name[0]) ||
            !read_stat(dirfd(dir), entry->d_name, text, sizeof text) || !parse_stat(text, &one))
            continue;
        list = mem_grow(list, &capacity, *count + 1, sizeof *list);
        list[(*count)++] = one;
    }
    closedir(dir);
    if (list)
        qsort(list, *count, sizeof *list, by_pid);
    return list;
}

static const struct process *find(const struct process *list, size_t count, pid_t pid)
{
    struct process key = {.pid = pid};
    return bsearch(&key, list, count, sizeof *list, by_pid);
}

static int owner_of(const struct process *list, size_t count, const struct process *one,
                    const pid_t *roots, size_t root_count)
{
    for (int hops = 0; one && hops < CHAIN_MAX; hops++) {
        for (size_t i = 0; i < root_count; i++)
            if (roots[i] == one->pid)
                return (int)i;
        one = find(list, count, one->parent);
    }
    return NOBODY;
}

void tree_measure_many(const pid_t *roots, size_t root_count, struct tree_usage *out)
{
    memset(out, 0, root_count * sizeof *out);
    size_t count;
    owned_mem struct process *list = list_processes(&count);
    for (size_t i = 0; i < count; i++) {
        if (list[i].owner == NOBODY)
            continue;
        int owner = owner_of(list, count, &list[i], roots, root_count);
        if (owner < 0)
            continue;
        out[owner].rss_bytes += list[i].rss_bytes;
        out[owner].cpu_ms += list[i].cpu_ms;
        out[owner].process_count++;
        out[owner].thread_count += list[i].threads;
    }
}

size_t tree_measure(pid_t root, struct tree_usage *out)
{
    tree_measure_many(&root, 1, out);
    return out->process_count;
}

static uint64_t proportional_bytes(pid_t pid)
{
    char path[64];
    char text[2048];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    const char *line = strstr(text, "\nPss:");
    return line ? strtoull(line + 5, NULL, 10) * 1024 : 0;
}

uint64_t tree_proportional_bytes(pid_t root)
{
    size_t count;
    uint64_t sum = 0;
    owned_mem struct process *list = list_processes(&count);
    for (size_t i = 0; i < count; i++)
        if (list[i].owner != NOBODY && owner_of(list, count, &list[i], &root, 1) == 0)
            sum += proportional_bytes(list[i].pid);
    return sum;
}

pid_t tree_pid_of(int pidfd)
{
    char path[64];
    char text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    const char *line = strstr(text, "\nPid:");
    long pid = line ? strtol(line + 5, NULL, 10) : -1;
    return pid > 0 ? (pid_t)pid : -1;
}
