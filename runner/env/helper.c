/* The part of the store's work that takes time on the disk: `testmesh --helper env …`. */
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/env.h"

#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
    if (S_ISLNK(info->st_mode)) {
        if (lchown(entry->fts_accpath, geteuid(), getegid()) != 0)
            return err_set(err, ERR_IO, "lchown %s: %m", entry->fts_path);
        return 0;
    }
    if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode)) {
        if (unlink(entry->fts_accpath) != 0)
            return err_set(err, ERR_IO, "unlink %s: %m", entry->fts_path);
        return 0;
    }
    bool runs = S_ISDIR(info->st_mode) || (info->st_mode & 0111) != 0;
    if (lchown(entry->fts_accpath, geteuid(), getegid()) != 0 ||
        chmod(entry->fts_accpath, runs ? 0755 : 0644) != 0)
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

static int seal_and_say(const char *dir, struct err *err)
{
    struct sealed sealed = {.bytes = 0};
    int rc = seal(dir, &sealed, err);
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

int helper_env_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    int rc = 0;
    if (argc == 5 && strcmp(argv[3], "seal") == 0) {
        rc = seal_and_say(argv[4], &err);
    } else if (argc >= 5 && strcmp(argv[3], "remove") == 0) {
        for (int i = 4; i < argc && rc == 0; i++)
            rc = file_remove_tree(argv[i], &err);
    } else {
        rc = err_set(&err, ERR_INVALID, "usage: env seal DIR | env remove PATH...");
    }
    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    return rc == 0 ? 0 : 1;
}
