/* How long modules take: a table of hashes, since only its answers matter, and a file of lines
 * "<key> <ms>" where a later line wins. Nothing is synced: a lost line costs an estimate. */
#include "node/store/store_inner.h"
#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DURATIONS_MAX 1000000

static uint64_t key_of(const char *project, const char *module)
{
    owned_buf text = BUF_INIT;
    buf_append(&text, project, strlen(project) + 1);
    buf_puts(&text, module);
    uint64_t key = hash_u64(text.data, text.len);
    return key ? key : 1;
}

static struct duration *slot_of(const struct durations *self, uint64_t key)
{
    size_t at = (size_t)key & (self->room - 1);
    while (self->slots[at].key && self->slots[at].key != key)
        at = (at + 1) & (self->room - 1);
    return &self->slots[at];
}

static void grow(struct durations *self)
{
    struct durations old = *self;
    self->room = old.room ? old.room * 2 : 256;
    self->slots = mem_new_array(self->room, sizeof *self->slots);
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].key)
            *slot_of(self, old.slots[i].key) = old.slots[i];
    free(old.slots);
}

/* Returns NULL when the table is full and the key is new. */
static struct duration *slot_for(struct durations *self, uint64_t key)
{
    if ((self->count + 1) * 4 > self->room * 3)
        grow(self);
    struct duration *slot = slot_of(self, key);
    if (!slot->key) {
        if (self->count >= DURATIONS_MAX)
            return NULL;
        slot->key = key;
        self->count++;
    }
    return slot;
}

void durations_fini(struct durations *self) { free(self->slots); }

static char *path_of(const struct store *self) { return mem_printf("%s/durations.txt", self->dir); }

static void rewrite(struct store *self, const char *path)
{
    owned_buf text = BUF_INIT;
    for (size_t i = 0; i < self->durations.room; i++)
        if (self->durations.slots[i].key)
            buf_printf(&text, "%016" PRIx64 " %" PRIu32 "\n", self->durations.slots[i].key,
                       self->durations.slots[i].ms);
    owned_mem char *tmp = mem_printf("%s.tmp", path);
    struct err err = ERR_INIT;
    (void)!disk_place_file(self->ops, tmp, path, text.data, text.len, &err);
}

void durations_load(struct store *self)
{
    owned_mem char *path = path_of(self);
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    if (file_read(path, 256u << 20, &text, &err))
        return;
    size_t lines = 0;
    for (const char *at = buf_str(&text), *end; (end = strchr(at, '\n')); at = end + 1, lines++) {
        uint64_t key;
        uint32_t ms;
        if (end - at < 18 || sscanf(at, "%16" SCNx64 " %" SCNu32, &key, &ms) != 2 || !key)
            continue;
        struct duration *slot = slot_for(&self->durations, key);
        if (slot)
            slot->ms = ms;
    }
    if (lines > 1000 && lines > self->durations.count * 2)
        rewrite(self, path);
}

struct duration_job {
    struct disk_job job;
    char *path;
};

static void run_duration(struct disk_job *job, struct segments *log)
{
    const struct disk_ops *ops = log->ops;
    struct duration_job *self = (struct duration_job *)job;
    int fd = ops->open(ops->self, self->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0)
        return;
    (void)!disk_write(ops, fd, job->line.data, job->line.len, &job->err);
    (void)ops->close(ops->self, fd);
}

static void done_duration(struct disk_job *job)
{
    struct duration_job *self = (struct duration_job *)job;
    buf_fini(&job->line);
    free(self->path);
    free(self);
}

void store_duration_put(struct store *self, const char *project, const char *module, uint32_t ms)
{
    uint64_t key = key_of(project, module);
    struct duration *slot = slot_for(&self->durations, key);
    if (!slot)
        return;
    slot->ms = slot->ms ? slot->ms / 2 + ms / 2 + (slot->ms & ms & 1) : ms;
    struct duration_job *job = mem_new(sizeof *job);
    job->job.run = run_duration;
    job->job.done = done_duration;
    job->path = path_of(self);
    buf_printf(&job->job.line, "%016" PRIx64 " %" PRIu32 "\n", key, slot->ms);
    disk_submit(self->disk, &job->job);
}

uint32_t store_duration_get(const struct store *self, const char *project, const char *module)
{
    return self->durations.room ? slot_of(&self->durations, key_of(project, module))->ms : 0;
}
