/* The partial file of a blob that is being fetched. */
#include "node/net/blobs_inner.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int hold(struct fetch *self, int flags, struct err *err)
{
    self->fd = open(self->path, flags | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (self->fd < 0)
        return err_set(err, ERR_UNAVAILABLE, "%s: %m", self->path);
    return 0;
}

int part_open(struct fetch *self, struct err *err)
{
    struct stat st;
    char hex[HASH_HEX];
    if (self->fd >= 0)
        return 0;
    /* One that is kept goes on if nobody touched it. */
    if (self->path && hold(self, 0, err) == 0) {
        if (fstat(self->fd, &st) == 0 && (uint64_t)st.st_size == self->have)
            return 0;
        return part_restart(self, err);
    }
    free(self->path);
    self->path = mem_printf("%s/%s.part", store_tmp_dir(self->blobs->config.store),
                            hash_hex(&self->hash, hex));
    int rc = hold(self, O_CREAT | O_TRUNC, err);
    return rc ? rc : part_restart(self, err);
}

int part_restart(struct fetch *self, struct err *err)
{
    self->have = self->asked = 0;
    self->total = UINT64_MAX;
    self->last_nid = 0;
    hash_init(&self->state);
    for (size_t i = 0; i < self->source_count; i++)
        self->sources[i].is_in_part = false;
    if (ftruncate(self->fd, 0))
        return err_set(err, ERR_UNAVAILABLE, "%s: %m", self->path);
    return 0;
}

int part_write(struct fetch *self, const void *bytes, size_t len, struct err *err)
{
    const uint8_t *at = bytes;
    size_t left = len;
    while (left > 0) {
        ssize_t put = pwrite(self->fd, at, left, (off_t)(self->have + (len - left)));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_set(err, ERR_UNAVAILABLE, "%s: %m", self->path);
        at += put;
        left -= (size_t)put;
    }
    hash_update(&self->state, bytes, len);
    self->have += len;
    return 0;
}

void part_close(struct fetch *self)
{
    mem_close_at(&self->fd);
    self->fd = -1;
}

void part_remove(struct fetch *self)
{
    part_close(self);
    if (self->path)
        store_remove_tmp(self->blobs->config.store, self->path);
    free(self->path);
    self->path = NULL;
}
