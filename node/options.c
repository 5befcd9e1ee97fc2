#include "node/options.h"

#include "proto/base/mem.h"

#include <string.h>
#include <unistd.h>

#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)

#define SECOND INT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

/* The key of a row in a configuration file is its flag. */
#define ROW(name, environment, kind, member)                                                       \
    .flag = name, .key = name, .env = "TESTMESH_" environment, .type = kind,                       \
    .offset = offsetof(struct node_options, member)

static const struct opt_row rows[] = {
    {ROW("listen", "LISTEN", OPT_LIST, listen), .section = "Listening", .short_flag = 'l',
     .fallback = "127.0.0.1:5001", .metavar = "HOST:PORT",
     .help = "Address to serve HTTP on; port 0 takes a free one"},
    {ROW("advertise", "ADVERTISE", OPT_STRING, advertise), .metavar = "HOST:PORT",
     .help = "Address that others reach this node at, where it differs from --listen"},
    {ROW("host", "HOST", OPT_LIST, host), .metavar = "NAME",
     .help = "Host name that requests may carry, besides addresses and localhost"},
    {ROW("open", "OPEN", OPT_BOOL, open),
     .help = "Serve other machines without asking for a token"},
    {ROW("token-file", "TOKEN_FILE", OPT_STRING, token_file), .metavar = "PATH",
     .help = "File with the tokens that clients must send, one a line"},
    {ROW("connections-max", "CONNECTIONS_MAX", OPT_INT, connections_max), .min = 8, .max = 100000,
     .fallback = "2048", .help = "Open connections; beyond this the idlest is closed"},

    {ROW("join", "JOIN", OPT_LIST, join), .section = "Mesh", .metavar = "HOST:PORT",
     .help =
         "Where other nodes may be: an address, a name, or dns:NAME for all addresses of a name"},
    {ROW("mesh", "MESH", OPT_STRING, mesh), .metavar = "HOST:PORT",
     .help = "Address for the mesh alone; without it the mesh shares the first --listen"},
    {ROW("key-file", "KEY_FILE", OPT_STRING, key_file), .metavar = "PATH",
     .help = "File with the cluster's keys, one a line; without it a node meets others on this "
             "machine only"},
    {ROW("cluster", "CLUSTER", OPT_STRING, cluster), .fallback = "testmesh", .metavar = "NAME",
     .help = "Name of the mesh; nodes of another name are strangers"},
    {ROW("name", "NAME", OPT_STRING, name), .metavar = "TEXT",
     .help = "Label of this node, for people; without it the host's name"},
    {ROW("allow-single", "ALLOW_SINGLE", OPT_BOOL, allow_single),
     .help = "Accept work with a single copy when no other node can be reached"},

    {.section = "Work",
     .flag = "config",
     .short_flag = 'c',
     .env = "TESTMESH_CONFIG",
     .type = OPT_STRING,
     .offset = offsetof(struct node_options, config),
     .metavar = "PATH",
     .help = "File with lines `option = value`; flags and environment go before it"},
    {ROW("data", "DATA", OPT_STRING, data), .short_flag = 'd', .metavar = "PATH",
     .help = "Folder for everything the node keeps; without it ~/.local/state/testmesh, for root "
             "/var/lib/testmesh"},
    {ROW("slots", "SLOTS", OPT_INT, slots), .short_flag = 's', .min = 1, .max = 512,
     .fallback = "0", .zero_word = "automatic", .help = "Modules that run at once"},
    {ROW("python", "PYTHON", OPT_LIST, python), .metavar = "PATH",
     .help = "Interpreter to offer; without it the python3 on PATH"},
    {ROW("uv", "UV", OPT_STRING, uv), .metavar = "PATH",
     .help = "The uv program; without it the one on PATH, else pip is used"},
    {ROW("fork-server", "FORK_SERVER", OPT_BOOL, fork_server), .fallback = "yes",
     .help = "Start a fresh Python for every module in place of a fork of a warm one"},
    {ROW("drain-timeout", "DRAIN_TIMEOUT", OPT_DURATION, drain_timeout_ms), .max = DAY,
     .fallback = "30s", .help = "Time that running modules get to finish on SIGTERM"},

    {ROW("allow-unsandboxed", "ALLOW_UNSANDBOXED", OPT_BOOL, allow_unsandboxed),
     .section = "Isolation",
     .help = "Run tests without a sandbox where none can be made; only for code you trust"},
    {ROW("require-isolation", "REQUIRE_ISOLATION", OPT_CHOICE, require_isolation),
     .choices = "none B A", .fallback = "none", .metavar = "TIER",
     .help = "Refuse to start below this tier"},
    {ROW("uid-base", "UID_BASE", OPT_INT, uid_base), .min = 1000, .max = 2000000000,
     .fallback = "700000", .help = "First of the user ids that tests run as when the node is root"},

    {ROW("module-timeout", "MODULE_TIMEOUT", OPT_DURATION, module_timeout_ms),
     .section = "Limits of a module", .min = 100, .max = DAY, .fallback = "300s",
     .help = "Wall time"},
    {ROW("module-cpu", "MODULE_CPU", OPT_DURATION, module_cpu_ms), .min = SECOND, .max = DAY,
     .fallback = "0", .zero_word = "no limit", .help = "CPU time"},
    {ROW("module-memory", "MODULE_MEMORY", OPT_BYTES, module_memory_bytes), .min = 32 * MIB,
     .max = TIB, .fallback = "1G", .help = "Memory of all its processes together"},
    {ROW("module-processes", "MODULE_PROCESSES", OPT_INT, module_processes), .min = 1, .max = 32768,
     .fallback = "64", .help = "Processes and threads"},
    {ROW("module-files", "MODULE_FILES", OPT_INT, module_files), .min = 32, .max = 65536,
     .fallback = "256", .help = "Open files of one process"},
    {ROW("module-file-size", "MODULE_FILE_SIZE", OPT_BYTES, module_file_size_bytes), .min = MIB,
     .max = TIB, .fallback = "64M", .help = "One file that it writes"},
    {ROW("module-disk", "MODULE_DISK", OPT_BYTES, module_disk_bytes), .min = MIB, .max = TIB,
     .fallback = "256M", .help = "All that it writes, copy of the project included"},
    {ROW("module-output", "MODULE_OUTPUT", OPT_BYTES, module_output_bytes), .min = 64 * KIB,
     .max = GIB, .fallback = "64M",
     .help = "Output after which it is stopped; the first and last 32K are kept"},

    {ROW("upload-max", "UPLOAD_MAX", OPT_BYTES, upload_max_bytes), .section = "Limits of an upload",
     .min = 64 * KIB, .max = TIB, .fallback = "512M", .help = "Body of one request"},
    {ROW("archive-entries", "ARCHIVE_ENTRIES", OPT_INT, archive_entries), .min = 1, .max = 5000000,
     .fallback = "200000", .help = "Files and folders in one zip"},
    {ROW("archive-bytes", "ARCHIVE_BYTES", OPT_BYTES, archive_bytes), .min = MIB, .max = TIB,
     .fallback = "4G", .help = "Contents of one zip, unpacked"},
    {ROW("archive-file-size", "ARCHIVE_FILE_SIZE", OPT_BYTES, archive_file_size_bytes), .min = MIB,
     .max = TIB, .fallback = "64M", .help = "One file of a zip, unpacked"},
    {ROW("archive-depth", "ARCHIVE_DEPTH", OPT_INT, archive_depth), .min = 1, .max = 512,
     .fallback = "32", .help = "Parts of a path in a zip"},

    {ROW("git-host", "GIT_HOST", OPT_LIST, git_host), .section = "Repositories",
     .metavar = "NAME[:PORT]",
     .help = "Host that repositories are fetched from, beside github.com and gitlab.com"},
    {ROW("git-allow-address", "GIT_ALLOW_ADDRESS", OPT_LIST, git_allow_address), .metavar = "CIDR",
     .help = "Addresses that such a host may have though they are not public"},
    {ROW("status-api", "STATUS_API", OPT_LIST, status_api), .metavar = "HOST=URL",
     .help =
         "Where commit statuses of a host's repositories are told; usually https://HOST/api/v3, "
         "and known for github.com and gitlab.com"},
    {ROW("public-url", "PUBLIC_URL", OPT_STRING, public_url), .metavar = "URL",
     .help = "Where people reach this mesh: for links in commit statuses"},
    {ROW("git-timeout", "GIT_TIMEOUT", OPT_DURATION, git_timeout_ms), .min = SECOND, .max = HOUR,
     .fallback = "120s", .help = "Time to fetch one repository, from when its turn has come"},
    {ROW("git-bytes", "GIT_BYTES", OPT_BYTES, git_bytes), .min = 64 * KIB, .max = TIB,
     .fallback = "512M", .help = "Bytes that one repository may send"},
    {ROW("git-at-once", "GIT_AT_ONCE", OPT_INT, git_at_once), .min = 1, .max = 64, .fallback = "4",
     .help = "Repositories that are fetched at once"},

    {ROW("index-host", "INDEX_HOST", OPT_LIST, index_host), .section = "Environments",
     .metavar = "HOST[:PORT]",
     .help = "Host that installers may reach beside those of the index, such as one that its files "
             "lie on"},
    {ROW("env-timeout", "ENV_TIMEOUT", OPT_DURATION, env_timeout_ms), .min = SECOND, .max = DAY,
     .fallback = "600s", .help = "Time to install one set of requirements"},
    {ROW("envs-max-bytes", "ENVS_MAX_BYTES", OPT_BYTES, envs_max_bytes), .min = 64 * MIB,
     .max = 1024 * TIB, .fallback = "20G", .zero_word = "no limit",
     .help = "Disk for installed environments; beyond it the least recently used goes"},

    {ROW("log-level", "LOG_LEVEL", OPT_CHOICE, log_level), .section = "Log",
     .choices = "debug info warn error", .fallback = "info", .help = "Least level that is logged"},
    {ROW("log-format", "LOG_FORMAT", OPT_CHOICE, log_format), .choices = "auto text json",
     .fallback = "auto", .help = "Form of log lines; auto is text on a terminal, JSON elsewhere"},
};

const struct opt_table node_option_table = {
    .program = "testmesh node",
    .usage = "[options]",
    .about = "Runs a node: takes projects over HTTP, runs their tests in sandboxes, and gives "
             "marks. Every option can also be set in the environment or in a configuration file.",
    .config_flag = "config",
    .rows = rows,
    .row_count = countof(rows),
};

/* The XDG base directory specification's place for state; root's is the system's. */
char *node_options_data_dir(void)
{
    if (geteuid() == 0)
        return mem_strdup("/var/lib/testmesh");
    const char *state = getenv("XDG_STATE_HOME");
    if (state != NULL && state[0] == '/')
        return mem_printf("%s/testmesh", state);
    const char *home = getenv("HOME");
    return home != NULL && home[0] == '/' ? mem_printf("%s/.local/state/testmesh", home) : NULL;
}

/* Checks what no single row can say. */
static int check(const struct node_options *self, struct err *err)
{
    if (self->data == NULL)
        return err_set(err, ERR_INVALID, "--data: name a folder (there is no HOME to put one in)");
    if (self->allow_unsandboxed && self->require_isolation != OPTIONS_ISOLATION_NONE)
        return err_set(err, ERR_INVALID,
                       "--allow-unsandboxed contradicts --require-isolation: give one of them");
    if (self->module_file_size_bytes > self->module_disk_bytes)
        return err_set(err, ERR_INVALID, "--module-file-size: must not exceed --module-disk");
    for (size_t i = 0; i < self->listen.count; i++) {
        const char *colon = strrchr(self->listen.items[i], ':');
        int64_t port;
        if (colon == NULL || !opt_read_int(colon + 1, &port) || port < 0 || port > 65535)
            return err_set(err, ERR_INVALID, "--listen %.100s: must be HOST:PORT",
                           self->listen.items[i]);
    }
    return 0;
}

int node_options_load(struct node_options *self, int argc, char *const *argv, bool *help,
                      struct err *err)
{
    struct opt_parsed parsed = {0};
    int rc = opt_load(&node_option_table, argc, argv, self, &parsed, err);
    if (rc != 0)
        return rc;
    *help = parsed.help;
    if (!parsed.help && parsed.operands.count > 0)
        rc = err_set(err, ERR_INVALID, "%.100s: the node takes options only",
                     parsed.operands.items[0]);
    opt_parsed_fini(&parsed);
    if (rc == 0 && !*help) {
        if (self->data == NULL)
            self->data = node_options_data_dir();
        rc = check(self, err);
    }
    if (rc != 0)
        node_options_fini(self);
    return rc;
}

void node_options_fini(struct node_options *self) { opt_fini(&node_option_table, self); }
