/* job-run: runs modules through the engine and prints one line of JSON a job; for test_job.py.
 *
 *     job-run --runtime DIR --python PATH [--env DIR] [--bind PATH]… --tree DIR [--layer DIR]
 *             [--kind run|discover|compile|describe] [--output DIR] [--unsandboxed] [--cold]
 *             [--slots N] [--wall-ms N] [--cpu-ms N] [--memory N] [--tmp N] [--output-bytes N]
 *             [--cancel-ms N] [--arg ARG]… [--module PATH]…
 */
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/jail/jail.h"
#include "runner/job/engine.h"

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULES_MAX 20000
#define SLOTS_MAX   64

static struct {
    struct event_base *base;
    struct engine *engine;
    struct job_spec spec;
    struct job_bind binds[16];
    const char *modules[MODULES_MAX];
    size_t module_count;
    size_t next;
    size_t running;
    unsigned slots;
    long cancel_ms;
    bool busy[SLOTS_MAX];
    unsigned progress;
} run = {.slots = 1};

struct ticket {
    const char *module;
    unsigned slot;
    struct job *job;
    struct event *cancel;
    unsigned progress;
    bool begun;
};

static void write_counts(struct json_out *json, const struct job_counts *counts)
{
    json_out_key_uint(json, "passed", counts->passed);
    json_out_key_uint(json, "failed", counts->failed);
    json_out_key_uint(json, "errors", counts->errors);
    json_out_key_uint(json, "skipped", counts->skipped);
    json_out_key_uint(json, "xfailed", counts->xfailed);
    json_out_key_uint(json, "xpassed", counts->xpassed);
}

static void write_cases(struct json_out *json, const struct buf *cases)
{
    json_out_key(json, "cases");
    json_out_open_array(json);
    const char *at = buf_str(cases);
    for (const char *end; (end = strchr(at, '\n')); at = end + 1)
        json_out_raw(json, at, (size_t)(end - at));
    json_out_close_array(json);
}

static void write_result(const struct ticket *ticket, const struct job_result *result)
{
    owned_buf text = BUF_INIT;
    struct json_out json;
    json_out_init(&json, &text);
    json_out_open_object(&json);
    json_out_key_str(&json, "module", ticket->module);
    json_out_key_str(&json, "outcome", job_outcome_name(result->verdict.outcome));
    json_out_key_str(&json, "blame", job_blame_name(result->verdict.blame));
    json_out_key_str(&json, "message", result->verdict.message);
    json_out_key_bool(&json, "tampered", result->verdict.tampered);
    json_out_key_int(&json, "exit_code", result->verdict.exit_code);
    write_counts(&json, &result->verdict.counts);
    json_out_key_uint(&json, "deselected", result->verdict.deselected);
    json_out_key_str(&json, "limit", job_limit_name(result->limit));
    json_out_key_uint(&json, "used", result->limit_used);
    json_out_key_uint(&json, "allowed", result->limit_allowed);
    json_out_key_uint(&json, "wall_ms", result->wall_ms);
    json_out_key_uint(&json, "cpu_ms", result->cpu_ms);
    json_out_key_uint(&json, "max_rss", result->max_rss_bytes);
    json_out_key_bool(&json, "cold", result->cold_start);
    json_out_key_bool(&json, "begun", ticket->begun);
    json_out_key_uint(&json, "progress", ticket->progress);
    json_out_key_uint(&json, "output_bytes", result->output.total_bytes);
    json_out_key(&json, "output");
    json_out_strn(&json, buf_str(&result->output.kept), result->output.kept.len);
    json_out_key(&json, "modules");
    json_out_open_array(&json);
    for (size_t i = 0; i < result->module_count; i++)
        json_out_str(&json, result->modules[i].path);
    json_out_close_array(&json);
    if (result->blob.len) {
        json_out_key(&json, "blob");
        json_out_strn(&json, result->blob.data, result->blob.len);
    }
    write_cases(&json, &result->cases);
    json_out_close_object(&json);
    puts(buf_str(&text));
    fflush(stdout);
}

static void start_more(void);

static void on_begin(void *arg, struct job *job)
{
    (void)job;
    struct ticket *ticket = arg;
    ticket->begun = true;
}

static void on_progress(void *arg, struct job *job, const struct job_counts *counts)
{
    (void)job;
    (void)counts;
    struct ticket *ticket = arg;
    ticket->progress++;
}

static void on_done(void *arg, struct job *job, struct job_result *result)
{
    (void)job;
    struct ticket *ticket = arg;
    write_result(ticket, result);
    run.busy[ticket->slot] = false;
    run.running--;
    if (ticket->cancel)
        event_free(ticket->cancel);
    free(ticket);
    start_more();
    if (run.running == 0)
        event_base_loopbreak(run.base);
}

static void on_cancel(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct ticket *ticket = arg;
    job_cancel(ticket->job);
}

static const struct job_callbacks callbacks = {on_begin, on_progress, on_done};

static void start_one(unsigned slot)
{
    struct err err = ERR_INIT;
    struct ticket *ticket = mem_new(sizeof(*ticket));
    ticket->module = run.modules[run.next++];
    ticket->slot = slot;
    run.spec.module = run.spec.kind == JOB_RUN ? ticket->module : NULL;
    run.spec.slot = slot;
    ticket->job = engine_start(run.engine, &run.spec, &callbacks, ticket, &err);
    if (!ticket->job) {
        fprintf(stderr, "job-run: %s\n", err.text);
        exit(2);
    }
    run.busy[slot] = true;
    run.running++;
    if (run.cancel_ms > 0) {
        ticket->cancel = event_new(run.base, -1, 0, on_cancel, ticket);
        event_add(ticket->cancel,
                  &(struct timeval){run.cancel_ms / 1000, run.cancel_ms % 1000 * 1000});
    }
}

static void start_more(void)
{
    for (unsigned slot = 0; slot < run.slots && run.next < run.module_count; slot++) {
        if (!run.busy[slot])
            start_one(slot);
    }
}

static enum job_kind kind_of(const char *name)
{
    static const char *const names[] = {"run", "discover", "compile", "describe"};
    for (unsigned i = 0; i < countof(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum job_kind)i;
    }
    fprintf(stderr, "job-run: kind %s\n", name);
    exit(2);
}

static bool take_number(const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *to;
    } numbers[] = {
        {"--wall-ms", &run.spec.limits.wall_ms},
        {"--cpu-ms", &run.spec.limits.cpu_ms},
        {"--memory", &run.spec.limits.memory_bytes},
        {"--tmp", &run.spec.limits.tmp_bytes},
        {"--output-bytes", &run.spec.limits.output_bytes},
        {"--processes", &run.spec.limits.processes},
    };
    for (size_t i = 0; i < countof(numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].to = strtoull(value, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool take_text(const char *name, const char *value, struct engine_config *config)
{
    struct job_environment *environment = &run.spec.environment;
    if (strcmp(name, "--runtime") == 0)
        config->runtime_dir = value;
    else if (strcmp(name, "--python") == 0)
        environment->python = value;
    else if (strcmp(name, "--env") == 0)
        environment->dir = value;
    else if (strcmp(name, "--bind") == 0)
        run.binds[environment->bind_count++] = (struct job_bind){value, value};
    else if (strcmp(name, "--tree") == 0 || strcmp(name, "--layer") == 0)
        run.spec.layers[run.spec.layer_count++] = value;
    else if (strcmp(name, "--project") == 0)
        run.spec.project = value;
    else if (strcmp(name, "--output") == 0)
        run.spec.output_dir = value;
    else if (strcmp(name, "--arg") == 0)
        run.spec.args[run.spec.arg_count++] = value;
    else if (strcmp(name, "--module") == 0)
        run.modules[run.module_count++] = value;
    else
        return false;
    return true;
}

static void take_options(int argc, char **argv, struct engine_config *config)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--unsandboxed") == 0) {
            config->isolation = ENGINE_UNSANDBOXED;
            continue;
        }
        if (strcmp(name, "--cold") == 0) {
            config->fork_server = false;
            continue;
        }
        const char *value = ++i < argc ? argv[i] : "";
        if (strcmp(name, "--kind") == 0)
            run.spec.kind = kind_of(value);
        else if (strcmp(name, "--slots") == 0)
            run.slots = (unsigned)atoi(value);
        else if (strcmp(name, "--cancel-ms") == 0)
            run.cancel_ms = atol(value);
        else if (!take_number(name, value) && !take_text(name, value, config)) {
            fprintf(stderr, "job-run: unknown option %s\n", name);
            exit(2);
        }
    }
    if (run.spec.kind != JOB_RUN)
        run.modules[run.module_count++] = "";
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--helper") == 0 && strcmp(argv[2], "jail") == 0)
        return helper_jail_main(argc, argv);
    struct err err = ERR_INIT;
    char self[PATH_MAX] = "";
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 2;
    struct engine_config config = {
        .isolation = ENGINE_JAILED,
        .fork_server = true,
        .helper = self,
    };
    run.spec = (struct job_spec){.project = "project", .limits = JOB_LIMITS_DEFAULT};
    run.spec.environment.key = "test";
    run.spec.environment.binds = run.binds;
    take_options(argc, argv, &config);
    if (run.spec.environment.dir && config.isolation == ENGINE_JAILED)
        run.binds[run.spec.environment.bind_count++] =
            (struct job_bind){run.spec.environment.dir, "/env"};
    log_setup(LOG_LEVEL_WARN, false);
    run.base = event_base_new();
    run.engine = engine_new(run.base, &config, &err);
    if (!run.engine) {
        fprintf(stderr, "job-run: %s\n", err.text);
        return 2;
    }
    start_more();
    if (run.running > 0)
        event_base_dispatch(run.base);
    engine_free(run.engine);
    event_base_free(run.base);
    return 0;
}
