/* node: a node's life, from its options to its exit code. */
#include "node/node.h"

#include "node/machine.h"
#include "node/node_inner.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE     4
#define EXIT_TRY_AGAIN 75
#define EXIT_CONFIG    78
#define HELP_WIDTH     100

#define BLOBS_CAP_BYTES (UINT64_C(4) << 30)
#define HOUSEKEEPING_S  600

/* ---- running --------------------------------------------------------------------------------- */

static void stop_loop(struct node *self) { event_base_loopbreak(self->base); }

static void on_server_drained(void *arg) { stop_loop(arg); }

static void on_left(void *arg)
{
    struct node *self = arg;
    log_info("node_drained", "no module runs any more");
    http_server_drain(self->server, on_server_drained, self);
}

static void on_drain_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    log_warn("drain_timeout", "what still runs is started again by the next start");
    stop_loop(arg);
}

static void drain(struct node *self, const char *why)
{
    if (self->is_draining) {
        stop_loop(self);
        return;
    }
    self->is_draining = true;
    log_info("node_draining", "why=%s", why);
    api_drain(self->api);
    uint64_t ms = self->options.drain_timeout_ms;
    struct timeval timeout = {.tv_sec = (time_t)(ms / 1000),
                              .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(self->drain_timer, &timeout);
    if (self->has_abandoned)
        http_server_drain(self->server, on_server_drained, self);
    else
        host_leave(self->host, on_left, self);
}

void node_on_leave_wanted(void *arg) { drain(arg, "operator"); }

void node_on_exit_wanted(void *arg, const char *why)
{
    struct node *self = arg;
    self->exit_code = EXIT_CONFIG;
    fprintf(stderr, "testmesh node: %s\n",
            strcmp(why, "copied-node") == 0
                ? "another process runs with this data folder's identity, perhaps from a copy of "
                  "it: remove node.a.json and node.b.json from the copy"
                : "this data folder's identity is used up: start with a new one");
    stop_loop(self);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    drain(arg, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_housekeeping(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct node *self = arg;
    store_collect_blobs(self->store, BLOBS_CAP_BYTES, NULL, NULL);
    prepare_host_prune(self->prepare);
}

/* A store that failed stays failed: what is acknowledged is safe on disk, and a fresh start is the
 * way on. Until then the others do what this node had to. */
static void on_store_check(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct node *self = arg;
    const char *why = NULL;
    size_t others;
    (void)swim_alive(host_members(self->host), &others);
    if (others <= 1) /* with peers, the mesh says when all of them were asked */
        repair_step(&self->repair, self->store);
    if (self->is_draining || store_writable(self->store, &why))
        return;
    event_del(self->store_check);
    log_error("store_failed", "%s", why ? why : "the store cannot be written");
    self->has_abandoned = true;
    host_abandon(self->host);
}

static void add_events(struct node *self)
{
    lag_start(&self->lag, self->base, (enum log_level)self->options.log_level == LOG_LEVEL_DEBUG);
    static const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < countof(numbers); i++) {
        self->signals[i] = evsignal_new(self->base, numbers[i], on_signal, self);
        evsignal_add(self->signals[i], NULL);
    }
    self->drain_timer = evtimer_new(self->base, on_drain_timeout, self);
    self->housekeeping = event_new(self->base, -1, EV_PERSIST, on_housekeeping, self);
    event_add(self->housekeeping, &(struct timeval){.tv_sec = HOUSEKEEPING_S});
    self->store_check = event_new(self->base, -1, EV_PERSIST, on_store_check, self);
    event_add(self->store_check, &(struct timeval){.tv_sec = 1});
}

static void print_banner(const struct node *self)
{
    const char *warning = env_store_warning(self->envs);
    printf("testmesh %s\n", TESTMESH_VERSION);
    printf("  address    http://%s\n", self->address);
    printf("  data       %s\n", self->options.data);
    printf("  slots      %u\n", self->slots);
    printf("  python     %s\n", self->pythons);
    printf("  installer  %s\n", env_store_installer(self->envs));
    printf("  sandbox    %s\n",
           self->is_sandboxed ? self->jail.text : "none: tests run as plain processes");
    if (warning)
        printf("  note       %s\n", warning);
    printf("  next       testmesh run PATH --node http://%s\n", self->address);
    fflush(stdout);
}

static int run(struct node *self)
{
    struct err err = ERR_INIT;
    if (node_assemble(self, &err)) {
        fprintf(stderr, "testmesh node: %s\n", err.text);
        return err.code == ERR_INVALID ? EXIT_USAGE : 1;
    }
    add_events(self);
    print_banner(self);
    log_info("node_ready", "address=http://%s slots=%u", self->address, self->slots);
    repair_begin(&self->repair, self->store);
    event_base_dispatch(self->base);
    return store_writable(self->store, NULL) ? self->exit_code : EXIT_TRY_AGAIN;
}

int node_main(int argc, char **argv)
{
    struct node *self = mem_new(sizeof *self);
    struct err err = ERR_INIT;
    bool help = false;
    if (node_options_load(&self->options, argc - 1, argv + 1, &help, &err)) {
        fprintf(stderr, "testmesh node: %s\n", err.text);
        free(self);
        return EXIT_USAGE;
    }
    if (help) {
        owned_buf text = BUF_INIT;
        opt_help(&node_option_table, HELP_WIDTH, &text);
        fputs(buf_str(&text), stdout);
        free(self);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    machine_raise_descriptors();
    machine_raise_priority();
    umask(022);
    log_setup((enum log_level)self->options.log_level,
              self->options.log_format == OPTIONS_LOG_JSON ||
                  (self->options.log_format == OPTIONS_LOG_AUTO && !isatty(2)));
    int code = run(self);
    node_dismantle(self);
    free(self);
    return code;
}
