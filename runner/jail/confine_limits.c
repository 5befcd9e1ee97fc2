/* Which limits a job met that end nothing: the kernel answers its calls with an error, and the job
 * may go on, clean up and say nothing. What is seen here explains a result and changes none, so a
 * payload that forges it (the page is its own as well) fools nobody but its author. */
#include "runner/jail/confine_inner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How fast a job may fill its files: nobody fills memory faster. */
#define FILL_BYTES_MS ((uint64_t)4 << 20)
#define LOOK_MIN_MS   4
#define LOOK_MAX_MS   100

/* The most names that are looked at for a file of the largest size, and how deep. */
#define NAMES_MAX 70000
#define DEPTH_MAX 32

/* As getdents64(2) gives it. */
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};

/* Of init, the payload and all that are forked of it without another program. */
static volatile sig_atomic_t *file_refused;

void confine_limits_share(void)
{
    void *page =
        mmap(NULL, sizeof *file_refused, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    file_refused = page != MAP_FAILED ? page : NULL;
}

static void on_file_refused(int number)
{
    (void)number;
    *file_refused = 1;
}

void confine_limits_catch(void)
{
    /* Python ignores the signal; the call that is refused answers EFBIG as before. */
    struct sigaction action = {.sa_handler = on_file_refused, .sa_flags = SA_RESTART | SA_ONSTACK};
    if (file_refused)
        (void)sigaction(SIGXFSZ, &action, NULL);
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

unsigned confine_limits_look(struct confine_end *end)
{
    struct statfs now;
    if (statfs("/tmp", &now) != 0 || now.f_blocks == 0)
        return LOOK_MAX_MS;
    uint64_t block = (uint64_t)now.f_bsize;
    uint64_t left = (uint64_t)now.f_bfree * block;
    end->tmp_bytes = larger(end->tmp_bytes, (uint64_t)now.f_blocks * block - left);
    end->tmp_inodes = larger(end->tmp_inodes, (uint64_t)now.f_files - (uint64_t)now.f_ffree);
    if (left == 0)
        end->flags |= CONFINE_END_TMP_FULL;
    if (now.f_files && now.f_ffree == 0)
        end->flags |= CONFINE_END_INODES_FULL;
    if (end->flags & CONFINE_END_TMP_FULL)
        return LOOK_MAX_MS;
    uint64_t wait_ms = left / FILL_BYTES_MS;
    return (unsigned)(wait_ms < LOOK_MIN_MS   ? LOOK_MIN_MS
                      : wait_ms > LOOK_MAX_MS ? LOOK_MAX_MS
                                              : wait_ms);
}

struct search {
    uint64_t bytes;
    unsigned names;
};

static bool has_file(struct search *search, int folder, unsigned depth);

static bool is_file_or_has(struct search *search, int folder, const char *name, unsigned depth)
{
    struct stat info;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || search->names++ > NAMES_MAX ||
        fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (S_ISREG(info.st_mode))
        return (uint64_t)info.st_size == search->bytes;
    if (!S_ISDIR(info.st_mode) || depth == DEPTH_MAX)
        return false;
    int below = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return below >= 0 && has_file(search, below, depth + 1);
}

/* Closes `folder`. */
static bool has_file(struct search *search, int folder, unsigned depth)
{
    _Alignas(struct entry) char bytes[2048];
    bool found = false;
    long got;
    while (!found && (got = syscall(SYS_getdents64, folder, bytes, sizeof bytes)) > 0) {
        for (long at = 0; at < got && !found;) {
            const struct entry *entry = (const struct entry *)(const void *)(bytes + at);
            found = is_file_or_has(search, folder, entry->name, depth);
            at += entry->len;
        }
    }
    close(folder);
    return found;
}

void confine_limits_end(const struct confine_spec *spec, struct confine_end *end)
{
    static const char *const places[] = {"/work", "/tmp", "/dev/shm"};
    (void)confine_limits_look(end);
    if (file_refused && *file_refused)
        end->flags |= CONFINE_END_FILE_REFUSED;
    /* Another program than Python says nothing; what it wrote in order is a file of just that size.
     */
    if (spec->file_bytes == 0 || end->tmp_bytes < spec->file_bytes)
        return;
    struct search search = {.bytes = spec->file_bytes};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int folder = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0 && has_file(&search, folder, 0))
            end->flags |= CONFINE_END_FILE_FULL;
    }
}
