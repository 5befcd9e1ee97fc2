/* Warm servers, seen by how often the interpreter of an environment is started. */
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/job/engine.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define WAIT_MS 60000

static char top[] = "/tmp/testmesh-engine-XXXXXX";
static char *runtime;
static char *tree;
static struct event_base *base;
static struct engine *engine;

/* ---- verbs ---- */

static void write_file(const char *path, const char *text, mode_t mode)
{
    struct err err = ERR_INIT;
    if (file_replace(path, text, strlen(text), mode, &err) != 0)
        fail_msg("%s", err.text);
}

/* An environment whose python leaves a dot in its folder at each start. Returns owned. */
static char *make_environment(const char *name)
{
    struct err err = ERR_INIT;
    char *dir = mem_printf("%s/%s", top, name);
    owned_mem char *bin = mem_printf("%s/bin", dir);
    owned_mem char *python = mem_printf("%s/python", bin);
    owned_mem char *text =
        mem_printf("#!/bin/sh\nprintf . >>%s/starts\nexec python3 \"$@\"\n", dir);
    assert_int_equal(file_make_dirs(bin, 0755, &err), 0);
    write_file(python, text, 0755);
    return dir;
}

static size_t starts(const char *dir)
{
    owned_mem char *path = mem_printf("%s/starts", dir);
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    return file_read(path, 100, &text, &err) == 0 ? text.len : 0;
}

struct end {
    bool is_there;
    enum job_outcome outcome;
    char message[1024];
};

static void on_done(void *arg, struct job *job, struct job_result *result)
{
    struct end *end = arg;
    (void)job;
    end->is_there = true;
    end->outcome = result->verdict.outcome;
    snprintf(end->message, sizeof end->message, "%s", result->verdict.message);
}

static void start_job(const char *key, const char *dir, unsigned slot, struct end *end)
{
    struct err err = ERR_INIT;
    static const struct job_callbacks callbacks = {.done = on_done};
    const struct job_spec spec = {
        .kind = JOB_DESCRIBE,
        .environment = {.key = key, .dir = dir, .python = "/env/bin/python"},
        .layers = {tree},
        .layer_count = 1,
        .project = "p",
        .limits = JOB_LIMITS_DEFAULT,
        .slot = slot};
    *end = (struct end){.is_there = false};
    if (engine_start(engine, &spec, &callbacks, end, &err) == NULL)
        fail_msg("%s", err.text);
}

static void wait_for(const struct end *end)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (!end->is_there && clock_mono_ms() < until)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(end->is_there);
    if (end->outcome != JOB_PASSED)
        fail_msg("outcome %d: %s", (int)end->outcome, end->message);
}

static void run_job(const char *key, const char *dir)
{
    struct end end;
    start_job(key, dir, 0, &end);
    wait_for(&end);
}

static int open_engine(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    base = event_base_new();
    const struct engine_config config = {
        .runtime_dir = runtime, .isolation = ENGINE_UNSANDBOXED, .fork_server = true};
    engine = engine_new(base, &config, &err);
    return engine != NULL ? 0 : -1;
}

static int close_engine(void **unused)
{
    (void)unused;
    engine_free(engine);
    event_base_free(base);
    return 0;
}

/* ---- stories ---- */

static void jobs_of_one_key_share_a_server(void **unused)
{
    (void)unused;
    owned_mem char *dir = make_environment("shared");
    run_job("key", dir);
    run_job("key", dir);
    assert_int_equal(starts(dir), 1);
}

static void a_forgotten_environment_serves_nobody(void **unused)
{
    (void)unused;
    owned_mem char *old = make_environment("old");
    owned_mem char *new = make_environment("new");
    run_job("key", old);
    engine_forget(engine, "another");
    run_job("key", old);
    assert_int_equal(starts(old), 1);
    engine_forget(engine, "key");
    run_job("key", new);
    assert_int_equal(starts(old), 1);
    assert_int_equal(starts(new), 1);
}

static void a_job_that_runs_keeps_its_server(void **unused)
{
    (void)unused;
    owned_mem char *dir = make_environment("busy");
    struct end end;
    start_job("key", dir, 0, &end);
    engine_forget(engine, "key");
    wait_for(&end);
    assert_int_equal(starts(dir), 1);
}

static int make_world(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    if (mkdtemp(top) == NULL)
        return -1;
    runtime = mem_printf("%s/runtime", top);
    tree = mem_printf("%s/tree", top);
    owned_mem char *module = mem_printf("%s/test_it.py", tree);
    if (file_make_dirs(tree, 0755, &err) != 0)
        return -1;
    write_file(module, "def test(): pass\n", 0644);
    return 0;
}

static int remove_world(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    free(runtime);
    free(tree);
    return file_remove_tree(top, &err);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, open_engine, close_engine)

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(jobs_of_one_key_share_a_server),
        STORY(a_forgotten_environment_serves_nobody),
        STORY(a_job_that_runs_keeps_its_server),
    };
    log_setup(LOG_LEVEL_WARN, false);
    return cmocka_run_group_tests(stories, make_world, remove_world);
}
