/* What a node needs of an evaluation of repositories to go on with it. */
#include "tests/unit/own_core/fake_docs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define EVAL   UINT64_C(4711)
#define SECRET 9
#define BUNDLE 1

/* The blobs that are here, by the first byte of their hash. */
struct shelf {
    struct docs read;
    bool has[256];
};

static bool has_blob(void *arg, const struct hash *blob)
{
    return ((const struct shelf *)arg)->has[blob->bytes[0]];
}

struct scene {
    struct shelf shelf;
    struct doc *doc; /* owned */
};

static void apply(struct scene *self, const struct delta *delta)
{
    struct err err = ERR_INIT;
    unsigned changed;
    assert_int_equal(doc_apply(self->doc, delta, &changed, &err), 0);
}

/* Two repositories, led under (1, 5). */
static void scene_init(struct scene *self, uint8_t secret, bool statuses)
{
    struct doc_project projects[] = {{.name = "p", .source = "https://git.example/o/p"},
                                     {.name = "q", .source = "https://git.example/o/q"}};
    struct doc_req req = {.created_ms = 1,
                          .kind = DOC_GIT,
                          .name = "e",
                          .statuses = statuses,
                          .projects = projects,
                          .project_count = 2};
    struct id_node rep = {.bytes = {0, 0, 0, 0, 0, 0, 0, 5}};
    struct doc_fence fence = {
        .ballot = {.epoch = 1, .owner = 5}, .gen = 1, .reps = &rep, .rep_count = 1};
    *self = (struct scene){.doc = doc_new(EVAL)};
    self->shelf.read = (struct docs){.has_blob = has_blob, .arg = &self->shelf};
    req.secret.bytes[0] = secret;
    apply(self, &(struct delta){.id = EVAL, .req = &req, .fence = &fence});
}

static void find(struct scene *self, uint32_t p, uint32_t epoch)
{
    struct doc_source source = {
        .p = p, .ballot = {.epoch = epoch, .owner = 5}, .source = "https://git.example/o/tree/1"};
    source.bundle.bytes[0] = source.tree.bytes[0] = (uint8_t)(BUNDLE + p);
    apply(self, &(struct delta){.id = EVAL, .sources = &source, .source_count = 1});
}

static void claim(struct scene *self, uint32_t epoch)
{
    struct doc_fence fence = *self->doc->fence;
    fence.ballot.epoch = epoch;
    apply(self, &(struct delta){.id = EVAL, .fence = &fence});
}

static void test_the_secret_is_needed_until_all_is_here_and_the_owners(void **state)
{
    (void)state;
    struct scene scene;
    struct docs *docs = &scene.shelf.read;
    scene_init(&scene, SECRET, false);
    assert_true(docs_needs_secret(docs, scene.doc));
    find(&scene, 0, 1);
    scene.shelf.has[BUNDLE] = true;
    assert_true(docs_needs_secret(docs, scene.doc)); /* the other one is not cloned */
    find(&scene, 1, 1);
    assert_true(docs_needs_secret(docs, scene.doc)); /* nor here */
    assert_false(docs_has_bundles(docs, scene.doc));
    scene.shelf.has[BUNDLE + 1] = true;
    assert_false(docs_needs_secret(docs, scene.doc));
    assert_true(docs_has_bundles(docs, scene.doc));
    claim(&scene, 2); /* who leads now may have found something else */
    assert_true(docs_needs_secret(docs, scene.doc));
    find(&scene, 0, 2);
    find(&scene, 1, 2);
    assert_false(docs_needs_secret(docs, scene.doc));
    doc_free(scene.doc);
}

static void test_statuses_need_it_to_the_end(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, SECRET, true);
    find(&scene, 0, 1);
    find(&scene, 1, 1);
    scene.shelf.has[BUNDLE] = scene.shelf.has[BUNDLE + 1] = true;
    assert_true(docs_needs_secret(&scene.shelf.read, scene.doc));
    apply(&scene, &(struct delta){.id = EVAL, .cancel = true});
    assert_false(docs_needs_secret(&scene.shelf.read, scene.doc));
    doc_free(scene.doc);
}

static void test_where_there_is_none_none_is_needed(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 0, false);
    assert_false(docs_needs_secret(&scene.shelf.read, scene.doc));
    doc_free(scene.doc);
}

/* One that is no replica: it has all the bundles, or needs no secret to get them. */
static void test_who_can_lead(void **state)
{
    (void)state;
    struct scene scene;
    struct docs *docs = &scene.shelf.read;
    scene_init(&scene, 0, false);
    assert_true(docs_can_lead(docs, scene.doc));
    find(&scene, 0, 1);
    assert_true(docs_can_lead(docs, scene.doc)); /* it can be cloned again */
    doc_free(scene.doc);
    scene_init(&scene, SECRET, false);
    scene.shelf.has[SECRET] = true; /* it will be taken from it */
    assert_false(docs_can_lead(docs, scene.doc));
    find(&scene, 0, 1);
    find(&scene, 1, 1);
    assert_false(docs_can_lead(docs, scene.doc));
    scene.shelf.has[BUNDLE] = scene.shelf.has[BUNDLE + 1] = true;
    assert_true(docs_can_lead(docs, scene.doc));
    doc_free(scene.doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_secret_is_needed_until_all_is_here_and_the_owners),
        cmocka_unit_test(test_statuses_need_it_to_the_end),
        cmocka_unit_test(test_where_there_is_none_none_is_needed),
        cmocka_unit_test(test_who_can_lead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
