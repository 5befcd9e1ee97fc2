/* Environments that are really built, by uv and by pip, in jails where this machine has them. The
 * packages come from a folder; only pytest itself is downloaded, once. */
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/env/env.h"
#include "runner/env/probe.h"
#include "runner/jail/jail.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define ASK_MS 120000

extern char **environ;

static char *top;     /* everything of this test */
static char *links;   /* packages */
static char *runtime; /* jails; NULL where there are none */
static char *self;
static char *uv;
static const char *offline[3];

static struct event_base *base;
static struct env_store *store;

/* ---- verbs ---- */

struct answer {
    bool is_there;
    const struct env *env;
    enum env_blame blame;
    char reason[64];
    char message[2048];
    bool has_log;
};

static void on_answer(void *arg, const struct env *env, const struct env_failure *failure)
{
    struct answer *to = arg;
    to->is_there = true;
    to->env = env;
    if (failure != NULL) {
        to->blame = failure->blame;
        to->has_log = failure->log[0] != '\0';
        snprintf(to->reason, sizeof to->reason, "%s", failure->reason);
        snprintf(to->message, sizeof to->message, "%s", failure->message);
    }
    event_base_loopbreak(base);
}

static void wait_for(struct answer *answer)
{
    uint64_t until = clock_mono_ms() + ASK_MS;
    while (!answer->is_there && clock_mono_ms() < until) {
        struct timeval step = {1, 0};
        event_base_loopexit(base, &step);
        event_base_dispatch(base);
    }
    assert_true(answer->is_there);
}

static struct env_ticket *ask(const char *requirements, struct answer *answer)
{
    *answer = (struct answer){.is_there = false};
    const struct env_request request = {.requirements = requirements, .name = "test"};
    struct env_ticket *ticket = env_acquire(store, &request, on_answer, answer);
    assert_false(answer->is_there); /* never from within */
    return ticket;
}

static struct answer get(const char *requirements)
{
    struct answer answer;
    ask(requirements, &answer);
    wait_for(&answer);
    return answer;
}

static struct answer get_good(const char *requirements)
{
    struct answer answer = get(requirements);
    if (answer.env == NULL)
        fail_msg("%s: %s", answer.reason, answer.message);
    return answer;
}

static struct env_config config_for(const char *dir, enum env_installer installer)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", top, dir);
    return (struct env_config){
        .dir = path,
        .installer = installer,
        .uv = uv,
        .settings = offline,
        .self = self,
        .runtime_dir = runtime,
    };
}

static void open_store_with(const struct env_config *config)
{
    struct err err = ERR_INIT;
    base = event_base_new();
    store = env_store_new(base, config, &err);
    if (store == NULL)
        fail_msg("%s", err.text);
}

static void open_store(const char *dir, enum env_installer installer)
{
    struct env_config config = config_for(dir, installer);
    open_store_with(&config);
}

static int close_store(void **unused)
{
    (void)unused;
    if (store != NULL)
        env_store_free(store);
    if (base != NULL)
        event_base_free(base);
    store = NULL;
    base = NULL;
    return 0;
}

/* What the environment's Python says, seen as a job would see it. */
static void on_said(void *arg, struct child_result *result)
{
    struct buf *out = arg;
    buf_append(out, buf_str(&result->out), result->out.len);
    buf_append(out, buf_str(&result->err), result->err.len);
    event_base_loopbreak(base);
}

static void say(const struct env *env, const char *code, struct buf *out)
{
    struct err err = ERR_INIT;
    struct jail_bind binds[ENV_BINDS_MAX];
    for (size_t i = 0; i < env->bind_count; i++)
        binds[i] = (struct jail_bind){env->binds[i].source, env->binds[i].target, false, false};
    const char *const argv[] = {env->python, "-I", "-c", code, NULL};
    struct child_spec child = {.argv = argv,
                               .out = {.kind = CHILD_COLLECT, .head_bytes = 4096},
                               .err = {.kind = CHILD_COLLECT, .head_bytes = 4096}};
    struct jail_spec jail = {.runtime_dir = runtime,
                             .helper = self,
                             .binds = binds,
                             .bind_count = env->bind_count,
                             .argv = argv};
    struct child *started = runtime != NULL ? jail_start(base, &jail, &child, on_said, out, &err)
                                            : child_start(base, &child, on_said, out, &err);
    if (started == NULL)
        fail_msg("%s", err.text);
    while (out->len == 0)
        event_base_dispatch(base);
}

static void assert_says(const struct env *env, const char *code, const char *wanted)
{
    owned_buf out = BUF_INIT;
    say(env, code, &out);
    if (strstr(buf_str(&out), wanted) == NULL)
        fail_msg("%s: %s", code, buf_str(&out));
}

static size_t count_folders(const char *dir)
{
    owned_mem char *command =
        mem_printf("find '%s/%s' -mindepth 1 -maxdepth 1 -name '[0-9a-f]*' "
                   "-regextype posix-extended -regex '.*/[0-9a-f]{64}' | wc -l",
                   top, dir);
    FILE *from = popen(command, "r");
    size_t count = 0;
    assert_int_equal(fscanf(from, "%zu", &count), 1);
    pclose(from);
    return count;
}

/* ---- stories ---- */

static void build_and_hit(const char *dir, enum env_installer installer)
{
    open_store(dir, installer);
    uint64_t cold = clock_mono_us();
    struct answer first = get_good("plain");
    cold = clock_mono_us() - cold;
    assert_false(first.env->hit);
    assert_true(first.env->bytes > 100000);
    assert_says(first.env, "import pytest, plain; print(pytest.__version__, plain.VERSION)",
                first.env->pytest_version);
    assert_says(first.env, "import sys; print(sys.prefix)", first.env->root);
    assert_says(first.env, "import pytest; print(pytest.__cached__)", ".pyc");
    if (runtime != NULL)
        assert_says(first.env, "open('/env/x', 'w')", "Read-only file system");
    struct stat info;
    assert_int_equal(stat(first.env->dir, &info), 0);
    assert_int_equal(info.st_uid, geteuid());

    uint64_t hit = clock_mono_us();
    struct answer second = get_good("plain # the same");
    hit = clock_mono_us() - hit;
    assert_ptr_equal(second.env, first.env);
    assert_true(second.env->hit);
    owned_mem char *venv = mem_printf("python3 -m venv --without-pip '%s/venv-%s'", top, dir);
    uint64_t rival = clock_mono_us();
    assert_int_equal(system(venv), 0);
    rival = clock_mono_us() - rival;
    print_message("%s: built in %llu ms; hit / venv --without-pip = %.5f\n",
                  env_store_installer(store), (unsigned long long)cold / 1000,
                  (double)hit / (double)rival);
    assert_true(hit * 10 < rival);
    env_release(store, first.env);
    env_release(store, second.env);
}

static void uv_builds_and_a_hit_is_immediate(void **unused)
{
    (void)unused;
    if (uv == NULL)
        skip();
    build_and_hit("uv", ENV_INSTALLER_UV);
}

static void pip_builds_and_a_hit_is_immediate(void **unused)
{
    (void)unused;
    build_and_hit("pip", ENV_INSTALLER_PIP);
}

static void two_requests_cost_one_build(void **unused)
{
    (void)unused;
    open_store("flight", ENV_INSTALLER_AUTO);
    struct answer a;
    struct answer b;
    ask("plain==1.0\n", &a);
    ask("PLAIN == 1.0  # the same\n", &b);
    wait_for(&a);
    wait_for(&b);
    assert_non_null(a.env);
    assert_ptr_equal(a.env, b.env);
    assert_int_equal(count_folders("flight"), 1);
}

static void the_newest_version_is_built_where_it_has_no_wheel(void **unused)
{
    (void)unused;
    open_store("fresh", ENV_INSTALLER_AUTO);
    struct answer got = get_good("fresh");
    assert_says(got.env, "import fresh; print(fresh.VERSION)", "2.0");
    owned_mem char *nosy = mem_printf("%s/fresh/cache/nosy", top);
    assert_false(file_exists(nosy)); /* its code ran, and not beside the cache that all share */
    struct answer old = get_good("fresh<2");
    assert_says(old.env, "import fresh; print(fresh.VERSION)", "1.0");
    assert_says(old.env, "import glob; print(glob.glob('/env/lib/*/site-packages/nosy.pth'))",
                "[]");
}

static ino_t code_of(const struct env *env, const char *module)
{
    struct stat info;
    owned_mem char *path =
        mem_printf("%s/%s/__pycache__/%s.%s.pyc", env->dir, strstr(env->site_packages, "/lib/"),
                   module, env->interpreter->tag);
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

static int count_code(const char *dir)
{
    owned_mem char *command = mem_printf("find '%s/%s/pyc' -type f 2>/dev/null | wc -l", top, dir);
    FILE *from = popen(command, "r");
    int count = 0;
    assert_int_equal(fscanf(from, "%d", &count), 1);
    pclose(from);
    return count;
}

static void byte_code_is_shared_and_builds_cannot_touch_it(void **unused)
{
    (void)unused;
    if (uv == NULL || runtime == NULL)
        skip();
    open_store("code", ENV_INSTALLER_UV);
    struct answer first = get_good("plain==1.0");
    struct answer second = get_good("plain>=1");
    assert_ptr_not_equal(first.env, second.env);
    ino_t plain = code_of(first.env, "plain");
    assert_int_not_equal(plain, 0);
    assert_int_equal(code_of(second.env, "plain"), plain);
    int before = count_code("code");
    struct answer nosy = get_good("plain\nfresh==2.0");
    assert_int_equal(count_code("code"), before); /* it took, and gave nothing */
    assert_int_equal(code_of(nosy.env, "plain"), plain);
    assert_int_not_equal(code_of(nosy.env, "fresh"), 0);
    assert_says(nosy.env, "import plain; print(plain.__cached__, plain.VERSION)", "1.0");
    struct answer after = get_good("plain\nfresh<2");
    assert_int_equal(code_of(after.env, "plain"), plain);
    assert_int_not_equal(code_of(after.env, "fresh"), code_of(nosy.env, "fresh"));
    assert_says(after.env, "import fresh; print(fresh.VERSION)", "1.0");
}

static void caches_that_are_suspect_are_made_anew(void **unused)
{
    (void)unused;
    if (uv == NULL || runtime == NULL)
        skip();
    struct env_config config = config_for("power", ENV_INSTALLER_UV);
    open_store_with(&config);
    get_good("plain==1.0");
    assert_true(count_code("power") > 0);
    owned_mem char *wheels = mem_printf("%s/power/cache/CACHEDIR.TAG", top);
    assert_true(file_exists(wheels));
    close_store(NULL);

    config.is_cache_suspect = true;
    open_store_with(&config);
    assert_int_equal(count_code("power"), 0);
    assert_false(file_exists(wheels));
    struct answer again = get_good("plain==1.0");
    assert_true(again.env->hit); /* it was on disk before its marker was */
    assert_true(get_good("plain>=1").env->bytes > 0);
    assert_true(count_code("power") > 0);
}

/* They queue up for the compiler; one leaves the queue. */
static void many_builds_at_once_all_end(void **unused)
{
    (void)unused;
    static const char *const lists[] = {"plain", "plain>=1", "plain>0", "plain!=7", "plain<7"};
    struct answer answers[countof(lists)];
    struct env_ticket *tickets[countof(lists)];
    open_store("many", ENV_INSTALLER_AUTO);
    for (size_t i = 0; i < countof(lists); i++)
        tickets[i] = ask(lists[i], &answers[i]);
    wait_for(&answers[0]);
    if (!answers[1].is_there)
        env_cancel(tickets[1]);
    for (size_t i = 2; i < countof(lists); i++) {
        wait_for(&answers[i]);
        assert_non_null(answers[i].env);
    }
}

static void pins_need_no_resolver_until_something_comes_along(void **unused)
{
    (void)unused;
    if (uv == NULL)
        skip();
    open_store("pins", ENV_INSTALLER_UV);
    /* pytest is one of them, what it needs is not. */
    owned_mem char *list = mem_printf("pytest==%s\nplain==1.0", get_good("").env->pytest_version);
    struct answer got = get_good(list);
    assert_says(got.env, "import pytest, pluggy, plain; print(plain.VERSION)", "1.0");
    /* Its newest version has no wheel; one that asks for no version would be happy with an older.
     */
    struct answer built = get_good("fresh==2.0");
    assert_says(built.env, "import fresh; print(fresh.VERSION)", "2.0");
    owned_mem char *both = mem_printf("%s\ntowed==1.0", list);
    struct answer towed = get_good(both);
    assert_says(towed.env, "import fresh; print(fresh.VERSION)", "2.0");
}

static void assert_project_fails(const char *requirements, const char *reason, const char *words)
{
    struct answer got = get(requirements);
    assert_null(got.env);
    assert_string_equal(got.reason, reason);
    assert_int_equal(got.blame, ENV_BLAME_PROJECT);
    if (strstr(got.message, words) == NULL)
        fail_msg("%s", got.message);
}

static void fail_in_each_way(const char *dir, enum env_installer installer)
{
    open_store(dir, installer);
    assert_project_fails("no-such-package-here", "package-not-found", "no-such-package-here");
    assert_project_fails("plain==99", "package-not-found", "plain==99");
    assert_project_fails("picky",
                         installer == ENV_INSTALLER_PIP ? "package-not-found" : "package-conflict",
                         "plain>=7");
    assert_project_fails("broken", "package-build", "");
    assert_project_fails("-r /etc/passwd", "requirement-option", "line 1: -r is refused");
    assert_int_equal(count_folders(dir), 0);
}

static void uv_failures_are_the_projects(void **unused)
{
    (void)unused;
    if (uv == NULL)
        skip();
    fail_in_each_way("uv-fails", ENV_INSTALLER_UV);
}

static void pip_failures_are_the_projects(void **unused)
{
    (void)unused;
    fail_in_each_way("pip-fails", ENV_INSTALLER_PIP);
}

static void a_failure_is_remembered_with_its_log(void **unused)
{
    (void)unused;
    open_store("memory", ENV_INSTALLER_AUTO);
    struct answer first = get("broken");
    assert_true(first.has_log);
    uint64_t again = clock_mono_ms();
    struct answer second = get("broken");
    again = clock_mono_ms() - again;
    assert_string_equal(first.message, second.message);
    assert_true(again < 50);
}

static void too_much(const char *dir, enum env_installer installer, const char *requirement)
{
    struct env_config config = config_for(dir, installer);
    config.build_max_bytes = (uint64_t)48 << 20;
    open_store_with(&config);
    struct answer got = get(requirement);
    assert_null(got.env);
    assert_int_equal(got.blame, ENV_BLAME_PROJECT);
    if (strcmp(got.reason, "package-too-large") != 0)
        fail_msg("%s: %s", got.reason, got.message);
}

static void a_build_that_writes_too_much_is_stopped(void **unused)
{
    (void)unused;
    too_much("huge", ENV_INSTALLER_AUTO, "huge");
}

static void a_file_that_is_too_large_is_stopped_with_uv(void **unused)
{
    (void)unused;
    if (uv == NULL)
        skip();
    too_much("large-uv", ENV_INSTALLER_UV, "large");
}

static void a_file_that_is_too_large_is_stopped_with_pip(void **unused)
{
    (void)unused;
    too_much("large-pip", ENV_INSTALLER_PIP, "large");
}

static void wheels_are_kept_within_bounds(void **unused)
{
    (void)unused;
    if (uv == NULL)
        skip();
    struct env_config config = config_for("wheels", ENV_INSTALLER_UV);
    owned_mem char *tag = mem_printf("%s/wheels/cache/CACHEDIR.TAG", top);
    open_store_with(&config);
    get_good("plain");
    assert_true(file_exists(tag));
    close_store(NULL);

    config.cap_bytes = 1 << 20;
    open_store_with(&config);
    get_good("plain>=1");
    uint64_t until = clock_mono_ms() + ASK_MS;
    while (file_exists(tag) && clock_mono_ms() < until)
        event_base_loop(base, EVLOOP_ONCE);
    assert_false(file_exists(tag));
    get_good("plain<7"); /* from where the wheels come from */
}

static void unreachable(const char *dir, enum env_installer installer)
{
    /* Nothing listens on port 9 of the loopback. */
    static const char *const closed[] = {"PIP_INDEX_URL=http://me:secret77@127.0.0.1:9/simple",
                                         "PIP_DEFAULT_TIMEOUT=3", "PIP_RETRIES=1", NULL};
    struct env_config config = config_for(dir, installer);
    config.settings = closed;
    open_store_with(&config);
    struct answer got = get("plain");
    assert_null(got.env);
    assert_int_equal(got.blame, ENV_BLAME_CLUSTER);
    assert_string_equal(got.reason, "index-unreachable");
    assert_null(strstr(got.message, "secret77"));
}

static void an_index_that_is_not_there_is_no_ones_fault_but_ours_with_uv(void **unused)
{
    (void)unused;
    if (uv == NULL)
        skip();
    unreachable("uv-closed", ENV_INSTALLER_UV);
}

static void an_index_that_is_not_there_is_no_ones_fault_but_ours_with_pip(void **unused)
{
    (void)unused;
    unreachable("pip-closed", ENV_INSTALLER_PIP);
}

static void a_restart_keeps_what_is_finished_and_nothing_else(void **unused)
{
    (void)unused;
    open_store("again", ENV_INSTALLER_AUTO);
    char key[80];
    struct answer built = get_good("plain");
    snprintf(key, sizeof key, "%s", built.env->key);
    struct answer half;
    ask("plain==1.0", &half); /* killed with the store */
    close_store(NULL);

    open_store("again", ENV_INSTALLER_AUTO);
    struct answer again = get_good("plain");
    assert_true(again.env->hit);
    assert_string_equal(again.env->key, key);
    assert_int_equal(count_folders("again"), 1);
    assert_says(again.env, "import plain; print(plain.VERSION)", "1.0");
}

static void each_python_has_its_own(void **unused)
{
    (void)unused;
    static const char *const pythons[] = {"python3", "/usr/bin/python3"};
    struct env_config config = config_for("pythons", ENV_INSTALLER_AUTO);
    config.pythons = pythons;
    config.python_count = 2;
    open_store_with(&config);
    size_t count;
    const struct python *all = env_store_pythons(store, &count);
    for (size_t i = 0; i < count; i++) {
        struct answer answer = {.is_there = false};
        owned_mem char *requires = mem_printf("==%s", all[i].version);
        const struct env_request request = {.requirements = "plain", .python = requires};
        env_acquire(store, &request, on_answer, &answer);
        wait_for(&answer);
        assert_non_null(answer.env);
        print_message("%s: %s %s\n", all[i].asked, all[i].executable, all[i].version);
        assert_says(answer.env, "import sys; print(sys.version)", all[i].version);
    }
    assert_int_equal(count_folders("pythons"), count);
}

static struct {
    unsigned count;
    char last[128];
} evicted;

static void on_evicted(void *arg, const char *key)
{
    (void)arg;
    evicted.count++;
    snprintf(evicted.last, sizeof evicted.last, "%s", key);
}

static void open_small_store(const char *dir)
{
    struct env_config config = config_for(dir, ENV_INSTALLER_AUTO);
    config.cap_bytes = 1;
    config.evicted = on_evicted;
    evicted.count = 0;
    open_store_with(&config);
}

static void the_least_used_goes_when_room_is_short(void **unused)
{
    (void)unused;
    open_small_store("room");
    struct answer held = get_good("plain");
    owned_mem char *key = mem_strdup(held.env->key);
    assert_true(file_exists(held.env->dir)); /* never while in use */
    struct answer other = get_good("plain==1.0");
    owned_mem char *other_key = mem_strdup(other.env->key);
    env_release(store, other.env);
    assert_int_equal(count_folders("room"), 1);
    assert_true(file_exists(held.env->dir));
    assert_int_equal(evicted.count, 1);
    assert_string_equal(evicted.last, other_key);
    env_release(store, held.env);
    assert_int_equal(count_folders("room"), 0);
    assert_int_equal(evicted.count, 2);
    assert_string_equal(evicted.last, key);
}

static void what_was_promised_does_not_go(void **unused)
{
    (void)unused;
    open_small_store("promised");
    struct answer first = get_good("plain");
    struct answer second;
    ask("plain", &second); /* its answer is on its way when the first lets go */
    const struct env *env = first.env;
    env_release(store, env);
    assert_int_equal(evicted.count, 0);
    wait_for(&second);
    assert_ptr_equal(second.env, env);
    assert_true(file_exists(second.env->dir));
    env_release(store, second.env);
    assert_int_equal(evicted.count, 1);
}

static void without_jails_it_works_in_place(void **unused)
{
    (void)unused;
    char *jails = steal_ptr(&runtime);
    open_store("bare", ENV_INSTALLER_AUTO);
    struct answer got = get("fresh");
    if (got.env != NULL) {
        assert_string_equal(got.env->root, got.env->dir);
        assert_says(got.env, "import fresh, sys; print(fresh.VERSION, sys.prefix)", "2.0 /");
    }
    runtime = jails;
    assert_non_null(got.env);
}

static void the_last_to_cancel_stops_the_build(void **unused)
{
    (void)unused;
    open_store("cancel", ENV_INSTALLER_AUTO);
    struct answer a;
    struct answer b;
    struct env_ticket *first = ask("plain", &a);
    struct env_ticket *second = ask("plain", &b);
    env_cancel(first);
    env_cancel(second);
    assert_int_equal(count_folders("cancel"), 0);
    struct answer c = get_good("plain");
    assert_non_null(c.env);
    assert_false(a.is_there);
    assert_false(b.is_there);
}

/* ---- set-up ---- */

static void find_jail(void)
{
    struct err err = ERR_INIT;
    struct jail_report report;
    runtime = mem_printf("%s/runtime", top);
    if (jail_write_runtime(runtime, &err) == 0) {
        jail_probe(runtime, self, JAIL_UID_BASE, &report);
        print_message("jail: tier %c %s%s\n", report.tier, report.text, report.problem);
        if (report.tier == 'A')
            return;
    }
    free(steal_ptr(&runtime));
}

static int set_up(void **unused)
{
    (void)unused;
    char name[] = "/tmp/testmesh-env-XXXXXX";
    char exe[4096];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (mkdtemp(name) == NULL || len <= 0)
        return -1;
    top = mem_strdup(name);
    self = mem_strndup(exe, (size_t)len);
    links = mem_printf("%s/links", top);
    mkdir(links, 0755);
    const char *given = getenv("TESTMESH_UV");
    uv = file_find_program(given != NULL ? given : "uv", NULL);
    if (uv == NULL)
        print_message(
            "SKIP what needs uv: it is not on PATH, and TESTMESH_UV does not say where\n");
    find_jail();
    offline[0] = mem_printf("PIP_FIND_LINKS=%s", links);
    offline[1] = "PIP_NO_INDEX=1";
    owned_mem char *here = mem_strdup(__FILE__);
    *strrchr(here, '/') = '\0';
    owned_mem char *command = mem_printf("python3 '%s/make_links.py' '%s'", here, links);
    return system(command);
}

static int tear_down(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    int rc = file_remove_tree(top, &err);
    free(top);
    free(self);
    free(links);
    free(runtime);
    free(uv);
    free((char *)offline[0]);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--helper") == 0) {
        if (strcmp(argv[2], "env") == 0)
            return helper_env_main(argc, argv);
        if (strcmp(argv[2], "jail") == 0)
            return helper_jail_main(argc, argv);
        return helper_jail_probe_main(argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(uv_builds_and_a_hit_is_immediate, close_store),
        cmocka_unit_test_teardown(pip_builds_and_a_hit_is_immediate, close_store),
        cmocka_unit_test_teardown(two_requests_cost_one_build, close_store),
        cmocka_unit_test_teardown(the_newest_version_is_built_where_it_has_no_wheel, close_store),
        cmocka_unit_test_teardown(byte_code_is_shared_and_builds_cannot_touch_it, close_store),
        cmocka_unit_test_teardown(caches_that_are_suspect_are_made_anew, close_store),
        cmocka_unit_test_teardown(many_builds_at_once_all_end, close_store),
        cmocka_unit_test_teardown(a_build_that_writes_too_much_is_stopped, close_store),
        cmocka_unit_test_teardown(a_file_that_is_too_large_is_stopped_with_uv, close_store),
        cmocka_unit_test_teardown(a_file_that_is_too_large_is_stopped_with_pip, close_store),
        cmocka_unit_test_teardown(wheels_are_kept_within_bounds, close_store),
        cmocka_unit_test_teardown(pins_need_no_resolver_until_something_comes_along, close_store),
        cmocka_unit_test_teardown(uv_failures_are_the_projects, close_store),
        cmocka_unit_test_teardown(pip_failures_are_the_projects, close_store),
        cmocka_unit_test_teardown(a_failure_is_remembered_with_its_log, close_store),
        cmocka_unit_test_teardown(an_index_that_is_not_there_is_no_ones_fault_but_ours_with_uv,
                                  close_store),
        cmocka_unit_test_teardown(an_index_that_is_not_there_is_no_ones_fault_but_ours_with_pip,
                                  close_store),
        cmocka_unit_test_teardown(a_restart_keeps_what_is_finished_and_nothing_else, close_store),
        cmocka_unit_test_teardown(each_python_has_its_own, close_store),
        cmocka_unit_test_teardown(the_least_used_goes_when_room_is_short, close_store),
        cmocka_unit_test_teardown(what_was_promised_does_not_go, close_store),
        cmocka_unit_test_teardown(the_last_to_cancel_stops_the_build, close_store),
        cmocka_unit_test_teardown(without_jails_it_works_in_place, close_store),
    };
    log_setup(getenv("DEBUG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, false);
    return cmocka_run_group_tests_name("env", tests, set_up, tear_down);
}
