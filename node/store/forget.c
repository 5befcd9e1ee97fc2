/* Blobs that are not to stay: taken away by name, and not when there is too little room. */
#include "node/store/store_inner.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* The name is gone from the disk, too, before anything that is written later. */
static int remove_name(const struct disk_ops *ops, const char *path, struct err *err)
{
    if (ops->unlink(ops->self, path) == 0)
        return disk_sync_parent(ops, path, err);
    return errno == ENOENT ? 0 : err_set(err, ERR_UNAVAILABLE, "remove %s: %m", path);
}

struct forget_job {
    struct disk_job job;
    char *path;
};

static void run_forget(struct disk_job *job, struct segments *log)
{
    struct forget_job *self = (struct forget_job *)job;
    (void)!remove_name(log->ops, self->path, &job->err);
}

static void done_forget(struct disk_job *job)
{
    struct forget_job *self = (struct forget_job *)job;
    if (job->err.code != ERR_NONE)
        log_warn("blob_not_removed", "%s", job->err.text);
    free(self->path);
    free(self);
}

void store_remove_blob(struct store *self, const struct hash *hash, const char *ext)
{
    struct forget_job *job = mem_new(sizeof *job);
    job->job.run = run_forget;
    job->job.done = done_forget;
    job->path = store_blob_path(self, hash, ext);
    disk_submit(self->disk, &job->job);
}

/* ---- what nobody names ----------------------------------------------------------------------- */

struct sweep_job {
    struct disk_job job;
    char *dir; /* DIR/blobs */
    char ext[STORE_EXT_MAX + 2];
    struct hash *kept;
    size_t kept_count;
    time_t before;
    unsigned removed;
};

static bool is_kept(const struct sweep_job *self, const struct hash *hash)
{
    for (size_t i = 0; i < self->kept_count; i++)
        if (memcmp(&self->kept[i], hash, sizeof *hash) == 0)
            return true;
    return false;
}

static void look_at(struct sweep_job *self, const struct disk_ops *ops, const char *dir,
                    const char *name)
{
    struct stat st;
    struct hash hash;
    if (strlen(name) < HASH_HEX - 1 || strcmp(name + HASH_HEX - 1, self->ext) != 0)
        return;
    owned_mem char *hex = mem_strndup(name, HASH_HEX - 1);
    owned_mem char *path = mem_printf("%s/%s", dir, name);
    if (hash_from_hex(&hash, hex) || is_kept(self, &hash) || lstat(path, &st) ||
        st.st_mtime > self->before)
        return;
    if (remove_name(ops, path, &self->job.err) == 0)
        self->removed++;
}

static void run_sweep(struct disk_job *job, struct segments *log)
{
    struct sweep_job *self = (struct sweep_job *)job;
    for (unsigned i = 0; i < 256; i++) {
        owned_mem char *dir = mem_printf("%s/%02x", self->dir, i);
        DIR *folder = opendir(dir);
        const struct dirent *at;
        while (folder && (at = readdir(folder)) != NULL)
            look_at(self, log->ops, dir, at->d_name);
        if (folder)
            closedir(folder);
    }
}

static void done_sweep(struct disk_job *job)
{
    struct sweep_job *self = (struct sweep_job *)job;
    if (job->err.code != ERR_NONE)
        log_warn("blob_not_removed", "%s", job->err.text);
    if (self->removed > 0)
        log_info("blobs_forgotten", "kind=%s count=%u", self->ext + 1, self->removed);
    free(self->dir);
    free(self->kept);
    free(self);
}

void store_sweep_blobs(struct store *self, const char *ext, const struct hash *kept, size_t count,
                       unsigned older_s)
{
    struct sweep_job *job = mem_new(sizeof *job);
    job->job.run = run_sweep;
    job->job.done = done_sweep;
    job->dir = mem_printf("%s/blobs", self->dir);
    job->ext[0] = '.';
    strncat(job->ext, ext, STORE_EXT_MAX);
    job->kept = mem_new_array(count + 1, sizeof *kept);
    if (count > 0)
        memcpy(job->kept, kept, count * sizeof *kept);
    job->kept_count = count;
    job->before = older_s ? time(NULL) - (time_t)older_s : INT64_MAX;
    disk_submit(self->disk, &job->job);
}
