#include "node/store/doc_sketch.h"

#include "node/store/doc_part.h"
#include "proto/base/mem.h"

#include <string.h>

/* Little-endian:  version u8 | flags u8 | digest of req, fence, seal, com: 4 * u64 | projects u32 |
 * and of each project:  p u32 | source's digest u64, where a flag says that there are any | plans'
 * digest, hash of the plan that counts, sum of its results, sum of results of other plans: 4 * u64
 * | modules u32 | a tag u16 for each module, 0 where it has no result */
#define VERSION       1
#define PROJECT_BYTES (4 + 4 * 8 + 4)
#define TAGS_MAX      400000 /* with more the sketch has sums alone */

enum { FLAG_CANCEL = 1, FLAG_DEGRADED = 2, FLAG_SOURCES = 4 };

struct side_project {
    uint64_t source_dig;
    uint64_t plan_dig; /* xor of those of its plans, of all trees */
    uint64_t plan;     /* hash of the one that counts so far */
    uint64_t sum;      /* xor of the digests of its results */
    uint64_t other;    /* of the results of other plans */
    uint16_t *tags;    /* borrowed */
    size_t tag_count;
    bool is_all_wanted; /* every result of the plan, of other plans: the other side cannot say */
    bool is_other_wanted;
};

struct side {
    uint8_t flags;
    uint64_t parts[DOC_PART_COUNT];
    struct side_project *projects; /* by p; owned */
    size_t project_count;
    uint16_t *tags; /* owned */
};

static void side_fini(struct side *self)
{
    free(self->projects);
    free(self->tags);
}
#define owned_side __attribute__((cleanup(side_fini))) struct side

static uint16_t tag_of(const struct doc_rec *rec)
{
    uint16_t tag = (uint16_t)(rec->dig & 0xffff);
    return tag ? tag : 1;
}

static size_t modules_of(const struct doc *doc)
{
    size_t count = 0;
    for (size_t p = 0; p < doc->plan_room; p++)
        count += doc->plans[p] ? doc->plans[p]->module_count : 0;
    return count;
}

static void side_add_plans(struct side *self, const struct doc *doc)
{
    for (size_t p = 0; p < doc->plan_room; p++)
        for (const struct doc_tree_plan *at = doc->tree_plans[p]; at; at = at->next)
            self->projects[p].plan_dig ^= at->part.dig;
    size_t modules = modules_of(doc), at = 0;
    bool has_tags = modules <= TAGS_MAX;
    self->tags = mem_new_array(has_tags ? modules + 1 : 1, sizeof *self->tags);
    for (size_t p = 0; p < doc->plan_room; p++) {
        if (!doc->plans[p])
            continue;
        struct side_project *project = &self->projects[p];
        project->plan = doc->plans[p]->hash;
        project->tags = &self->tags[at];
        project->tag_count = has_tags ? doc->plans[p]->module_count : 0;
        at += project->tag_count;
    }
}

static void side_of(struct side *self, const struct doc *doc, const struct doc_rec **results)
{
    size_t last = doc->res_count > 0 ? (size_t)results[doc->res_count - 1]->p + 1 : 0;
    last = last > doc->source_room ? last : doc->source_room;
    self->flags = (uint8_t)((doc->cancel ? FLAG_CANCEL : 0) | (doc->degraded ? FLAG_DEGRADED : 0) |
                            (doc->source_room > 0 ? FLAG_SOURCES : 0));
    for (size_t i = 0; i < DOC_PART_COUNT; i++)
        self->parts[i] = doc->parts[i].dig;
    self->project_count = last > doc->plan_room ? last : doc->plan_room;
    self->projects = mem_new_array(self->project_count + 1, sizeof *self->projects);
    for (size_t p = 0; p < doc->source_room; p++)
        self->projects[p].source_dig = doc->source_parts[p].dig;
    side_add_plans(self, doc);
    for (size_t i = 0; i < doc->res_count; i++) {
        const struct doc_rec *rec = results[i];
        struct side_project *project = &self->projects[rec->p];
        if (rec->plan != project->plan) {
            project->other ^= rec->dig;
            continue;
        }
        project->sum ^= rec->dig;
        if (rec->m < project->tag_count)
            project->tags[rec->m] = tag_of(rec);
    }
}

/* ---- as bytes -------------------------------------------------------------------------------- */

static void put(struct buf *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        buf_putc(out, (char)(value >> (8 * i) & 0xff));
}

void doc_sketch_encode(const struct doc *doc, struct buf *out)
{
    owned_mem const struct doc_rec **results = doc_sorted_results(doc);
    owned_side side = {0};
    side_of(&side, doc, results);
    put(out, VERSION, 1);
    put(out, side.flags, 1);
    for (size_t i = 0; i < DOC_PART_COUNT; i++)
        put(out, side.parts[i], 8);
    put(out, side.project_count, 4);
    for (size_t p = 0; p < side.project_count; p++) {
        const struct side_project *project = &side.projects[p];
        put(out, p, 4);
        if (side.flags & FLAG_SOURCES)
            put(out, project->source_dig, 8);
        put(out, project->plan_dig, 8);
        put(out, project->plan, 8);
        put(out, project->sum, 8);
        put(out, project->other, 8);
        put(out, project->tag_count, 4);
        for (size_t m = 0; m < project->tag_count; m++)
            put(out, project->tags[m], 2);
    }
}

struct reader {
    const uint8_t *at;
    size_t left;
    bool is_bad;
};

static uint64_t take(struct reader *self, unsigned bytes)
{
    uint64_t value = 0;
    if (self->left < bytes) {
        self->is_bad = true;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)self->at[i] << (8 * i);
    self->at += bytes;
    self->left -= bytes;
    return value;
}

static bool read_project(struct side *self, struct reader *from, size_t p, size_t *tag_at)
{
    if (take(from, 4) != p)
        return false;
    struct side_project *to = &self->projects[p];
    to->source_dig = self->flags & FLAG_SOURCES ? take(from, 8) : 0;
    to->plan_dig = take(from, 8);
    to->plan = take(from, 8);
    to->sum = take(from, 8);
    to->other = take(from, 8);
    to->tag_count = take(from, 4);
    if (from->is_bad || to->tag_count > from->left / 2)
        return false;
    to->tags = &self->tags[*tag_at];
    for (size_t m = 0; m < to->tag_count; m++)
        to->tags[m] = (uint16_t)take(from, 2);
    *tag_at += to->tag_count;
    return true;
}

static bool side_read(struct side *self, const void *bytes, size_t len)
{
    struct reader from = {.at = bytes, .left = len};
    size_t tag_at = 0;
    if (len > DOC_SKETCH_MAX || take(&from, 1) != VERSION)
        return false;
    self->flags = (uint8_t)take(&from, 1);
    for (size_t i = 0; i < DOC_PART_COUNT; i++)
        self->parts[i] = take(&from, 8);
    size_t count = take(&from, 4);
    if (from.is_bad || count > from.left / PROJECT_BYTES || count > DOC_PROJECTS_MAX)
        return false;
    self->project_count = count;
    self->projects = mem_new_array(count + 1, sizeof *self->projects);
    self->tags = mem_new_array(from.left / 2 + 1, sizeof *self->tags);
    for (size_t p = 0; p < count; p++)
        if (!read_project(self, &from, p, &tag_at))
            return false;
    return from.left == 0;
}

/* ---- what is missing ------------------------------------------------------------------------- */

struct split {
    const struct doc *doc;
    const struct side *mine;
    const struct side *theirs;
    bool with_seal; /* the last piece is the seal: what it brings needs no piece of its own */
    doc_split_fn *fn;
    void *arg;
};

static const struct side_project *theirs_of(const struct split *self, size_t p)
{
    static const struct side_project none;
    return p < self->theirs->project_count ? &self->theirs->projects[p] : &none;
}

/* Decides, for each project, what cannot be seen in single tags. */
static void compare_projects(const struct split *self)
{
    for (size_t p = 0; p < self->mine->project_count; p++) {
        struct side_project *mine = &self->mine->projects[p];
        const struct side_project *theirs = theirs_of(self, p);
        bool is_same_plan = mine->plan == theirs->plan && mine->tag_count == theirs->tag_count;
        mine->is_other_wanted = mine->other != theirs->other;
        if (mine->sum == theirs->sum && mine->plan == theirs->plan)
            continue;
        bool differs = !is_same_plan || mine->tag_count == 0;
        for (size_t m = 0; is_same_plan && !differs && m < mine->tag_count; m++)
            differs = mine->tags[m] != theirs->tags[m];
        mine->is_all_wanted = !is_same_plan || mine->tag_count == 0 || !differs;
    }
}

static bool is_rec_wanted(const struct split *self, const struct doc_rec *rec)
{
    const struct side_project *mine = &self->mine->projects[rec->p];
    if (self->with_seal) {
        const struct doc_rec *sealed = doc_counted(self->doc, rec->p, rec->m);
        if (sealed && sealed->dig == rec->dig)
            return false;
    }
    if (rec->plan != mine->plan)
        return mine->is_other_wanted;
    if (mine->is_all_wanted)
        return true;
    const struct side_project *theirs = theirs_of(self, rec->p);
    return rec->m < theirs->tag_count && rec->m < mine->tag_count &&
           mine->tags[rec->m] != theirs->tags[rec->m];
}

#define PIECE_RECORDS 256

static void split_results(const struct split *self, const struct doc_rec **all)
{
    owned_mem struct doc_rec *some = mem_new_array(PIECE_RECORDS, sizeof *some);
    struct delta piece = {.id = self->doc->id, .res = some};
    for (size_t i = 0; i < self->doc->res_count; i++) {
        if (is_rec_wanted(self, all[i]))
            some[piece.res_count++] = *all[i];
        if (piece.res_count == PIECE_RECORDS) {
            self->fn(self->arg, &piece);
            piece.res_count = 0;
        }
    }
    if (piece.res_count > 0)
        self->fn(self->arg, &piece);
}

static void split_head(const struct split *self)
{
    const struct doc *doc = self->doc;
    const uint64_t *mine = self->mine->parts, *theirs = self->theirs->parts;
    struct delta piece = {.id = doc->id};
    if (mine[DOC_PART_REQ] != theirs[DOC_PART_REQ])
        piece.req = doc->req;
    if (mine[DOC_PART_FENCE] != theirs[DOC_PART_FENCE])
        piece.fence = doc->fence;
    piece.cancel = doc->cancel && !(self->theirs->flags & FLAG_CANCEL);
    if (piece.req || piece.fence || piece.cancel)
        self->fn(self->arg, &piece);
}

static void split_sources(const struct split *self)
{
    const struct doc *doc = self->doc;
    for (size_t p = 0; p < doc->source_room; p++) {
        const struct doc_source *source = doc->sources[p];
        if (source && self->mine->projects[p].source_dig != theirs_of(self, p)->source_dig &&
            !(self->with_seal && doc_seal_has_source(doc, source)))
            self->fn(self->arg,
                     &(struct delta){.id = doc->id, .sources = source, .source_count = 1});
    }
}

static void split_plans(const struct split *self)
{
    const struct doc *doc = self->doc;
    for (size_t p = 0; p < doc->plan_room; p++) {
        if (self->mine->projects[p].plan_dig == theirs_of(self, p)->plan_dig)
            continue;
        for (const struct doc_tree_plan *at = doc->tree_plans[p]; at; at = at->next)
            if (!(self->with_seal && doc_seal_has_plan(doc, at->plan)))
                self->fn(self->arg,
                         &(struct delta){.id = doc->id, .plans = at->plan, .plan_count = 1});
    }
}

/* `com` goes with its seal, even to who has the seal: one without the other says nothing. */
static void split_end(const struct split *self)
{
    const struct doc *doc = self->doc;
    struct delta piece = {.id = doc->id};
    bool com_differs = self->mine->parts[DOC_PART_COM] != self->theirs->parts[DOC_PART_COM];
    if (self->with_seal)
        piece.seal = doc->seal;
    if (self->with_seal || com_differs)
        piece.com = doc->com;
    piece.degraded = doc->degraded && !(self->theirs->flags & FLAG_DEGRADED);
    if (piece.seal || piece.com.epoch > 0 || piece.degraded)
        self->fn(self->arg, &piece);
}

void doc_sketch_split(const struct doc *doc, const void *sketch, size_t len, doc_split_fn *fn,
                      void *arg)
{
    owned_mem const struct doc_rec **results = doc_sorted_results(doc);
    owned_side mine = {0}, theirs = {0};
    side_of(&mine, doc, results);
    if (len == 0 || !side_read(&theirs, sketch, len)) {
        doc_split(doc, fn, arg);
        return;
    }
    uint64_t req = theirs.parts[DOC_PART_REQ];
    if (req && doc->req && req != mine.parts[DOC_PART_REQ]) {
        /* two evaluations under one id: nothing of one may get into the other */
        fn(arg, &(struct delta){.id = doc->id, .req = doc->req});
        return;
    }
    struct split self = {.doc = doc, .mine = &mine, .theirs = &theirs, .fn = fn, .arg = arg};
    self.with_seal = doc->seal && mine.parts[DOC_PART_SEAL] != theirs.parts[DOC_PART_SEAL];
    compare_projects(&self);
    split_head(&self);
    split_sources(&self);
    split_plans(&self);
    split_results(&self, results);
    split_end(&self);
}
