/* doctor: what this machine has of what a node needs, and how to get the rest. Each row of the
 * table asks one thing; a new thing to ask is a new row. */
#include "cli/http.h"
#include "cli/local.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASK_MS    15000
#define ASK_MAX   65536
#define DISK_GOOD (UINT64_C(2) << 30) /* environments of a class with a scientific stack */

struct doctor_options {
    struct verb_shared shared;
    char *python;
    char *uv;
    char *bwrap;
    char *data;
};

static const struct opt_row rows[] = {
    VERB_NODE_ROW(struct doctor_options),
    {.flag = "python",
     .type = OPT_STRING,
     .env = "TESTMESH_PYTHON",
     .fallback = "python3",
     .metavar = "PATH",
     .help = "The interpreter",
     .offset = offsetof(struct doctor_options, python)},
    {.flag = "uv",
     .type = OPT_STRING,
     .env = "TESTMESH_UV",
     .fallback = "uv",
     .metavar = "PATH",
     .help = "The uv program",
     .offset = offsetof(struct doctor_options, uv)},
    {.flag = "bwrap",
     .type = OPT_STRING,
     .env = "TESTMESH_BWRAP",
     .fallback = "bwrap",
     .metavar = "PATH",
     .help = "The bubblewrap program",
     .offset = offsetof(struct doctor_options, bwrap)},
    {.flag = "data",
     .type = OPT_STRING,
     .env = "TESTMESH_DATA",
     .fallback = "/var/tmp",
     .metavar = "PATH",
     .help = "Where a node keeps, or would keep, its data",
     .offset = offsetof(struct doctor_options, data)},
};

static const struct opt_table table = {
    .program = "testmesh doctor",
    .usage = "[options]",
    .about = "Looks at this machine: what a node would find here, and how to repair what it would "
             "not. Ends with 7 when something is missing that it cannot do without.",
    .rows = rows,
    .row_count = countof(rows),
};

enum verdict { GOOD, POOR, BAD };

struct finding {
    enum verdict verdict;
    struct buf found;   /* what is there */
    const char *repair; /* how to get it, NULL where nothing is wrong; static */
};

static void find(struct finding *out, enum verdict verdict, const char *repair)
{
    out->verdict = verdict;
    out->repair = repair;
}

/* The first line that a program prints. */
static bool ask(const char *const *argv, struct buf *out)
{
    struct err err = ERR_INIT;
    owned_buf text = BUF_INIT;
    const struct local_run spec = {.argv = argv, .timeout_ms = ASK_MS, .output_max = ASK_MAX};
    if (local_run(&spec, &text, &err) != 0) {
        text_safe(err.text, 200, out);
        return false;
    }
    owned_mem char *line = mem_strndup(buf_str(&text), strcspn(buf_str(&text), "\n"));
    text_safe(line, 200, out);
    return true;
}

static void check_python(const struct doctor_options *self, struct finding *out)
{
    static const char script[] =
        "import sys; print('%d.%d.%d at %s' % (sys.version_info[:3] + (sys.executable,))); "
        "sys.exit(sys.version_info < (3, 8))";
    const char *const argv[] = {self->python, "-I", "-c", script, NULL};
    if (ask(argv, &out->found))
        find(out, GOOD, NULL);
    else
        find(out, BAD,
             "install Python 3.8 or newer (apt install python3), or name one with "
             "--python");
}

static void check_installer(const struct doctor_options *self, struct finding *out)
{
    const char *const uv[] = {self->uv, "--version", NULL};
    const char *const pip[] = {self->python, "-m", "pip", "--version", NULL};
    if (ask(uv, &out->found)) {
        find(out, GOOD, NULL);
    } else if (buf_clear(&out->found), ask(pip, &out->found)) {
        find(out, POOR,
             "pip works; uv is several times faster (pip install uv, or name it with "
             "--uv)");
    } else {
        buf_clear(&out->found);
        buf_puts(&out->found, "neither uv nor pip");
        find(out, BAD, "pip install uv, or apt install python3-pip");
    }
}

static void check_bwrap(const struct doctor_options *self, struct finding *out)
{
    const char *const argv[] = {self->bwrap, "--version", NULL};
    if (ask(argv, &out->found))
        find(out, GOOD, NULL);
    else
        find(out, BAD, "apt install bubblewrap");
}

static void check_sandbox(const struct doctor_options *self, struct finding *out)
{
    const char *const argv[] = {self->bwrap,
                                "--unshare-all",
                                "--die-with-parent",
                                "--ro-bind",
                                "/",
                                "/",
                                "--tmpfs",
                                "/tmp",
                                "--",
                                "/bin/sh",
                                "-c",
                                "echo made",
                                NULL};
    if (ask(argv, &out->found)) {
        buf_clear(&out->found);
        buf_puts(&out->found, "bubblewrap makes one here");
        find(out, GOOD, NULL);
        return;
    }
    find(out, BAD,
         "allow user namespaces (below); in a container give it --security-opt "
         "seccomp=unconfined, or run tests that you trust with --allow-unsandboxed");
}

static void check_namespaces(const struct doctor_options *self, struct finding *out)
{
    (void)self;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : errno & 0x7f);
    int status = -1;
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        buf_puts(&out->found, "user and network namespaces can be made");
        find(out, GOOD, NULL);
        return;
    }
    buf_printf(&out->found, "refused (%s)",
               WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "no answer");
    find(out, BAD,
         "sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000; on "
         "Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0");
}

static void check_cgroups(const struct doctor_options *self, struct finding *out)
{
    (void)self;
    bool two = file_exists("/sys/fs/cgroup/cgroup.controllers");
    const char *folder = two ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    buf_printf(&out->found, "%s, %s", two ? "version 2" : "version 1 or none",
               access(folder, W_OK) == 0 ? "writable" : "not writable");
    if (access(folder, W_OK) == 0)
        find(out, GOOD, NULL);
    else
        find(out, POOR,
             "limits work without, by sampling; for exact ones run the node as root or "
             "with systemd's Delegate=yes");
}

static void check_disk(const struct doctor_options *self, struct finding *out)
{
    struct statvfs vfs;
    const char *folder = self->data;
    if (statvfs(folder, &vfs) != 0)
        folder = "/";
    if (statvfs(folder, &vfs) != 0) {
        buf_printf(&out->found, "%.200s: %s", folder, strerror(errno));
        find(out, BAD, "name a folder that exists with --data");
        return;
    }
    uint64_t free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    text_size(free_bytes, &out->found);
    buf_printf(&out->found, " free at %.200s", folder);
    if (free_bytes >= DISK_GOOD)
        find(out, GOOD, NULL);
    else
        find(out, POOR, "make room: environments and results want 2 GiB or more");
}

static void check_node(const struct doctor_options *self, struct finding *out)
{
    struct err err = ERR_INIT;
    owned_answer answer = {0};
    struct http_request request = {.path = "/healthz", .timeout_ms = 3000};
    owned_http *http = http_open(self->shared.node, &err);
    if (http != NULL && http_send(http, &request, &answer, &err) == 0) {
        buf_printf(&out->found, "%s answers %ld", http_url(http), answer.status);
        find(out, answer.status == 200 ? GOOD : POOR,
             answer.status == 200 ? NULL : "another program may have this port");
        return;
    }
    text_safe(err.text, 200, &out->found);
    find(out, POOR, "testmesh node starts one; --node names another");
}

struct check {
    const char *name;
    void (*look)(const struct doctor_options *self, struct finding *out);
};

static const struct check checks[] = {
    {"python", check_python},
    {"installer", check_installer},
    {"bubblewrap", check_bwrap},
    {"sandbox", check_sandbox},
    {"namespaces", check_namespaces},
    {"cgroups", check_cgroups},
    {"disk", check_disk},
    {"node", check_node},
};

static void put_finding(const char *name, const struct finding *finding, bool colour,
                        struct buf *out)
{
    static const char *const words[] = {"ok", "note", "missing"};
    static const enum text_style styles[] = {TEXT_GOOD, TEXT_ODD, TEXT_BAD};
    owned_buf word = BUF_INIT;
    text_cell(words[finding->verdict], 9, true, &word);
    text_styled(styles[finding->verdict], buf_str(&word), colour, out);
    buf_printf(out, "%-11s %s\n", name, buf_str(&finding->found));
    if (finding->repair != NULL)
        buf_printf(out, "%21s%s\n", "", finding->repair);
}

static int run(const void *options, const struct opt_list *operands, const struct cli_parts *parts)
{
    (void)operands;
    (void)parts;
    struct terminal terminal;
    enum verdict worst = GOOD;
    terminal_init(&terminal, stdout);
    for (size_t i = 0; i < countof(checks); i++) {
        struct finding finding = {0};
        owned_buf out = BUF_INIT;
        checks[i].look(options, &finding);
        put_finding(checks[i].name, &finding, terminal.colour, &out);
        verb_print(&out);
        buf_fini(&finding.found);
        worst = finding.verdict > worst ? finding.verdict : worst;
    }
    return worst == BAD ? CLI_SETUP : CLI_PASSED;
}

const struct cli_verb doctor_verb = {.name = "doctor",
                                     .summary = "Look at what this machine has and lacks",
                                     .table = &table,
                                     .target_size = sizeof(struct doctor_options),
                                     .run = run};
