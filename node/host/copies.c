/* copies: what tests printed and how each of them ended are blobs on the node that ran them. The
 * replicas of an evaluation keep copies, made a few at a time as the records come, and once more
 * for what is missing when the result stands; any other node gets one when somebody asks. */
#include "node/host/host_inner.h"

#include "proto/base/mem.h"

#define COPIES_AT_ONCE 4
#define SOURCES_MAX    64

static size_t add_source(uint64_t *out, size_t count, size_t room, uint64_t node)
{
    for (size_t i = 0; i < count; i++)
        if (out[i] == node)
            return count;
    if (count < room)
        out[count++] = node;
    return count;
}

/* Those who should have it come first; then everybody, for who had it may have given it away. */
size_t host_sources(const struct host *self, uint64_t eval, uint64_t executor, uint64_t *out,
                    size_t room)
{
    const struct doc *doc = store_find(self->config.store, eval, NULL);
    size_t count = 0;
    size_t alive_count;
    const uint64_t *alive = swim_alive(mesh_members(self->mesh), &alive_count);
    if (executor)
        count = add_source(out, count, room, executor);
    for (size_t i = 0; doc && doc->fence && i < doc->fence->rep_count; i++)
        count = add_source(out, count, room, id_node_short(&doc->fence->reps[i]));
    for (size_t i = 0; i < alive_count; i++)
        count = add_source(out, count, room, alive[i]);
    return count;
}

static void next_copies(struct host *self);

static void on_copied(void *arg, const struct hash *hash, const struct err *err)
{
    owned_mem struct copy *copy = arg;
    struct copy **at = &copy->host->copying;
    (void)hash;
    (void)err; /* not to be had now; who asks for it later has another try */
    while (*at != copy)
        at = &(*at)->next;
    *at = copy->next;
    copy->host->copies_at_work--;
    next_copies(copy->host);
}

static void next_copies(struct host *self)
{
    while (self->copies && self->copies_at_work < COPIES_AT_ONCE) {
        struct copy *copy = self->copies;
        uint64_t sources[SOURCES_MAX];
        size_t count = host_sources(self, copy->eval, copy->executor, sources, SOURCES_MAX);
        self->copies = copy->next;
        if (!self->copies)
            self->copies_end = &self->copies;
        copy->next = self->copying;
        self->copying = copy;
        self->copies_at_work++;
        blobs_fetch(self->blobs, &copy->blob, copy->ext, sources, count, on_copied, copy);
    }
}

static void want_copy(struct host *self, uint64_t eval, uint64_t executor, const struct hash *blob,
                      const char *ext)
{
    if (!doc_hash_is_set(blob) || executor == self->self ||
        store_has_blob(self->config.store, blob, ext))
        return;
    struct copy *copy = mem_new(sizeof *copy);
    *copy =
        (struct copy){.host = self, .eval = eval, .executor = executor, .blob = *blob, .ext = ext};
    *self->copies_end = copy;
    self->copies_end = &copy->next;
}

static bool is_replica(const struct host *self, const struct doc *doc)
{
    for (size_t i = 0; doc->fence && i < doc->fence->rep_count; i++)
        if (id_node_short(&doc->fence->reps[i]) == self->self)
            return true;
    return false;
}

static void want_copies(struct host *self, uint64_t eval, const struct doc_rec *recs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        want_copy(self, eval, recs[i].node, &recs[i].cases, "jsonl");
        want_copy(self, eval, recs[i].node, &recs[i].out, "log");
    }
}

void host_copy_results(struct host *self, const struct delta *delta)
{
    const struct doc *doc =
        delta->res_count ? store_find(self->config.store, delta->id, NULL) : NULL;
    if (!doc || !is_replica(self, doc))
        return;
    want_copies(self, delta->id, delta->res, delta->res_count);
    next_copies(self);
}

void host_copy_blobs(void *arg, const struct doc *doc, unsigned changed)
{
    struct host *self = arg;
    if (!(changed & (DOC_CHANGED_SEAL | DOC_CHANGED_COM)) || !doc_is_final(doc) ||
        !is_replica(self, doc))
        return;
    want_copies(self, doc->id, doc->seal->vec, doc->seal->vec_count);
    for (size_t p = 0; doc->req && p < doc->req->project_count; p++) {
        const struct doc_plan *plan = doc_plan(doc, (uint32_t)p);
        if (plan)
            want_copy(self, doc->id, 0, &plan->setup.log, "txt");
    }
    next_copies(self);
}

struct blob_wish {
    struct host *host;
    uint64_t ticket;
    host_blob_fn *done;
    void *arg;
    struct blob_wish *next;
};

static void remove_wish(struct blob_wish *wish)
{
    struct blob_wish **at = &wish->host->wishes;
    while (*at != wish)
        at = &(*at)->next;
    *at = wish->next;
}

static void on_wished(void *arg, const struct hash *hash, const struct err *err)
{
    owned_mem struct blob_wish *wish = arg;
    (void)hash;
    remove_wish(wish);
    wish->done(wish->arg, !err || err->code == ERR_NONE);
}

void host_forget_blobs(struct host *self, const void *arg)
{
    for (struct blob_wish *wish = self->wishes, *next; wish; wish = next) {
        next = wish->next;
        if (wish->arg != arg)
            continue;
        blobs_cancel(self->blobs, wish->ticket);
        remove_wish(wish);
        free(wish);
    }
}

void host_blob(struct host *self, uint64_t eval, uint64_t executor, const struct hash *blob,
               const char *ext, host_blob_fn *done, void *arg)
{
    uint64_t sources[SOURCES_MAX];
    size_t count = host_sources(self, eval, executor, sources, SOURCES_MAX);
    struct blob_wish *wish = mem_new(sizeof *wish);
    *wish = (struct blob_wish){.host = self, .done = done, .arg = arg, .next = self->wishes};
    self->wishes = wish;
    wish->ticket = blobs_fetch(self->blobs, blob, ext, sources, count, on_wished, wish);
}

static void free_copies(struct copy *list)
{
    for (struct copy *next; list; list = next) {
        next = list->next;
        free(list);
    }
}

void host_free_copies(struct host *self)
{
    free_copies(self->copies);
    free_copies(self->copying);
    while (self->wishes) {
        struct blob_wish *wish = self->wishes;
        self->wishes = wish->next;
        free(wish);
    }
}
