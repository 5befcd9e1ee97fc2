/* GET /evaluation/<id> of repositories: what is shown of each, and the rows of all of them. */
#include "node/api/internal.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PROJECTS 10

static struct doc *doc;
static struct doc_ignored rows[DOC_SOURCE_ROWS_MAX];

static void hear(struct delta delta)
{
    unsigned changed;
    struct err err = ERR_INIT;
    delta.id = doc->id;
    assert_int_equal(doc_apply(doc, &delta, &changed, &err), 0);
}

static int submitted(void **unused)
{
    (void)unused;
    static const char *const names[PROJECTS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    static const struct doc_ignored remark = {"a", "the same folder as b"};
    struct doc_project projects[PROJECTS];
    for (size_t p = 0; p < PROJECTS; p++)
        projects[p] = (struct doc_project){.name = names[p], .source = "https://h.example/x/y"};
    struct doc_req req = {.kind = DOC_GIT,
                          .name = "class",
                          .projects = projects,
                          .project_count = PROJECTS,
                          .remarks = &remark,
                          .remark_count = 1};
    for (size_t i = 0; i < countof(rows); i++)
        rows[i] = (struct doc_ignored){"x/.venv", "an environment"};
    doc = doc_new(7);
    hear((struct delta){.req = &req});
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    doc_free(doc);
    return 0;
}

static void cloned(uint32_t p, size_t ignored, size_t remarks)
{
    struct doc_source source = {.p = p,
                                .ballot = {1, 1},
                                .source = "https://h.example/x/y/tree/4a6f",
                                .bundle = {{1}},
                                .tree = {{2}},
                                .ignored = rows,
                                .ignored_count = ignored,
                                .remarks = rows,
                                .remark_count = remarks};
    hear((struct delta){.sources = &source, .source_count = 1});
}

static json_t *shown(void)
{
    owned_buf text = BUF_INIT;
    owned_summary summary;
    struct host_live live = {.revision = 1}; /* nothing runs */
    struct err err = ERR_INIT;
    summary_init(&summary, doc, NULL);
    document_put(&text, doc, &summary, &live, 0);
    json_t *json = json_in_parse(text.data, text.len, &err);
    if (!json)
        fail_msg("%s", err.text);
    return json;
}

static const char *of_project(const json_t *json, const char *name, const char *key)
{
    const json_t *project = json_object_get(json_object_get(json, "projects"), name);
    return json_in_str(project, key, "");
}

static void a_project_shows_its_commit_when_it_is_known(void **unused)
{
    (void)unused;
    owned_json *before = shown();
    assert_string_equal(json_in_str(before, "status", ""), "preparing");
    assert_string_equal(of_project(before, "a", "source"), "https://h.example/x/y");
    assert_string_equal(of_project(before, "a", "status"), "pending");
    cloned(0, 0, 0);
    owned_json *after = shown();
    assert_string_equal(of_project(after, "a", "source"), "https://h.example/x/y/tree/4a6f");
    assert_string_equal(of_project(after, "b", "source"), "https://h.example/x/y");
}

static void rows_of_the_request_and_of_all_sources_are_one_list(void **unused)
{
    (void)unused;
    cloned(0, 2, 1);
    cloned(3, 1, 0);
    owned_json *json = shown();
    const json_t *remarks = json_object_get(json, "remarks");
    assert_int_equal(json_array_size(json_object_get(json, "ignored")), 3);
    assert_int_equal(json_array_size(remarks), 2);
    assert_string_equal(json_in_str(json_array_get(remarks, 0), "path", ""), "a");
    assert_string_equal(json_in_str(json_array_get(remarks, 1), "path", ""), "x/.venv");
}

static void a_long_list_says_how_much_is_left_out(void **unused)
{
    (void)unused;
    for (uint32_t p = 0; p < PROJECTS; p++)
        cloned(p, DOC_SOURCE_ROWS_MAX, 0);
    owned_json *json = shown();
    const json_t *ignored = json_object_get(json, "ignored");
    assert_int_equal(json_array_size(ignored), DOC_IGNORED_MAX + 1);
    owned_mem char *more =
        mem_printf("and %d more", PROJECTS * DOC_SOURCE_ROWS_MAX - DOC_IGNORED_MAX);
    const json_t *last = json_array_get(ignored, DOC_IGNORED_MAX);
    assert_string_equal(json_in_str(last, "path", "?"), "");
    assert_string_equal(json_in_str(last, "why", ""), more);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, submitted, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(a_project_shows_its_commit_when_it_is_known),
        STORY(rows_of_the_request_and_of_all_sources_are_one_list),
        STORY(a_long_list_says_how_much_is_left_out),
    };
    return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
