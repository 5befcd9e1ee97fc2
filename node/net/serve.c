/* Giving blobs to others. */
#include "node/net/blobs_inner.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TURN_BYTES (1u << 20) /* that a turn of the loop reads and seals */
#define IDLE_MS    3000       /* an upload that is asked for nothing more gives its place away */

/* What the store's blobs are called: a GET names the content alone. */
static const char *const exts[] = {"zst", "jsonl", "log", "txt", "", STORE_EXT_SECRET};

/* ---- uploads --------------------------------------------------------------------------------- */

static struct upload *find(struct blobs *self, uint64_t nid, const struct hash *hash)
{
    struct upload *at;
    TAILQ_FOREACH(at, &self->uploads, links)
    if (at->nid == nid && memcmp(&at->hash, hash, sizeof *hash) == 0)
        return at;
    return NULL;
}

/* Where it counts: so that records, which are small, do not stand in line behind bundles. */
static size_t *count_of(struct blobs *self, const struct upload *upload)
{
    return upload->size > WIRE_DATA_MAX ? &self->large_count : &self->small_count;
}

static void close_upload(struct blobs *self, struct upload *upload)
{
    TAILQ_REMOVE(&self->uploads, upload, links);
    --*count_of(self, upload);
    store_unpin_blob(self->config.store, &upload->hash);
    close(upload->fd);
    free(upload);
}

static int open_blob(const struct blobs *self, const struct hash *hash, struct stat *st,
                     bool *is_packed)
{
    for (size_t i = 0; i < countof(exts); i++) {
        owned_mem char *path = store_blob_path(self->config.store, hash, exts[i]);
        owned_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, st) || !S_ISREG(st->st_mode))
            continue;
        *is_packed = i == 0;
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        return steal_fd(&fd);
    }
    return -1;
}

static struct upload *open_upload(struct blobs *self, uint64_t nid, const struct hash *hash)
{
    struct stat st;
    bool is_packed;
    int fd = open_blob(self, hash, &st, &is_packed);
    if (fd < 0)
        return NULL;
    struct upload *upload = mem_new(sizeof *upload);
    upload->nid = nid;
    upload->hash = *hash;
    upload->fd = fd;
    upload->size = (uint64_t)st.st_size;
    upload->is_packed = is_packed;
    store_pin_blob(self->config.store, hash);
    TAILQ_INSERT_TAIL(&self->uploads, upload, links);
    ++*count_of(self, upload);
    return upload;
}

/* ---- no -------------------------------------------------------------------------------------- */

static void refuse(struct blobs *self, uint64_t nid, const struct hash *hash,
                   enum wire_why_blob why)
{
    uint64_t others[BLOBS_TRY_MAX];
    size_t count = 0;
    size_t known = self->given_count < BLOBS_GIVEN ? self->given_count : BLOBS_GIVEN;
    for (size_t i = 1; i <= known && count < BLOBS_TRY_MAX; i++) { /* the latest first */
        const struct given *at = &self->given[(self->given_count - i) % BLOBS_GIVEN];
        if (at->nid != nid && memcmp(&at->hash, hash, sizeof *hash) == 0)
            others[count++] = at->nid;
    }
    struct wire_msg msg = {
        .kind = WIRE_BLOB_ERR,
        .blob_err = {.hash = *hash, .why = (uint8_t)why, .others = others, .other_count = count}};
    (void)blobs_send(self, nid, &msg, false); /* who hears nothing asks another */
}

static void note_given(struct blobs *self, const struct upload *upload)
{
    self->given[self->given_count++ % BLOBS_GIVEN] =
        (struct given){.hash = upload->hash, .nid = upload->nid};
    blobs_stats(self)->blobs_served++;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The upload that a GET belongs to; NULL when it was refused. */
static struct upload *admit(struct blobs *self, uint64_t nid, const struct hash *hash)
{
    struct upload *upload = find(self, nid, hash);
    if (upload)
        return upload;
    upload = open_upload(self, nid, hash);
    if (!upload) {
        blobs_stats(self)->blobs_absent++;
        refuse(self, nid, hash, WIRE_BLOB_NONE);
        return NULL;
    }
    if (self->large_count <= BLOBS_UPLOADS_MAX && self->small_count <= BLOBS_SMALL_MAX)
        return upload;
    close_upload(self, upload);
    blobs_stats(self)->blobs_busy++;
    refuse(self, nid, hash, WIRE_BLOB_BUSY);
    return NULL;
}

void serve_get(struct blobs *self, uint64_t nid, const struct wire_get *get)
{
    struct upload *upload = admit(self, nid, &get->hash);
    if (!upload)
        return;
    upload->heard_ms = clock_mono_ms();
    bool is_sound = get->off < upload->size || (get->off == 0 && upload->size == 0);
    if (!is_sound || get->len == 0 || upload->range_count == countof(upload->ranges)) {
        blobs_stats(self)->blobs_malformed++;
        return;
    }
    uint32_t len = get->len < WIRE_DATA_MAX ? get->len : WIRE_DATA_MAX;
    upload->ranges[upload->range_count++] = (struct range){.off = get->off, .len = len};
    blobs_kick(self);
}

/* False when the piece cannot be read or sent: the upload is over. */
static bool send_piece(struct blobs *self, struct upload *upload, uint8_t *room)
{
    struct range range = upload->ranges[0];
    upload->range_count--;
    memmove(upload->ranges, upload->ranges + 1, upload->range_count * sizeof range);
    uint64_t rest = upload->size - range.off;
    size_t len = rest < range.len ? (size_t)rest : range.len;
    if (pread(upload->fd, room, len, (off_t)range.off) != (ssize_t)len)
        return false;
    struct wire_msg msg = {
        .kind = WIRE_DATA,
        .data = {
            .hash = upload->hash, .off = range.off, .total = upload->size, .bytes = {room, len}}};
    if (blobs_send(self, upload->nid, &msg, !upload->is_packed))
        return false;
    blobs_stats(self)->blob_bytes_out += len;
    upload->is_done = upload->is_done || range.off + len == upload->size;
    return true;
}

static bool has_room(const struct blobs *self, const struct upload *upload)
{
    return net_queued(self->config.net, upload->nid) <= NET_DRAINED_BYTES;
}

/* Returns whether there is more to do at once. */
static bool run(struct blobs *self, struct upload *upload, uint64_t now_ms, uint8_t *room)
{
    if (upload->range_count > 0 && has_room(self, upload) && !send_piece(self, upload, room)) {
        refuse(self, upload->nid, &upload->hash, WIRE_BLOB_NONE);
        close_upload(self, upload);
        return false;
    }
    if (upload->range_count > 0)
        return has_room(self, upload);
    if (upload->is_done)
        note_given(self, upload);
    if (upload->is_done || now_ms - upload->heard_ms >= IDLE_MS)
        close_upload(self, upload);
    return false;
}

bool serve_run_all(struct blobs *self, uint64_t now_ms)
{
    static uint8_t room[WIRE_DATA_MAX];
    const uint64_t *sent = &blobs_stats(self)->blob_bytes_out;
    uint64_t enough = *sent + TURN_BYTES;
    bool has_more = false;
    size_t left = self->large_count + self->small_count;
    for (; left > 0 && *sent < enough; left--) { /* whoever had his turn goes to the end */
        struct upload *at = TAILQ_FIRST(&self->uploads);
        TAILQ_REMOVE(&self->uploads, at, links);
        TAILQ_INSERT_TAIL(&self->uploads, at, links);
        has_more |= run(self, at, now_ms, room);
    }
    return has_more || left > 0;
}

void serve_has(struct blobs *self, uint64_t nid, const struct wire_has *has)
{
    owned_mem uint8_t *answer = mem_new(has->hash_count + 1);
    for (size_t i = 0; i < has->hash_count; i++) {
        for (size_t j = 0; j < countof(exts) && !answer[i]; j++)
            answer[i] = store_has_blob(self->config.store, &has->hashes[i], exts[j]);
    }
    struct wire_msg msg = {.kind = WIRE_HAVE,
                           .have = {.rid = has->rid, .has = {answer, has->hash_count}}};
    (void)blobs_send(self, nid, &msg, false); /* who hears nothing asks again */
}

void serve_link_down(struct blobs *self, uint64_t nid)
{
    struct upload *at = TAILQ_FIRST(&self->uploads);
    while (at) {
        struct upload *next = TAILQ_NEXT(at, links);
        if (at->nid == nid)
            close_upload(self, at);
        at = next;
    }
}

void serve_free_all(struct blobs *self)
{
    while (!TAILQ_EMPTY(&self->uploads))
        close_upload(self, TAILQ_FIRST(&self->uploads));
}
