/* The part of the store's work that takes time on the disk: `testmesh --helper env …`. */
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/env.h"
#include "runner/env/pyc.h"
#include "runner/env/size.h"

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INSTALLED_MAX ((size_t)256 << 10)

struct sealed {
    uint64_t bytes;
    uint64_t files;
    char pytest[64];
};

/* The version stands in the name of a folder, so that no file of a stranger's is read. */
static void note_pytest(struct sealed *self, const FTSENT *entry)
{
    static const char head[] = "pytest-";
    static const char tail[] = ".dist-info";
    size_t len = entry->fts_namelen;
    size_t fixed = sizeof head - 1 + sizeof tail - 1;
    if (len <= fixed || len - fixed >= sizeof self->pytest ||
        strncmp(entry->fts_name, head, sizeof head - 1) != 0 ||
        strcmp(entry->fts_name + len - (sizeof tail - 1), tail) != 0 ||
        strcmp(entry->fts_parent->fts_name, "site-packages") != 0 || entry->fts_level != 4)
        return;
    size_t version = len - fixed;
    memcpy(self->pytest, entry->fts_name + sizeof head - 1, version);
    self->pytest[version] = '\0';
}

/* Owned by the node, readable by all, writable by none else, nothing set-id, nothing special. */
static int seal_entry(struct sealed *self, const FTSENT *entry, struct err *err)
{
    const struct stat *info = entry->fts_statp;
    bool is_ours = info->st_uid == geteuid() && info->st_gid == getegid();
    if (S_ISLNK(info->st_mode)) {
        if (!is_ours && lchown(entry->fts_accpath, geteuid(), getegid()) != 0)
            return err_set(err, ERR_IO, "lchown %s: %m", entry->fts_path);
        return 0;
    }
    if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode)) {
        if (unlink(entry->fts_accpath) != 0)
            return err_set(err, ERR_IO, "unlink %s: %m", entry->fts_path);
        return 0;
    }
    bool runs = S_ISDIR(info->st_mode) || (info->st_mode & 0111) != 0;
    mode_t mode = runs ? 0755 : 0644;
    /* What needs no change stays as it is: it may be shared by other environments (pyc.h). */
    if ((!is_ours && lchown(entry->fts_accpath, geteuid(), getegid()) != 0) ||
        ((info->st_mode & 07777) != mode && chmod(entry->fts_accpath, mode) != 0))
        return err_set(err, ERR_IO, "chown %s: %m", entry->fts_path);
    if (S_ISDIR(info->st_mode))
        note_pytest(self, entry);
    self->bytes += (uint64_t)info->st_blocks * 512;
    self->files++;
    return 0;
}

static int seal(const char *dir, struct sealed *out, struct err *err)
{
    FTS *walk =
        fts_open((char *[]){(char *)dir, NULL}, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (walk == NULL)
        return err_set(err, ERR_IO, "open %s: %m", dir);
    int rc = 0;
    for (FTSENT *entry; rc == 0 && (entry = fts_read(walk)) != NULL;) {
        switch (entry->fts_info) {
        case FTS_DP:
            break;
        case FTS_DNR: /* without permissions: open it up, then look again */
            rc = chmod(entry->fts_accpath, 0755) == 0 ? fts_set(walk, entry, FTS_AGAIN) : -1;
            if (rc != 0)
                rc = err_set(err, ERR_IO, "open %s: %m", entry->fts_path);
            break;
        case FTS_ERR:
        case FTS_NS:
            rc = err_set(err, ERR_IO, "read %s: %s", entry->fts_path, strerror(entry->fts_errno));
            break;
        default:
            rc = seal_entry(out, entry, err);
        }
    }
    fts_close(walk);
    return rc;
}

/* All that the installer wrote, before the marker says that it is whole; and with it what of this
 * file system the caches have. One call is as much cheaper than a sync of each file as there are
 * files. */
static int sync_all(const char *dir, struct err *err)
{
    owned_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && syncfs(fd) == 0 ? 0 : err_set(err, ERR_IO, "sync %s: %m", dir);
}

static int seal_and_say(const char *dir, struct err *err)
{
    struct sealed sealed = {.bytes = 0};
    int rc = seal(dir, &sealed, err);
    if (rc == 0)
        rc = sync_all(dir, err);
    if (rc != 0)
        return rc;
    owned_buf text = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key_str(&out, "pytest", sealed.pytest);
    json_out_key_uint(&out, "bytes", sealed.bytes);
    json_out_key_uint(&out, "files", sealed.files);
    json_out_close_object(&out);
    owned_mem char *marker = mem_printf("%s/.testmesh.json", dir);
    rc = file_replace(marker, text.data, text.len, 0644, err);
    if (rc == 0)
        rc = file_write_all(STDOUT_FILENO, text.data, text.len, err);
    return rc;
}

/* The names of what was installed, a line each: pins.h. */
static int list_installed(const char *dir, struct buf *out, struct err *err)
{
    owned_mem char *lib = mem_printf("%s/lib", dir);
    FTS *walk = fts_open((char *[]){lib, NULL}, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (walk == NULL)
        return err_set(err, ERR_IO, "open %s: %m", lib);
    for (FTSENT *entry; (entry = fts_read(walk)) != NULL && out->len < INSTALLED_MAX;) {
        if (entry->fts_info != FTS_D || entry->fts_level < 3)
            continue;
        const char *dot = strrchr(entry->fts_name, '.');
        if (dot != NULL && strcmp(dot, ".dist-info") == 0)
            buf_printf(out, "%s\n", entry->fts_name);
        (void)fts_set(walk, entry, FTS_SKIP);
    }
    fts_close(walk);
    return 0;
}

static const char *or_null(const char *text) { return *text != '\0' ? text : NULL; }

static int look_and_say(const struct pyc_place *place, struct err *err)
{
    struct pyc_count count;
    owned_buf installed = BUF_INIT;
    int rc = pyc_look(place, &count, err);
    if (rc == 0)
        rc = list_installed(place->dir, &installed, err);
    if (rc != 0)
        return rc;
    owned_buf text = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key_uint(&out, "hits", count.hits);
    json_out_key_uint(&out, "misses", count.misses);
    json_out_key_str(&out, "installed", buf_str(&installed));
    json_out_close_object(&out);
    return file_write_all(STDOUT_FILENO, text.data, text.len, err);
}

static int say_size(uint64_t bytes, struct err *err)
{
    owned_buf text = BUF_INIT;
    buf_printf(&text, "%llu\n", (unsigned long long)bytes);
    return file_write_all(STDOUT_FILENO, text.data, text.len, err);
}

/* Both end with the size on a line; the second one when it is over the limit, and not before. */
static int run_size(const char *verb, const char *limit, char *const *paths, size_t count,
                    struct err *err)
{
    uint64_t bytes = 0;
    uint64_t max = strtoull(limit, NULL, 10);
    int rc = strcmp(verb, "size") == 0 ? size_measure(paths, count, max, &bytes, err)
                                       : size_watch(paths, count, max, &bytes, err);
    return rc == 0 ? say_size(bytes, err) : rc;
}

static int run(int argc, char **argv, struct err *err)
{
    const char *verb = argc > 4 ? argv[3] : "";
    char **rest = argv + 4;
    int count = argc - 4;
    int rc = 0;
    if (strcmp(verb, "look") == 0 && count == 6)
        return look_and_say(&(struct pyc_place){.dir = rest[0],
                                                .root = rest[1],
                                                .work = rest[2],
                                                .cache = or_null(rest[3]),
                                                .tag = rest[4],
                                                .salt = rest[5]},
                            err);
    if (strcmp(verb, "seal") == 0 && count == 4) {
        rc = pyc_take(
            &(struct pyc_place){
                .dir = rest[0], .work = rest[1], .cache = or_null(rest[2]), .tag = rest[3]},
            err);
        return rc == 0 ? seal_and_say(rest[0], err) : rc;
    }
    if (strcmp(verb, "trim") == 0 && count == 2)
        return pyc_trim(rest[0], strtoull(rest[1], NULL, 10), err);
    if ((strcmp(verb, "size") == 0 || strcmp(verb, "watch") == 0) && count > 1)
        return run_size(verb, rest[0], rest + 1, (size_t)count - 1, err);
    if (strcmp(verb, "remove") != 0)
        return err_set(
            err, ERR_INVALID,
            "usage: env look DIR ROOT WORK CACHE TAG SALT | env seal DIR WORK CACHE TAG "
            "| env trim CACHE BYTES | env remove PATH... | env size|watch LIMIT PATH...");
    for (int i = 0; i < count && rc == 0; i++)
        rc = file_remove_tree(rest[i], err);
    return rc;
}

int helper_env_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    int rc = run(argc, argv, &err);
    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    return rc == 0 ? 0 : 1;
}
