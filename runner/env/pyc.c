#include "runner/env/pyc.h"

#include "proto/base/file.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER      "__pycache__"
#define LIST_MAX    ((size_t)64 << 20)
#define PYC_MAX     ((off_t)64 << 20)
#define HEADER_SIZE 16

/* ---- one file ---- */

static char *cache_path(const char *cache, const char *hex)
{
    return mem_printf("%s/%.2s/%s", cache, hex, hex + 2);
}

/* Where the byte code of `source`, a path below dir, belongs; makes the folder. NULL: nowhere.
 * A stranger may have put something else there, a link to another folder say. */
static char *place_for(const struct pyc_place *place, const char *source)
{
    const char *slash = strrchr(source, '/');
    const char *name = slash + 1;
    owned_mem char *folder =
        mem_printf("%s/%.*s/" FOLDER, place->dir, (int)(slash - source), source);
    struct stat info;
    if (mkdir(folder, 0755) != 0 &&
        (errno != EEXIST || lstat(folder, &info) != 0 || !S_ISDIR(info.st_mode)))
        return NULL;
    return mem_printf("%s/%.*s.%s.pyc", folder, (int)strlen(name) - 3, name, place->tag);
}

/* Hashes what the byte code depends on. False: the file cannot be read, or is too large. */
static bool name_of(const struct pyc_place *place, const char *source, char hex[HASH_HEX])
{
    owned_mem char *path = mem_printf("%s/%s", place->dir, source);
    owned_buf text = BUF_INIT;
    struct err ignored = ERR_INIT;
    if (file_read(path, PYC_SOURCE_MAX, &text, &ignored) != 0)
        return false;
    owned_mem char *head = mem_printf("pyc 1\n%s\n%s/%s\n", place->salt, place->root, source);
    struct hash_state state;
    struct hash hash;
    hash_init(&state);
    hash_update(&state, head, strlen(head) + 1);
    hash_update(&state, text.data, text.len);
    hash_final(&state, &hash);
    hash_hex(&hash, hex);
    return true;
}

/* ---- looking ---- */

static bool link_known(const struct pyc_place *place, const char *source, const char *hex)
{
    if (place->cache == NULL)
        return false;
    owned_mem char *known = cache_path(place->cache, hex);
    if (!file_exists(known))
        return false;
    owned_mem char *target = place_for(place, source);
    if (target == NULL)
        return false;
    (void)unlink(target);
    return link(known, target) == 0; /* its change of status is what pyc_trim() goes by */
}

static bool is_source(const FTSENT *entry)
{
    size_t len = entry->fts_namelen;
    return entry->fts_info == FTS_F && S_ISREG(entry->fts_statp->st_mode) && len > 3 &&
           strcmp(entry->fts_name + len - 3, ".py") == 0 && strchr(entry->fts_path, '\n') == NULL;
}

static void look_at(const struct pyc_place *place, const FTSENT *entry, struct buf *list,
                    struct pyc_count *out)
{
    const char *source = entry->fts_path + strlen(place->dir) + 1;
    char hex[HASH_HEX];
    if (!name_of(place, source, hex))
        return;
    if (link_known(place, source, hex)) {
        out->hits++;
        return;
    }
    out->misses++;
    buf_printf(list, "%s %s\n", hex, source);
}

static int write_list(const struct pyc_place *place, const struct buf *list, struct err *err)
{
    owned_mem char *path = mem_printf("%s/" PYC_LIST, place->work);
    owned_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set(err, ERR_IO, "create %s: %m", path);
    return file_write_all(fd, buf_str(list), list->len, err);
}

int pyc_look(const struct pyc_place *place, struct pyc_count *out, struct err *err)
{
    owned_mem char *lib = mem_printf("%s/lib", place->dir);
    owned_buf list = BUF_INIT;
    *out = (struct pyc_count){.hits = 0};
    FTS *walk = fts_open((char *[]){lib, NULL}, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (walk == NULL)
        return err_set(err, ERR_IO, "open %s: %m", lib);
    for (FTSENT *entry; (entry = fts_read(walk)) != NULL && list.len < LIST_MAX;) {
        if (entry->fts_info == FTS_D && strcmp(entry->fts_name, FOLDER) == 0)
            (void)fts_set(walk, entry, FTS_SKIP);
        else if (is_source(entry))
            look_at(place, entry, &list, out);
    }
    fts_close(walk);
    return write_list(place, &list, err);
}

/* ---- taking ---- */

/* Makes a compiled file the node's own, if it is what it should be. */
static bool adopt(const char *path)
{
    struct stat info;
    owned_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1 &&
           info.st_size > HEADER_SIZE && info.st_size <= PYC_MAX &&
           (info.st_uid == geteuid() || fchown(fd, geteuid(), getegid()) == 0) &&
           fchmod(fd, 0644) == 0;
}

/* Returns 0 or an errno. */
static int keep(const struct pyc_place *place, const char *made, const char *hex,
                const char *target)
{
    owned_mem char *known = cache_path(place->cache, hex);
    owned_mem char *folder = mem_printf("%s/%.2s", place->cache, hex);
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return errno;
    /* One that another build kept meanwhile stays. */
    if (link(made, known) != 0 && errno != EEXIST)
        return errno;
    return link(known, target) == 0 ? 0 : errno;
}

static int take_one(const struct pyc_place *place, const char *hex, const char *source,
                    struct err *err)
{
    owned_mem char *made = mem_printf("%s/" PYC_OUT "/%s.pyc", place->work, hex);
    if (!adopt(made))
        return 0;
    owned_mem char *target = place_for(place, source);
    if (target == NULL)
        return 0;
    (void)unlink(target);
    int failure = place->cache != NULL ? keep(place, made, hex, target) : EXDEV;
    if (failure != 0 && rename(made, target) != 0)
        return err_set(err, ERR_IO, "rename %s: %m", made);
    return 0;
}

int pyc_take(const struct pyc_place *place, struct err *err)
{
    owned_mem char *path = mem_printf("%s/" PYC_LIST, place->work);
    owned_buf list = BUF_INIT;
    int rc = file_read(path, LIST_MAX + PYC_SOURCE_MAX, &list, err);
    if (rc == 0 && place->cache != NULL)
        rc = file_make_dirs(place->cache, 0755, err);
    char hex[HASH_HEX];
    const char *at = buf_str(&list);
    while (rc == 0 && *at != '\0') {
        size_t len = strcspn(at, "\n");
        owned_mem char *source = len > HASH_HEX ? mem_strndup(at + HASH_HEX, len - HASH_HEX) : NULL;
        snprintf(hex, sizeof hex, "%s", at);
        if (source == NULL || strchr(source, '/') == NULL)
            return err_set(err, ERR_INTERNAL, "%s is damaged", path);
        rc = take_one(place, hex, source, err);
        at += len + (at[len] == '\n');
    }
    return rc;
}

/* ---- trimming ---- */

struct unused {
    char *path;
    uint64_t bytes;
    struct timespec used;
};

static int by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const struct unused *)a)->used;
    const struct timespec *y = &((const struct unused *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

int pyc_trim(const char *cache, uint64_t cap_bytes, struct err *err)
{
    struct unused *list = NULL;
    size_t count = 0;
    size_t capacity = 0;
    uint64_t total = 0;
    FTS *walk = fts_open((char *[]){(char *)cache, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (walk == NULL)
        return err_set(err, ERR_IO, "open %s: %m", cache);
    for (FTSENT *entry; (entry = fts_read(walk)) != NULL;) {
        if (entry->fts_info != FTS_F || entry->fts_statp->st_nlink > 1)
            continue;
        list = mem_grow(list, &capacity, count + 1, sizeof *list);
        list[count] = (struct unused){.path = mem_strdup(entry->fts_path),
                                      .bytes = (uint64_t)entry->fts_statp->st_blocks * 512,
                                      .used = entry->fts_statp->st_ctim};
        total += list[count++].bytes;
    }
    fts_close(walk);
    if (count > 1)
        qsort(list, count, sizeof *list, by_age);
    for (size_t i = 0; i < count; i++) {
        if (total > cap_bytes && unlink(list[i].path) == 0)
            total -= list[i].bytes;
        free(list[i].path);
    }
    free(list);
    return 0;
}
