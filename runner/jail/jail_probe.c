#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/jail/confine_spec.h"
#include "runner/jail/jail_inner.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_WALL_MS  5000
#define PROBE_PATH     "/opt/testmesh/probe"
#define PROBE_TEXT_MAX ((size_t)4096)

/* Takes one job's way through confine.h, as a fork server would. Returns what init said. */
static int confine_one(const struct buf *spec)
{
    char error[256] = "";
    if (confine_before_fork() != 0) {
        printf("a pid namespace inside: %m\n");
        return 1;
    }
    fflush(stdout);
    pid_t init = fork();
    if (init == 0) {
        if (confine_enter(spec->data, spec->len, NULL, 0, -1, error, sizeof error) != 0) {
            printf("%s\n", error);
            fflush(stdout);
            _exit(1);
        }
        pid_t payload = fork();
        if (payload == 0) {
            int failed = confine_payload(spec->data, spec->len, error, sizeof error);
            if (failed)
                printf("%s\n", error);
            fflush(stdout);
            _exit(failed || getuid() == 0);
        }
        confine_init_reap(payload, -1);
    }
    int status = 0;
    if (init < 0 || waitpid(init, &status, 0) != init || confine_after_fork() != 0) {
        printf("a process inside: %m\n");
        return 1;
    }
    return status != 0;
}

int helper_jail_probe_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct err err = ERR_INIT;
    owned_buf bytes = BUF_INIT;
    struct confine_spec spec = confine_spec_default();
    snprintf(spec.project, sizeof spec.project, "/work/probe");
    if (confine_spec_build(&spec, &bytes, &err) != 0) {
        printf("%s\n", err.text);
        return 1;
    }
    if (confine_one(&bytes) != 0)
        return 1;
    printf("%s\n", JAIL_PROBE_OK);
    return 0;
}

struct attempt {
    bool is_over;
    bool worked;
    char text[256];
};

/* Keeps the last line of what it said: the first ones may be a library's. */
static void keep_line(struct attempt *attempt, const struct buf *said)
{
    size_t len = said->len;
    while (len > 0 && said->data[len - 1] == '\n')
        len--;
    size_t start = len;
    while (start > 0 && said->data[start - 1] != '\n')
        start--;
    snprintf(attempt->text, sizeof attempt->text, "%.*s", (int)(len - start),
             said->len ? said->data + start : "");
}

static void on_done(void *arg, struct child_result *result)
{
    struct attempt *attempt = arg;
    attempt->is_over = true;
    attempt->worked = result->verdict.kind == SUPERVISE_EXITED && result->verdict.code == 0;
    keep_line(attempt, result->out.len ? &result->out : &result->err);
    if (!attempt->text[0])
        snprintf(attempt->text, sizeof attempt->text, "%.200s", result->text);
}

static void attempt_run(const struct jail_spec *spec, struct attempt *attempt)
{
    struct err err = ERR_INIT;
    struct child_stream keep = {.kind = CHILD_COLLECT, .head_bytes = PROBE_TEXT_MAX};
    struct child_spec child = {.out = keep, .err = keep, .limits.wall_ms = PROBE_WALL_MS};
    struct event_base *base = event_base_new();
    *attempt = (struct attempt){0};
    if (!base || !jail_start(base, spec, &child, on_done, attempt, &err))
        snprintf(attempt->text, sizeof attempt->text, "%.200s", err.text);
    else
        while (!attempt->is_over && event_base_loop(base, EVLOOP_ONCE) == 0)
            continue;
    if (base)
        event_base_free(base);
}

/* What people can do about the words that bubblewrap and the kernel use. */
static const char *advice_for(const char *text)
{
    static const struct {
        const char *words;
        const char *advice;
    } table[] = {
        {"not installed", "apt install bubblewrap"},
        {"No permissions to create",
         "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 "
         "(or kernel.apparmor_restrict_unprivileged_userns=0); "
         "a container needs the shipped seccomp profile"},
        {"Creating new namespace failed", "allow user namespaces: sysctl user.max_user_namespaces, "
                                          "or run the container with the shipped seccomp profile"},
        {"uid map", "allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
        {"make / slave", "run the container with the shipped compose file (apparmor=unconfined)"},
        {"mount namespace", "run the container with the shipped compose file"},
    };
    for (size_t i = 0; i < countof(table); i++)
        if (strstr(text, table[i].words))
            return table[i].advice;
    return "see docs/operations.md, Sandbox";
}

void jail_probe(const char *runtime_dir, const char *helper, uid_t uid, struct jail_report *out)
{
    static const char *const argv[] = {PROBE_PATH, "--helper", "jail-probe", NULL};
    struct jail_bind self = {.source = helper, .target = PROBE_PATH};
    struct jail_spec spec = {.runtime_dir = runtime_dir,
                             .helper = helper,
                             .binds = &self,
                             .bind_count = 1,
                             .is_template = true,
                             .uid = uid,
                             .argv = argv};
    struct attempt attempt;
    *out = (struct jail_report){.tier = '-'};
    jail_refuse_proc(false);
    attempt_run(&spec, &attempt);
    out->proc_works = attempt.worked;
    if (!attempt.worked && strstr(attempt.text, "proc")) {
        spec.without_proc = true;
        attempt_run(&spec, &attempt);
        jail_refuse_proc(attempt.worked);
    }
    out->confine_works = attempt.worked;
    if (attempt.worked) {
        out->tier = 'A';
        snprintf(out->text, sizeof out->text, "A: bubblewrap, own namespaces, seccomp, uid %s%s",
                 geteuid() == 0 ? "of the slot" : "of the node",
                 out->proc_works ? "" : ", empty /proc");
        return;
    }
    snprintf(out->text, sizeof out->text, "none: %.200s", attempt.text);
    snprintf(out->problem, sizeof out->problem, "%.250s", attempt.text);
    snprintf(out->advice, sizeof out->advice, "%s", advice_for(attempt.text));
}
