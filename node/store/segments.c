#include "node/store/segments.h"

#include "proto/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void segments_init(struct segments *self, const struct disk_ops *ops, const char *dir,
                   uint64_t number, uint64_t segment_bytes)
{
    *self = (struct segments){.ops = ops,
                              .log_dir = mem_printf("%s/log", dir),
                              .snap_dir = mem_printf("%s/snap", dir),
                              .number = number,
                              .fd = -1,
                              .segment_bytes = segment_bytes,
                              .why = ERR_INIT};
}

void segments_fini(struct segments *self)
{
    segments_rotate(self);
    free(self->log_dir);
    free(self->snap_dir);
}

uint64_t segments_number_of(const char *name)
{
    uint64_t number = 0;
    size_t digits = strspn(name, "0123456789");
    if (digits < 6 || digits > 15 || strcmp(name + digits, ".jsonl") != 0)
        return 0;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (uint64_t)(name[i] - '0');
    return number;
}

char *segments_path(const char *dir, uint64_t number)
{
    return mem_printf("%s/%06" PRIu64 ".jsonl", dir, number);
}

void segments_rotate(struct segments *self)
{
    if (self->fd >= 0)
        (void)self->ops->close(self->ops->self, self->fd); /* every byte was synced */
    self->fd = -1;
    self->size = 0;
}

static int begin_segment(struct segments *self, struct err *err)
{
    const struct disk_ops *ops = self->ops;
    owned_mem char *path = segments_path(self->log_dir, self->number + 1);
    self->number++;
    self->fd = ops->open(ops->self, path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
    if (self->fd < 0)
        return err_set(err, ERR_UNAVAILABLE, "create %s: %m", path);
    return disk_sync_parent(ops, path, err);
}

static int append(struct segments *self, const void *bytes, size_t len, struct err *err)
{
    if (self->fd >= 0 && self->size > 0 && self->size + len > self->segment_bytes)
        segments_rotate(self);
    if (self->fd < 0 && begin_segment(self, err))
        return err->code;
    if (disk_write(self->ops, self->fd, bytes, len, err))
        return err->code;
    if (self->ops->sync(self->ops->self, self->fd))
        return err_set(err, ERR_UNAVAILABLE, "sync: %m");
    self->size += len;
    return 0;
}

int segments_append(struct segments *self, const void *bytes, size_t len, struct err *err)
{
    if (!self->failed) {
        if (append(self, bytes, len, &self->why) == 0)
            return 0;
        self->failed = true;
        err_wrap(&self->why, "the log failed");
    }
    return err_set(err, ERR_UNAVAILABLE, "%s", self->why.text);
}

static void drop(struct segments *self, const char *dir, uint64_t up_to, uint64_t but)
{
    DIR *folder = opendir(dir);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        uint64_t number = segments_number_of(entry->d_name);
        if (number == 0 || number > up_to || number == but)
            continue;
        owned_mem char *path = mem_printf("%s/%s", dir, entry->d_name);
        (void)self->ops->unlink(self->ops->self, path); /* one that stays is only read again */
    }
    if (folder)
        closedir(folder);
}

int segments_snapshot(struct segments *self, uint64_t number, const void *bytes, size_t len,
                      struct err *err)
{
    owned_mem char *path = segments_path(self->snap_dir, number);
    owned_mem char *tmp = mem_printf("%s/snap.tmp", self->snap_dir);
    if (disk_place_file(self->ops, tmp, path, bytes, len, err))
        return err_wrap(err, "snapshot");
    drop(self, self->log_dir, number, 0);
    drop(self, self->snap_dir, number, number);
    return 0;
}
