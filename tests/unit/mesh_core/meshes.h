/* Some whole meshes with a false clock, network, disk and runner, without chance and without
 * faults but those that a test asks for. What a node does is kept until the test looks at it.
 * (tests/sim is the harsh one: it finds what nobody thought of; this names what must be so.) */
#ifndef TESTS_MESHES_H
#define TESTS_MESHES_H

#include "node/mesh/mesh.h"
#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "tests/unit/own_core/fake_docs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES_MAX 4
#define WALL_MS   UINT64_C(1790000000000)
#define EVAL      UINT64_C(4711)

struct meshes;

/* What a node was told to do and has not: the test does it, or the disk. */
struct write {
    uint64_t token;
    struct delta delta; /* owned */
};

struct seen {
    enum mesh_effect_kind kind;
    uint64_t eval, token, peer;
    unsigned replicas;
    const char *reason;
    bool is_ok;
    struct work work;
    size_t blob_count;
    bool has_secret;
    uint64_t sources[WIRE_SOURCES_MAX + 1];
    size_t source_count;
    enum swim_what what;
};

struct node {
    struct meshes *world;
    struct id_node nid;
    uint64_t id;
    struct wire_addr addr;
    struct fake_docs docs;
    struct mesh *mesh; /* NULL: no such process */
    struct mesh_out out;
    struct write *writes;
    size_t write_count, write_room;
    struct seen *seen;
    size_t seen_count, seen_room;
    bool is_disk_stopped; /* appends wait for durable() */
    unsigned modules;     /* of the plan that its runner makes; 0: the test is the runner */
    bool is_idle;         /* its runner gets projects ready, and ends no module */
};

struct letter {
    struct node *from, *to;
    bool is_frame;
    void *bytes; /* owned */
    size_t len;
};

/* A frame that was sent, whether it arrived or not. */
struct sent {
    uint64_t from, to;
    void *bytes; /* owned */
    size_t len;
    enum wire_kind kind;
};

struct meshes {
    struct node nodes[NODES_MAX];
    size_t count;
    uint64_t now_ms;
    struct letter *letters;
    size_t letter_first, letter_count, letter_room;
    struct sent *sent;
    size_t sent_count, sent_room;
    bool (*loses)(const struct node *from, const struct node *to, enum wire_kind kind);
};

/* ---- a step ---------------------------------------------------------------------------------- */

static inline struct node *node_of(struct meshes *self, uint64_t id)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->nodes[i].id == id)
            return &self->nodes[i];
    return NULL;
}

static inline struct node *node_at(struct meshes *self, const struct wire_addr *addr)
{
    for (size_t i = 0; i < self->count; i++)
        if (wire_addr_compare(&self->nodes[i].addr, addr) == 0)
            return &self->nodes[i];
    return NULL;
}

static inline enum wire_kind kind_of(const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    owned_wire_msg msg;
    assert_int_equal(wire_decode(bytes, len, &msg, &err), 0);
    return msg.kind;
}

static inline void post(struct node *from, struct node *to, const struct mesh_effect *effect)
{
    struct meshes *self = from->world;
    bool is_frame = effect->kind == MESH_SEND_FRAME;
    enum wire_kind kind = is_frame ? kind_of(effect->bytes, effect->len) : WIRE_PING;
    if (is_frame) {
        self->sent =
            mem_grow(self->sent, &self->sent_room, self->sent_count + 1, sizeof *self->sent);
        self->sent[self->sent_count++] = (struct sent){.from = from->id,
                                                       .to = effect->peer,
                                                       .bytes = mem_dup(effect->bytes, effect->len),
                                                       .len = effect->len,
                                                       .kind = kind};
    }
    if (!to || !to->mesh || (self->loses && self->loses(from, to, kind)))
        return;
    self->letters =
        mem_grow(self->letters, &self->letter_room, self->letter_count + 1, sizeof *self->letters);
    self->letters[self->letter_count++] =
        (struct letter){.from = from,
                        .to = to,
                        .is_frame = is_frame,
                        .bytes = mem_dup(effect->bytes, effect->len),
                        .len = effect->len};
}

static inline void note_seen(struct node *self, const struct mesh_effect *effect)
{
    self->seen = mem_grow(self->seen, &self->seen_room, self->seen_count + 1, sizeof *self->seen);
    struct seen *seen = &self->seen[self->seen_count++];
    *seen = (struct seen){.kind = effect->kind,
                          .eval = effect->eval,
                          .token = effect->token,
                          .peer = effect->peer,
                          .replicas = effect->replicas,
                          .reason = effect->reason,
                          .is_ok = effect->is_ok,
                          .work = effect->work,
                          .blob_count = effect->blob_count,
                          .has_secret = effect->secret != NULL,
                          .source_count = effect->source_count,
                          .what = effect->what};
    assert_true(effect->source_count <= countof(seen->sources));
    for (size_t i = 0; i < effect->source_count; i++)
        seen->sources[i] = effect->sources[i];
}

static inline void take_effect(struct node *self, const struct mesh_effect *effect)
{
    if (effect->kind == MESH_SEND_FRAME) {
        post(self, node_of(self->world, effect->peer), effect);
    } else if (effect->kind == MESH_SEND_DATAGRAM) {
        post(self, node_at(self->world, &effect->addr), effect);
    } else if (effect->kind == MESH_APPEND) {
        self->writes =
            mem_grow(self->writes, &self->write_room, self->write_count + 1, sizeof *self->writes);
        struct write *write = &self->writes[self->write_count++];
        *write = (struct write){.token = effect->token};
        delta_copy(effect->delta, &write->delta);
    } else {
        note_seen(self, effect);
    }
}

static inline void tell(struct node *self, struct mesh_event event)
{
    event.now_ms = self->world->now_ms;
    event.wall_ms = WALL_MS + self->world->now_ms;
    mesh_step(self->mesh, &event, &self->out);
    for (size_t i = 0; i < self->out.count; i++)
        take_effect(self, &self->out.effects[i]);
}

/* ---- the disk -------------------------------------------------------------------------------- */

static inline struct write take_write(struct node *self)
{
    assert_true(self->write_count > 0);
    struct write write = self->writes[0];
    memmove(self->writes, &self->writes[1], --self->write_count * sizeof write);
    return write;
}

/* The oldest append reaches the disk. */
static inline void durable(struct node *self)
{
    struct write write = take_write(self);
    unsigned changed = 0;
    enum err_code code = fake_apply(&self->docs, &write.delta, &changed);
    delta_fini(&write.delta);
    tell(self, (struct mesh_event){.kind = MESH_APPENDED,
                                   .token = write.token,
                                   .is_ok = code == ERR_NONE,
                                   .code = code,
                                   .changed = changed});
}

static inline void disk_fails(struct node *self)
{
    struct write write = take_write(self);
    delta_fini(&write.delta);
    tell(self,
         (struct mesh_event){.kind = MESH_APPENDED, .token = write.token, .code = ERR_UNAVAILABLE});
}

/* ---- the runner ------------------------------------------------------------------------------ */

static inline void ends(struct node *self, const struct work *work, enum work_end end,
                        enum work_blame blame, const struct delta *delta)
{
    tell(self, (struct mesh_event){.kind = MESH_ENDED,
                                   .work = *work,
                                   .end = end,
                                   .blame = blame,
                                   .took_ms = 10,
                                   .delta = delta});
}

#define MODULES_MAX 64

/* Of the commit that counts for the node now; all zero for an upload. */
static inline struct hash tree_of(const struct node *self, const struct work *work)
{
    struct doc_project project = {0};
    const struct doc *doc = fake_find(&self->docs, work->eval);
    if (doc && doc->req)
        doc_project(doc, work->p, &project);
    return project.tree;
}

static inline void makes_plan(struct node *self, const struct work *work, size_t modules)
{
    static const char *const paths[MODULES_MAX] = {"test_a.py", "test_b.py", "test_c.py",
                                                   "test_d.py", "test_e.py", "test_f.py"};
    struct doc_module list[MODULES_MAX];
    assert_true(modules <= 6);
    for (size_t i = 0; i < modules; i++)
        list[i] = (struct doc_module){.path = paths[i], .bytes = 1};
    struct doc_plan plan = {.p = work->p,
                            .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
                            .tree = tree_of(self, work),
                            .modules = list,
                            .module_count = modules};
    ends(self, work, WORK_DONE, WORK_BLAME_NONE,
         &(struct delta){.id = work->eval, .plans = &plan, .plan_count = 1});
}

/* The words of a node that could not get the project ready, for no fault of its own. */
static inline void cannot_prepare(struct node *self, const struct work *work, const char *words)
{
    struct doc_plan plan = {
        .p = work->p,
        .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
        .setup = {.outcome = DOC_LOST, .blame = DOC_BLAME_CLUSTER, .message = words}};
    ends(self, work, WORK_UNPREPARED, WORK_BLAME_CLUSTER,
         &(struct delta){.id = work->eval, .plans = &plan, .plan_count = 1});
}

static inline struct doc_rec record_of(const struct node *self, const struct work *work)
{
    const struct doc *doc = fake_find(&self->docs, work->eval);
    const struct doc_plan *plan = doc ? doc_plan(doc, work->p) : NULL;
    return (struct doc_rec){.p = work->p,
                            .plan = plan ? plan->hash : 0,
                            .m = work->m,
                            .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
                            .n = work->n,
                            .node = self->id,
                            .addr = "n:5001",
                            .real = true,
                            .outcome = DOC_PASSED,
                            .tally = {.passed = 1}};
}

static inline void passes(struct node *self, const struct work *work)
{
    struct doc_rec rec = record_of(self, work);
    ends(self, work, WORK_DONE, WORK_BLAME_NONE,
         &(struct delta){.id = work->eval, .res = &rec, .res_count = 1});
}

/* Does what its runner was told last, for as long as there is something. */
static inline bool run_one(struct node *self)
{
    for (size_t i = 0; i < self->seen_count; i++) {
        struct seen *seen = &self->seen[i];
        if (seen->token == UINT64_MAX)
            continue;
        struct work work = seen->work;
        bool is_chore = seen->kind == MESH_PREPARE;
        if (!is_chore && (seen->kind != MESH_START || self->is_idle))
            continue;
        seen->token = UINT64_MAX; /* done */
        if (is_chore)
            makes_plan(self, &work, self->modules);
        else
            passes(self, &work);
        return true;
    }
    return false;
}

/* ---- the world ------------------------------------------------------------------------------- */

static inline void deliver(struct meshes *self)
{
    struct letter letter = self->letters[self->letter_first++];
    if (self->letter_first == self->letter_count)
        self->letter_first = self->letter_count = 0;
    if (letter.to->mesh)
        tell(letter.to, (struct mesh_event){.kind = letter.is_frame ? MESH_FRAME : MESH_DATAGRAM,
                                            .addr = letter.from->addr,
                                            .peer = letter.from->id,
                                            .boot = letter.from->id + 1,
                                            .bytes = letter.bytes,
                                            .len = letter.len});
    free(letter.bytes);
}

static inline bool go_on(struct meshes *self)
{
    if (self->letter_first < self->letter_count) {
        deliver(self);
        return true;
    }
    for (size_t i = 0; i < self->count; i++) {
        struct node *node = &self->nodes[i];
        if (!node->mesh)
            continue;
        if (node->write_count > 0 && !node->is_disk_stopped) {
            durable(node);
            return true;
        }
        if (node->modules > 0 && run_one(node))
            return true;
    }
    return false;
}

/* Everything that is under way arrives; time stands still. */
static inline void settle(struct meshes *self)
{
    for (unsigned steps = 0; go_on(self); steps++)
        assert_true(steps < 100000);
}

static inline void pass(struct meshes *self, uint64_t ms)
{
    settle(self);
    for (uint64_t end = self->now_ms + ms; self->now_ms < end;) {
        uint64_t next = end;
        for (size_t i = 0; i < self->count; i++)
            if (self->nodes[i].mesh && mesh_deadline(self->nodes[i].mesh) < next)
                next = mesh_deadline(self->nodes[i].mesh);
        self->now_ms = next > self->now_ms ? next : self->now_ms + 1;
        for (size_t i = 0; i < self->count; i++)
            if (self->nodes[i].mesh && mesh_deadline(self->nodes[i].mesh) <= self->now_ms)
                tell(&self->nodes[i], (struct mesh_event){.kind = MESH_TICK});
        settle(self);
    }
}

static inline uint32_t estimate(void *arg, const struct doc *doc, uint32_t p, uint32_t m,
                                bool *is_measured)
{
    (void)arg, (void)doc, (void)p, (void)m;
    *is_measured = true;
    return 1000;
}

static inline void start(struct node *self, unsigned slots)
{
    self->mesh = mesh_new(&(struct mesh_config){.self = {.node = self->nid,
                                                         .gen = 7,
                                                         .addr = self->addr,
                                                         .http = 5001,
                                                         .pv = WIRE_VERSIONS,
                                                         .caps = {.slots = (uint16_t)slots},
                                                         .name = "n",
                                                         .address = "n:5001"},
                                                .boot = self->id + 1,
                                                .seed = self->id >> 56,
                                                .now_ms = self->world->now_ms,
                                                .timing = SWIM_TIMING,
                                                .docs = &self->docs.read,
                                                .estimate = estimate,
                                                .slots = slots,
                                                .chores = 1});
    for (size_t i = 0; i < self->world->count; i++)
        if (&self->world->nodes[i] != self)
            tell(self, (struct mesh_event){.kind = MESH_JOIN, .addr = self->world->nodes[i].addr});
    tell(self, (struct mesh_event){.kind = MESH_TICK});
}

/* Nodes with so many slots each, which know each other. Owned (meshes_free). */
static inline struct meshes *meshes_new(size_t count, unsigned slots)
{
    struct meshes *self = mem_new(sizeof *self);
    self->count = count;
    self->now_ms = 100000;
    for (size_t i = 0; i < count; i++) {
        struct node *node = &self->nodes[i];
        node->world = self;
        node->nid = (struct id_node){.bytes = {(uint8_t)(i + 1)}};
        node->id = id_node_short(&node->nid);
        node->addr = wire_addr_v4((const uint8_t[4]){10, 0, 0, (uint8_t)(i + 1)}, 5001);
        fake_docs_init(&node->docs);
    }
    for (size_t i = 0; i < count; i++)
        start(&self->nodes[i], slots);
    pass(self, count > 1 ? 20000 : 4000); /* they have met, and their stores are compared */
    for (size_t i = 0; i < count; i++) {
        size_t alive;
        (void)swim_alive(mesh_members(self->nodes[i].mesh), &alive);
        assert_int_equal(alive, count);
        self->nodes[i].seen_count = 0;
    }
    return self;
}

static inline void meshes_free(struct meshes *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct node *node = &self->nodes[i];
        mesh_free(node->mesh);
        mesh_out_fini(&node->out);
        for (size_t w = 0; w < node->write_count; w++)
            delta_fini(&node->writes[w].delta);
        free(node->writes);
        free(node->seen);
        fake_docs_fini(&node->docs);
    }
    for (size_t i = self->letter_first; i < self->letter_count; i++)
        free(self->letters[i].bytes);
    for (size_t i = 0; i < self->sent_count; i++)
        free(self->sent[i].bytes);
    free(self->letters);
    free(self->sent);
    free(self);
}

/* ---- what was seen --------------------------------------------------------------------------- */

/* The last effect of a kind, or NULL. Valid until the node's next step. */
static inline const struct seen *last_seen(const struct node *self, enum mesh_effect_kind kind)
{
    for (size_t i = self->seen_count; i-- > 0;)
        if (self->seen[i].kind == kind)
            return &self->seen[i];
    return NULL;
}

static inline size_t count_seen(const struct node *self, enum mesh_effect_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < self->seen_count; i++)
        count += self->seen[i].kind == kind;
    return count;
}

/* The work of the last START (or PREPARE). */
static inline struct work last_work(const struct node *self, enum mesh_effect_kind kind)
{
    const struct seen *seen = last_seen(self, kind);
    assert_non_null(seen);
    return seen->work;
}

static inline size_t count_sent(const struct meshes *self, const struct node *from,
                                const struct node *to, enum wire_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < self->sent_count; i++)
        count += self->sent[i].kind == kind && self->sent[i].from == from->id &&
                 self->sent[i].to == to->id;
    return count;
}

/* Decodes the last frame of a kind: wire_msg_fini(). */
static inline void last_sent(const struct meshes *self, const struct node *from,
                             const struct node *to, enum wire_kind kind, struct wire_msg *out)
{
    struct err err = ERR_INIT;
    for (size_t i = self->sent_count; i-- > 0;) {
        const struct sent *sent = &self->sent[i];
        if (sent->kind != kind || sent->from != from->id || sent->to != to->id)
            continue;
        assert_int_equal(wire_decode(sent->bytes, sent->len, out, &err), 0);
        return;
    }
    fail_msg("no such frame");
}

static inline void hear_bytes(struct node *self, const struct node *from, const void *bytes,
                              size_t len)
{
    tell(self,
         (struct mesh_event){.kind = MESH_FRAME, .peer = from->id, .bytes = bytes, .len = len});
}

/* A frame that the other node never sent. */
static inline void hear(struct node *self, const struct node *from, const struct wire_msg *msg)
{
    owned_buf bytes = BUF_INIT;
    wire_encode(msg, &bytes);
    hear_bytes(self, from, bytes.data, bytes.len);
}

/* ---- evaluations ----------------------------------------------------------------------------- */

/* Of one project, whose bundle has that hash (all zero: none). */
static inline void submit(struct node *self, uint64_t eval, uint8_t bundle)
{
    struct doc_project project = {.name = "p", .source = "p.zip", .bytes = 1, .files = 1};
    project.bundle.bytes[0] = bundle;
    struct doc_req req = {
        .created_ms = WALL_MS, .name = "e", .projects = &project, .project_count = 1};
    tell(self, (struct mesh_event){.kind = MESH_SUBMIT,
                                   .eval = eval,
                                   .token = 0,
                                   .delta = &(struct delta){.id = eval, .req = &req}});
}

static inline const struct doc *doc_of(const struct node *self, uint64_t eval)
{
    return fake_find(&self->docs, eval);
}

static inline struct wire_fence fence_of(const struct node *self, uint64_t eval)
{
    const struct doc *doc = doc_of(self, eval);
    assert_non_null(doc);
    assert_non_null(doc->fence);
    return (struct wire_fence){.epoch = doc->fence->ballot.epoch,
                               .owner = doc->fence->ballot.owner};
}

#endif
