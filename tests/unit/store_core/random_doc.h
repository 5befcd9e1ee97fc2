/* Random but reachable deltas of one evaluation: what owners, executors and sealers could have
 * said. */
#ifndef TESTS_RANDOM_DOC_H
#define TESTS_RANDOM_DOC_H

#include "node/store/doc.h"
#include "node/store/doc_json.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <stdio.h>
#include <string.h>

#define RANDOM_ID 4711

static const struct doc_project random_projects[] = {
    {.name = "anna", .source = "class.zip", .bytes = 10, .files = 2, .bundle = {{1}}},
    {.name = "b\303\266b",
     .source = "https://github.com/x/y.git",
     .tree = {{2}},
     .bundle = {{2, 3}}},
    {.name = "cy", .source = "class.zip", .failure = "no route to its host", .is_clusters = true},
    {.name = "dan", .source = "https://github.com/x/z"}, /* to be cloned */
};
static const char *const random_args[] = {"-k", "not slow"};
static const struct doc_ignored random_ignored[] = {{"anna/.git", "version control"}};
static const struct doc_ignored random_remarks[] = {{"anna", "the same sources as b\303\266b"}};
static const struct doc_req random_req = {
    .created_ms = 1790000000000,
    .kind = DOC_GIT,
    .name = "class",
    .options = {.timeout_s = 30, .pytest_args = random_args, .pytest_arg_count = 2, .priority = -3},
    .key = "k",
    .body = {{9}},
    .secret = {{7, 7}},
    .statuses = true,
    .projects = random_projects,
    .project_count = 4,
    .ignored = random_ignored,
    .ignored_count = 1,
    .remarks = random_remarks,
    .remark_count = 1,
};
static const struct id_node random_reps[] = {{{1}}, {{2}}, {{3}}};
static const struct doc_module random_modules[] = {
    {"tests/test_a.py", 100}, {"tests/test_b.py", 0}, {"tests/test_c.py", 7}, {"z.md", 1}};

static const char *const random_notes[] = {"poetry.lock was not used", "bad \xff bytes"};

static inline struct doc_ballot random_ballot(struct rand *rand)
{
    return (struct doc_ballot){.epoch = 1 + (uint32_t)rand_below(rand, 3),
                               .owner = 10 + rand_below(rand, 2)};
}

/* What the repository of any project may be said to hold: one of two commits, or nothing. */
static inline struct doc_source random_source(struct rand *rand)
{
    struct doc_source source = {.p = (uint32_t)(rand_below(rand, 3) ? 3 : rand_below(rand, 4)),
                                .ballot = random_ballot(rand),
                                .source = "https://github.com/x/z/tree/4a6f"};
    if (rand_below(rand, 4) == 0) {
        source.failure = "no such repository: bad \xff bytes";
        source.is_clusters = rand_below(rand, 2);
        return source;
    }
    source.tree.bytes[0] = source.bundle.bytes[0] = (uint8_t)(5 + rand_below(rand, 2));
    source.bytes = 1000;
    source.files = 3;
    source.ignored = random_ignored;
    source.ignored_count = rand_below(rand, 2);
    source.remarks = random_remarks;
    source.remark_count = rand_below(rand, 2);
    return source;
}

/* A plan says which tree it is of, but for those of earlier versions. */
static inline struct hash random_tree(struct rand *rand, uint32_t p)
{
    struct hash tree = {{0}};
    if (p == 1 && rand_below(rand, 2))
        tree.bytes[0] = 2;
    if (p == 3)
        tree.bytes[0] = (uint8_t)(5 + rand_below(rand, 2));
    return tree;
}

static inline struct doc_plan random_plan(struct rand *rand, uint32_t p)
{
    struct doc_plan plan = {.p = p,
                            .ballot = random_ballot(rand),
                            .tree = random_tree(rand, p),
                            .modules = random_modules,
                            .module_count = 1 + rand_below(rand, 4)};
    plan.notes = random_notes;
    plan.note_count = rand_below(rand, 3);
    if (rand_below(rand, 4) == 0)
        plan.setup = (struct doc_setup){.outcome = DOC_SETUP_FAILED,
                                        .blame = DOC_BLAME_PROJECT,
                                        .message = "no such package",
                                        .log = {{5}}};
    return plan;
}

static inline struct doc_rec random_rec(struct rand *rand)
{
    uint32_t p = (uint32_t)rand_below(rand, 4);
    struct doc_plan plan = {.p = p,
                            .tree = random_tree(rand, p),
                            .ballot = {1, 10},
                            .modules = random_modules,
                            .module_count = 1 + rand_below(rand, 4)};
    struct doc_rec rec = {.p = p,
                          .plan = doc_plan_hash(&plan),
                          .m = (uint32_t)rand_below(rand, plan.module_count),
                          .ballot = random_ballot(rand),
                          .n = 1 + (uint32_t)rand_below(rand, 2),
                          .node = 10 + rand_below(rand, 3),
                          .addr = rand_below(rand, 2) ? "10.0.0.1:5000" : "10.0.0.2:5000",
                          .real = rand_below(rand, 4) > 0,
                          .start_ms = 1790000000000 + rand_below(rand, 1000),
                          .ms = (uint32_t)rand_below(rand, 5000),
                          .tier = rand_below(rand, 2) ? 'A' : '\0',
                          .exit_code = (int32_t)rand_below(rand, 3) - 1,
                          .cached = rand_below(rand, 2)};
    rec.outcome = (enum doc_outcome)(1 + rand_below(rand, DOC_OUTCOME_COUNT - 1));
    rec.blame = (enum doc_blame)rand_below(rand, DOC_BLAME_COUNT);
    rec.tally.passed = (uint32_t)rand_below(rand, 5);
    rec.tally.failed = (uint32_t)rand_below(rand, 3);
    rec.tally.xpassed = (uint32_t)rand_below(rand, 2);
    if (rand_below(rand, 3) == 0)
        rec.message = "bad \xff bytes, \"quotes\" and \n a line";
    if (rand_below(rand, 3) == 0)
        rec.limit = (struct doc_limit){"wall", 301000, 300000};
    if (rand_below(rand, 2))
        rec.cases.bytes[0] = (uint8_t)(1 + rand_below(rand, 200));
    return rec;
}

/* Joins one random statement into the document. */
static inline void random_step(struct rand *rand, struct doc *doc)
{
    struct delta delta = {.id = doc->id};
    struct doc_fence fence = {.gen = 100 + rand_below(rand, 2), .reps = random_reps};
    struct doc_plan plan = random_plan(rand, (uint32_t)rand_below(rand, 4));
    struct doc_source source = random_source(rand);
    struct doc_rec rec = random_rec(rand);
    owned_delta seal = {0};
    switch (rand_below(rand, 14)) {
    case 0:
        delta.req = &random_req;
        break;
    case 1:
        fence.ballot = random_ballot(rand);
        fence.rep_count = 1 + rand_below(rand, 3);
        delta.fence = &fence;
        break;
    case 2:
    case 3:
        delta.plans = &plan;
        delta.plan_count = 1;
        break;
    case 4:
        delta.cancel = rand_below(rand, 4) == 0;
        delta.degraded = rand_below(rand, 8) == 0;
        break;
    case 5:
        if (rand_below(rand, 3) > 0)
            break;
        doc_make_seal(doc, random_ballot(rand), 100, 1790000009000, &seal);
        delta.seal = seal.seal;
        break;
    case 6:
        if (rand_below(rand, 3) == 0)
            delta.com = random_ballot(rand);
        break;
    case 7:
    case 8:
        delta.sources = &source;
        delta.source_count = 1;
        break;
    default:
        delta.res = &rec;
        delta.res_count = 1;
    }
    unsigned changed;
    struct err err = ERR_INIT;
    if (doc_apply(doc, &delta, &changed, &err))
        abort();
}

static inline struct doc *random_doc(struct rand *rand)
{
    struct doc *doc = doc_new(RANDOM_ID);
    for (uint64_t i = rand_below(rand, 16); i > 0; i--)
        random_step(rand, doc);
    return doc;
}

static inline void join_piece(void *to, const struct delta *piece)
{
    unsigned changed;
    struct err err = ERR_INIT;
    if (doc_apply(to, piece, &changed, &err))
        abort();
}

/* Returns a new document: a joined with b. */
static inline struct doc *joined(const struct doc *a, const struct doc *b)
{
    struct doc *both = doc_new(a->id);
    doc_split(a, join_piece, both);
    doc_split(b, join_piece, both);
    return both;
}

static inline char *text_of_doc(const struct doc *doc)
{
    owned_buf text = BUF_INIT;
    doc_encode(doc, &text);
    return buf_steal(&text);
}

static inline void free_doc_at(struct doc **doc) { doc_free(*doc); }
#define owned_doc __attribute__((cleanup(free_doc_at))) struct doc

#endif
