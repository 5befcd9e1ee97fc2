/* dev: a node for a moment. It lives in a temporary folder, takes a free port, runs the samples,
 * and is gone when the user says so. */
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

#define START_MS    30000
#define STOP_MS     40000 /* a little more than a node takes to drain */
#define ADDRESS_MAX 256
#define LOG_MAX     (1 << 20)
#define LOG_SHOWN   4000

struct dev_options {
    bool samples;
    char *path;
    bool once;
};

static const struct opt_row rows[] = {
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
    .about = "Starts a node in a temporary folder on a free port, runs the sample projects, and "
             "waits for Ctrl-C. Then all of it is removed.",
    .rows = rows,
    .row_count = countof(rows),
};

struct dev {
    char *folder;
    pid_t node; /* 0: none */
    char address[ADDRESS_MAX];
};

static void sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* The child's side of the fork: its own group, so that Ctrl-C reaches only us and the node gets
 * one polite signal; and it does not outlive us, whatever happens. */
static void become_node(const struct dev *self, char **argv, pid_t parent)
{
    owned_mem char *log = mem_printf("%s/node.log", self->folder);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0)
        _exit(1);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int start_node(struct dev *self, const struct opt_list *more, struct err *err)
{
    owned_mem char *data = mem_printf("%s/data", self->folder);
    owned_mem char **argv = mem_new_array(more->count + 7, sizeof(*argv));
    static char program[] = "testmesh", verb[] = "node", listen[] = "--listen",
                address[] = "127.0.0.1:0", data_flag[] = "--data";
    char *const first[] = {program, verb, listen, address, data_flag, data};
    memcpy(argv, first, sizeof(first));
    for (size_t i = 0; i < more->count; i++)
        argv[countof(first) + i] = more->items[i];
    pid_t parent = getpid();
    self->node = fork();
    if (self->node < 0)
        return err_set(err, ERR_IO, "fork: %m");
    if (self->node == 0)
        become_node(self, argv, parent);
    return 0;
}

static bool node_is_gone(struct dev *self)
{
    if (self->node == 0 || waitpid(self->node, NULL, WNOHANG) != self->node)
        return self->node == 0;
    self->node = 0;
    return true;
}

/* The node tells where it listens, "http://HOST:PORT", once it does. */
static bool read_address(struct dev *self)
{
    static const char mark[] = "http://";
    owned_mem char *path = mem_printf("%s/node.log", self->folder);
    owned_buf text = BUF_INIT;
    if (file_read(path, LOG_MAX, &text, NULL) != 0)
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

static int await_node(struct dev *self, struct err *err)
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

static void show_log(const struct dev *self)
{
    owned_mem char *path = mem_printf("%s/node.log", self->folder);
    owned_buf text = BUF_INIT;
    if (file_read(path, LOG_MAX, &text, NULL) != 0)
        return;
    size_t from = text.len > LOG_SHOWN ? text.len - LOG_SHOWN : 0;
    fputs(buf_str(&text) + from, stderr);
}

static void stop_node(struct dev *self)
{
    if (self->node == 0)
        return;
    kill(self->node, SIGTERM);
    uint64_t deadline_ms = clock_mono_ms() + STOP_MS;
    while (!node_is_gone(self) && clock_mono_ms() < deadline_ms)
        sleep_ms(20);
    if (self->node != 0) {
        kill(self->node, SIGKILL);
        waitpid(self->node, NULL, 0);
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
    owned_http *http = http_open(self->address, &err);
    if (http == NULL || make_upload(options, parts, &pack, &err) != 0)
        return verb_fail(&err);
    struct client_upload upload = {.zip = pack.path, .zip_name = "samples.zip", .name = "samples"};
    struct follow_options follow = {.fail_under = -1};
    return run_upload(http, &upload, &follow, true);
}

static void await_the_end(struct dev *self)
{
    printf("\nThe node is at http://%s and ends with Ctrl-C. In another terminal:\n"
           "  export TESTMESH_NODE=http://%s\n"
           "  testmesh run FOLDER\n"
           "Its log: %s/node.log\n",
           self->address, self->address, self->folder);
    fflush(stdout);
    while (!follow_interrupted() && !node_is_gone(self))
        sleep_ms(100);
}

static int session(struct dev *self, const struct dev_options *options,
                   const struct opt_list *operands, const struct cli_parts *parts)
{
    struct err err = ERR_INIT;
    int rc = start_node(self, operands, &err);
    if (rc == 0)
        rc = await_node(self, &err);
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
    stop_node(&self);
    if (file_remove_tree(self.folder, &err) != 0)
        fprintf(stderr, "testmesh: %s\n", err.text);
    free(self.folder);
    return code;
}

const struct cli_verb dev_verb = {.name = "dev",
                                  .summary = "Try it: a throw-away node with sample projects",
                                  .table = &table,
                                  .target_size = sizeof(struct dev_options),
                                  .operands_max = 64,
                                  .run = run};
