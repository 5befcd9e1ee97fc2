/* mesh-bench: what the mesh itself can carry. Nodes are processes with a real store (every promise
 * synced), real links and sealed datagrams on the loopback; only the runner is none.
 *
 *   mesh-bench dispatch [--nodes N] [--slots N] [--modules N] [--dir DIR]
 *
 * prints "modules N seconds S modules_per_second R replicas K". */
#include "bench/null_executor.h"
#include "node/host/host.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/opt.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES_MAX  32
#define TIME_LIMIT 120

struct bench_options {
    int64_t nodes;
    int64_t slots;
    int64_t modules;
    char *dir;
};

static const struct opt_row rows[] = {
    {.flag = "nodes",
     .type = OPT_INT,
     .min = 1,
     .max = NODES_MAX,
     .fallback = "4",
     .help = "Nodes, a process each",
     .offset = offsetof(struct bench_options, nodes)},
    {.flag = "slots",
     .type = OPT_INT,
     .min = 1,
     .max = 64,
     .fallback = "2",
     .help = "Slots of a node",
     .offset = offsetof(struct bench_options, slots)},
    {.flag = "modules",
     .type = OPT_INT,
     .min = 1,
     .max = 50000,
     .fallback = "10000",
     .help = "Modules of the one project",
     .offset = offsetof(struct bench_options, modules)},
    {.flag = "dir",
     .type = OPT_STRING,
     .metavar = "DIR",
     .help = "Where the stores go; without it a new folder in /tmp",
     .offset = offsetof(struct bench_options, dir)},
};

static const struct opt_table table = {.program = "mesh-bench dispatch",
                                       .usage = "[options]",
                                       .about = "Measures how many modules a second a mesh can "
                                                "hand out, record and seal.",
                                       .rows = rows,
                                       .row_count = countof(rows)};

struct bench {
    const struct bench_options *options;
    struct event_base *base;
    struct store *store;
    struct host *host;
    struct event *poll;
    char address[64];
    bool is_submitted;
    unsigned replicas;
    uint64_t accepted_ms;
    bool is_done;
};

static int start_node(struct bench *self, unsigned index, const char *join, struct err *err)
{
    owned_mem char *data = mem_printf("%s/%u", self->options->dir, index);
    uint16_t port;
    struct wire_addr addr;
    self->base = event_base_new();
    self->store = store_open(
        &(struct store_options){.dir = data, .base = self->base, .cluster = "bench"}, err);
    if (!self->store)
        return err->code;
    self->host =
        host_new(&(struct host_config){.base = self->base,
                                       .store = self->store,
                                       .executor = {.store = self->store, .address = self->address},
                                       .data = data,
                                       .cluster = "bench",
                                       .name = "bench",
                                       .join = &join,
                                       .join_count = join ? 1 : 0,
                                       .slots = (unsigned)self->options->slots,
                                       .chores = 2},
                 err);
    if (!self->host || host_listen(self->host, "127.0.0.1:0", true, &port, err))
        return err->code;
    (void)snprintf(self->address, sizeof self->address, "127.0.0.1:%u", port);
    (void)wire_addr_parse(self->address, &addr);
    return host_start(self->host, self->address, &addr, port, err);
}

static void on_accepted(void *arg, const struct err *err, unsigned replicas, unsigned retry_s)
{
    struct bench *self = arg;
    (void)retry_s;
    if (err->code != ERR_NONE) {
        fprintf(stderr, "mesh-bench: not taken: %s\n", err->text);
        event_base_loopbreak(self->base);
    }
    self->replicas = replicas;
    self->accepted_ms = clock_mono_ms();
}

static void on_final(void *arg, uint64_t id)
{
    struct bench *self = arg;
    const struct doc *doc = store_find(self->store, id, NULL);
    double seconds = (double)(clock_mono_ms() - self->accepted_ms) / 1e3;
    size_t counted = doc && doc->seal ? doc->seal->vec_count : 0;
    printf("modules %zu seconds %.3f modules_per_second %.0f replicas %u\n", counted, seconds,
           (double)counted / seconds, self->replicas);
    self->is_done = counted == (size_t)self->options->modules;
    event_base_loopbreak(self->base);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bench *self = arg;
    size_t alive;
    (void)swim_alive(host_members(self->host), &alive);
    if (self->is_submitted || alive < (size_t)self->options->nodes)
        return;
    self->is_submitted = true;
    struct doc_project project = {.name = "null", .source = "null.zip", .files = 1, .bytes = 1};
    struct doc_req req = {
        .created_ms = clock_wall_ms(), .name = "null", .projects = &project, .project_count = 1};
    host_submit(self->host, &(struct delta){.id = 1, .req = &req}, on_accepted, self);
}

/* The first node submits and measures. Returns whether all were counted. */
static bool lead(struct bench *self)
{
    host_on_final(self->host, on_final, self);
    self->poll = event_new(self->base, -1, EV_PERSIST, on_poll, self);
    event_add(self->poll, &(struct timeval){.tv_usec = 20000});
    event_base_loopexit(self->base, &(struct timeval){.tv_sec = TIME_LIMIT});
    event_base_dispatch(self->base);
    return self->is_done;
}

static void follow(const struct bench_options *options, unsigned index, const char *join)
{
    struct bench self = {.options = options};
    struct err err = ERR_INIT;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (start_node(&self, index, join, &err)) {
        fprintf(stderr, "mesh-bench: node %u: %s\n", index, err.text);
        _exit(1);
    }
    event_base_dispatch(self.base);
    _exit(0);
}

static bool run(const struct bench_options *options)
{
    struct bench self = {.options = options};
    struct err err = ERR_INIT;
    pid_t children[NODES_MAX] = {0};
    int ends[2];
    if (pipe(ends))
        return false;
    /* Forked before there is a thread; they wait for the address to join. */
    for (unsigned i = 1; i < (unsigned)options->nodes; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char join[64] = "";
            close(ends[1]);
            if (read(ends[0], join, sizeof join) == sizeof join)
                follow(options, i, join);
            _exit(1);
        }
    }
    bool is_ok = start_node(&self, 0, NULL, &err) == 0;
    if (!is_ok)
        fprintf(stderr, "mesh-bench: %s\n", err.text);
    for (unsigned i = 1; is_ok && i < (unsigned)options->nodes; i++)
        if (write(ends[1], self.address, sizeof self.address) < 0)
            is_ok = false;
    close(ends[1]);
    is_ok = is_ok && lead(&self);
    for (unsigned i = 1; i < (unsigned)options->nodes; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    return is_ok;
}

int main(int argc, char **argv)
{
    struct bench_options options = {0};
    struct opt_parsed parsed = {0};
    struct err err = ERR_INIT;
    char folder[] = "/tmp/mesh-bench-XXXXXX";
    if (argc < 2 || strcmp(argv[1], "dispatch") != 0 ||
        opt_load(&table, argc - 2, argv + 2, &options, &parsed, &err)) {
        fprintf(stderr, "mesh-bench: %s\n",
                err.text[0] ? err.text : "mesh-bench dispatch [options]");
        return 4;
    }
    log_setup(LOG_LEVEL_WARN, false);
    bool is_own = !options.dir;
    if (is_own && !mkdtemp(folder))
        return 1;
    if (is_own)
        options.dir = mem_strdup(folder);
    null_executor_modules = (unsigned)options.modules;
    bool is_ok = run(&options);
    if (is_own && file_remove_tree(folder, &err))
        fprintf(stderr, "mesh-bench: %s\n", err.text);
    opt_fini(&table, &options);
    return is_ok ? 0 : 1;
}
