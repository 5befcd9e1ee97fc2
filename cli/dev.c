/* dev: a node, or a mesh of some, for a moment. It lives in a temporary folder, takes free ports,
 * runs the samples, and is gone when the user says so. */
#include "cli/client.h"
#include "cli/local.h"
#include "cli/pack.h"
#include "cli/run.h"
#include "cli/verb.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS    30000
#define STOP_MS     40000 /* a little more than a node takes to drain */
#define ADDRESS_MAX 256
#define LOG_MAX     (1 << 20)
#define LOG_SHOWN   4000

#define NODES_MAX 16
#define UIDS_EACH 1024 /* of the numbers that the tests of one node run as */
#define UID_FIRST 700000

struct dev_options {
    int64_t nodes;
    bool samples;
    char *path;
    bool once;
};

static const struct opt_row rows[] = {
    {.flag = "nodes",
     .type = OPT_INT,
     .min = 1,
     .max = NODES_MAX,
     .fallback = "1",
     .help = "Start so many, as one mesh",
     .offset = offsetof(struct dev_options, nodes)},
    {.flag = "samples",
     .type = OPT_BOOL,
     .fallback = "yes",
     .help = "Do not run anything at first",
     .offset = offsetof(struct dev_options, samples)},
    {.flag = "run",
     .type = OPT_STRING,
     .metavar = "FOLDER",
     .help = "Run these projects in place of the samples",
     .offset = offsetof(struct dev_options, path)},
    {.flag = "once",
     .type = OPT_BOOL,
     .help = "End when they have run",
     .offset = offsetof(struct dev_options, once)},
};

static const struct opt_table table = {
    .program = "testmesh dev",
    .usage = "[options] [-- options of `testmesh node`]",
    .about = "Starts a node, or a mesh of some, in a temporary folder on free ports, runs the "
             "sample projects, and waits for Ctrl-C. Then all of it is removed.",
    .rows = rows,
    .row_count = countof(rows),
};

struct dev_node {
    pid_t pid; /* 0: none */
    char *log;
    char address[ADDRESS_MAX];
};

struct dev {
    char *folder;
    struct dev_node nodes[NODES_MAX];
    size_t count; /* that were begun */
    size_t wanted;
};

static void sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* The child's side of the fork: its own group, so that Ctrl-C reaches only us and the node gets
 * one polite signal; and it does not outlive us, whatever happens. */
static void become_node(const struct dev_node *self, char **argv, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    int in = open("/dev/null", O_RDONLY);
    int out = open(self->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0)
        _exit(1);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* The machine is shared among them, and strangers of the same port's past are kept out. */
static void add_mesh_options(const struct dev *self, size_t number, struct opt_list *argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long each = cores / (long)self->wanted;
    owned_mem char *name = mem_printf("dev-%zu", number + 1);
    owned_mem char *cluster = mem_printf("dev-%d", (int)getpid());
    owned_mem char *slots = mem_printf("%ld", each > 1 ? each : 1);
    owned_mem char *uids = mem_printf("%zu", UID_FIRST + number * UIDS_EACH);
    const char *const words[] = {"--name",  name,  "--cluster",  cluster,
                                 "--slots", slots, "--uid-base", uids};
    for (size_t i = 0; i < countof(words); i++)
        opt_list_add(argv, words[i]);
    for (size_t i = 0; i < number; i++) {
        opt_list_add(argv, "--join");
        opt_list_add(argv, self->nodes[i].address);
    }
}

static int start_node(struct dev *self, const struct opt_list *more, struct err *err)
{
    size_t number = self->count++;
    struct dev_node *node = &self->nodes[number];
    owned_mem char *data = mem_printf("%s/data-%zu", self->folder, number + 1);
    struct opt_list words = {0};
    const char *const first[] = {"testmesh", "node", "--listen", "127.0.0.1:0", "--data", data};
    node->log = mem_printf("%s/node-%zu.log", self->folder, number + 1);
    for (size_t i = 0; i < countof(first); i++)
        opt_list_add(&words, first[i]);
    if (self->wanted > 1)
        add_mesh_options(self, number, &words);
    for (size_t i = 0; i < more->count; i++)
        opt_list_add(&words, more->items[i]);
    owned_mem char **argv = mem_new_array(words.count + 1, sizeof(*argv));
    memcpy(argv, words.items, words.count * sizeof(*argv));
    pid_t parent = getpid();
    node->pid = fork();
    if (node->pid == 0)
        become_node(node, argv, parent);
    opt_list_fini(&words);
    if (node->pid > 0)
        return 0;
    node->pid = 0;
    return err_set(err, ERR_IO, "fork: %m");
}

static bool node_is_gone(struct dev_node *self)
{
    if (self->pid == 0 || waitpid(self->pid, NULL, WNOHANG) != self->pid)
        return self->pid == 0;
    self->pid = 0;
    return true;
}

static bool all_are_gone(struct dev *self)
{
    bool gone = true;
    for (size_t i = 0; i < self->count; i++)
        gone = node_is_gone(&self->nodes[i]) && gone;
    return gone;
}

/* The node tells where it listens, "http://HOST:PORT", once it does. */
static bool read_address(struct dev_node *self)
{
    static const char mark[] = "http://";
    owned_buf text = BUF_INIT;
    if (file_read(self->log, LOG_MAX, &text, NULL) != 0)
        return false;
    const char *at = strstr(buf_str(&text), mark);
    if (at == NULL)
        return false;
    at += strlen(mark);
    size_t len = strspn(at, "0123456789abcdefghijklmnopqrstuvwxyz.:[]-");
    bool whole = at[len] != '\0' && len < sizeof(self->address) && memchr(at, ':', len) != NULL;
    if (whole)
        snprintf(self->address, sizeof(self->address), "%.*s", (int)len, at);
    return whole;
}

static int await_node(struct dev_node *self, struct err *err)
{
    uint64_t deadline_ms = clock_mono_ms() + START_MS;
    while (!read_address(self)) {
        if (node_is_gone(self))
            return err_set(err, ERR_INTERNAL, "the node did not start; it said:");
        if (follow_interrupted())
            return err_set(err, ERR_CANCELLED, "interrupted");
        if (clock_mono_ms() > deadline_ms)
            return err_set(err, ERR_TIMEOUT, "the node takes too long to start; it said:");
        sleep_ms(20);
    }
    return 0;
}

/* One after the other, so that each knows the addresses of those before it. */
static int start_nodes(struct dev *self, const struct opt_list *more, struct err *err)
{
    int rc = 0;
    while (rc == 0 && self->count < self->wanted) {
        rc = start_node(self, more, err);
        if (rc == 0)
            rc = await_node(&self->nodes[self->count - 1], err);
    }
    return rc;
}

/* How many nodes the first one sees alive; 0 when it does not say. */
static size_t count_members(const struct dev *self)
{
    struct err err = ERR_INIT;
    owned_http *http = http_open(self->nodes[0].address, &err);
    owned_json *network = http != NULL ? client_get_json(http, "/network", &err) : NULL;
    return json_object_size(network);
}

static int await_mesh(struct dev *self, struct err *err)
{
    uint64_t deadline_ms = clock_mono_ms() + START_MS;
    while (self->wanted > 1 && count_members(self) < self->wanted) {
        if (follow_interrupted())
            return err_set(err, ERR_CANCELLED, "interrupted");
        if (clock_mono_ms() > deadline_ms)
            return err_set(err, ERR_TIMEOUT,
                           "the nodes do not find each other; the last one said:");
        sleep_ms(50);
    }
    return 0;
}

static void show_log(const struct dev *self)
{
    owned_buf text = BUF_INIT;
    if (self->count == 0 || file_read(self->nodes[self->count - 1].log, LOG_MAX, &text, NULL) != 0)
        return;
    size_t from = text.len > LOG_SHOWN ? text.len - LOG_SHOWN : 0;
    fputs(buf_str(&text) + from, stderr);
}

static void signal_all(const struct dev *self, int number)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->nodes[i].pid != 0)
            kill(self->nodes[i].pid, number);
}

static void stop_nodes(struct dev *self)
{
    signal_all(self, SIGTERM);
    uint64_t deadline_ms = clock_mono_ms() + STOP_MS;
    while (!all_are_gone(self) && clock_mono_ms() < deadline_ms)
        sleep_ms(20);
    signal_all(self, SIGKILL);
    for (size_t i = 0; i < self->count; i++) {
        if (self->nodes[i].pid != 0)
            waitpid(self->nodes[i].pid, NULL, 0);
        free(self->nodes[i].log);
    }
}

static int make_upload(const struct dev_options *options, const struct cli_parts *parts,
                       struct pack *pack, struct err *err)
{
    if (options->path != NULL)
        return pack_folders(pack, (char *[]){options->path}, 1, false, err);
    pack->path = pack_new_file(parts->samples, parts->samples_len, err);
    return pack->path != NULL ? 0 : err->code;
}

static int run_samples(const struct dev *self, const struct dev_options *options,
                       const struct cli_parts *parts)
{
    struct err err = ERR_INIT;
    owned_pack pack = {0};
    bool any = options->path != NULL || (options->samples && parts->samples != NULL);
    if (!any)
        return CLI_PASSED;
    owned_http *http = http_open(self->nodes[0].address, &err);
    if (http == NULL || make_upload(options, parts, &pack, &err) != 0)
        return verb_fail(&err);
    struct client_upload upload = {.zip = pack.path, .zip_name = "samples.zip", .name = "samples"};
    struct follow_options follow = {.fail_under = -1};
    return run_upload(http, &upload, &follow, true);
}

static void await_the_end(struct dev *self)
{
    if (self->wanted == 1)
        printf("\nThe node is at http://%s and ends with Ctrl-C. In another terminal:\n",
               self->nodes[0].address);
    else
        printf("\nThe nodes end with Ctrl-C. They are at\n");
    for (size_t i = 0; self->wanted > 1 && i < self->count; i++)
        printf("  http://%s\n", self->nodes[i].address);
    if (self->wanted > 1)
        printf("In another terminal:\n");
    printf("  export TESTMESH_NODE=http://%s\n"
           "  testmesh run FOLDER\n"
           "%s"
           "Logs: %s/*.log\n",
           self->nodes[0].address, self->wanted > 1 ? "  testmesh mesh\n" : "", self->folder);
    fflush(stdout);
    while (!follow_interrupted() && !all_are_gone(self))
        sleep_ms(100);
}

static int session(struct dev *self, const struct dev_options *options,
                   const struct opt_list *operands, const struct cli_parts *parts)
{
    struct err err = ERR_INIT;
    self->wanted = (size_t)options->nodes;
    int rc = start_nodes(self, operands, &err);
    if (rc == 0)
        rc = await_mesh(self, &err);
    if (rc != 0) {
        int code = verb_fail(&err);
        show_log(self);
        return code;
    }
    int code = run_samples(self, options, parts);
    if (!options->once && !follow_interrupted()) {
        await_the_end(self);
        code = CLI_PASSED;
    }
    return code;
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    const char *tmp = getenv("TMPDIR");
    struct dev self = {0};
    struct err err = ERR_INIT;
    self.folder = mem_printf("%s/testmesh-dev-XXXXXX", tmp != NULL && *tmp ? tmp : "/tmp");
    if (mkdtemp(self.folder) == NULL) {
        err_set(&err, ERR_IO, "make a temporary folder %.300s: %m", self.folder);
        free(self.folder);
        return verb_fail(&err);
    }
    follow_catch_signals();
    int code = session(&self, options, operands, parts);
    stop_nodes(&self);
    if (file_remove_tree(self.folder, &err) != 0)
        fprintf(stderr, "testmesh: %s\n", err.text);
    free(self.folder);
    return code;
}

const struct cli_verb dev_verb = {.name = "dev",
                                  .summary =
                                      "Try it: a throw-away node or mesh with sample projects",
                                  .table = &table,
                                  .target_size = sizeof(struct dev_options),
                                  .operands_max = 64,
                                  .run = run};
