/* options: what an operator can set on a node, as one table.
 *
 * A limit of 0 is explained by its row: "no limit" or "automatic". Sizes are bytes, times
 * milliseconds. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#include "proto/base/opt.h"

#include <stdbool.h>
#include <stdint.h>

enum options_isolation { OPTIONS_ISOLATION_NONE, OPTIONS_ISOLATION_B, OPTIONS_ISOLATION_A };
enum options_log_format { OPTIONS_LOG_AUTO, OPTIONS_LOG_TEXT, OPTIONS_LOG_JSON };

struct node_options {
    /* where it listens, and who may speak to it */
    struct opt_list listen; /* "host:port", at least one; port 0: any free one */
    char *advertise;        /* host:port told to others; NULL: the first listen address */
    struct opt_list host;   /* Host names that are answered besides addresses and localhost */
    struct opt_list join;   /* where other nodes may be */
    char *mesh;             /* address for the mesh alone; NULL: the first of `listen` */
    char *key_file;         /* NULL: loopback only */
    char *cluster;
    char *name; /* NULL: the host's */
    bool allow_single;
    bool open;        /* serve beyond loopback without tokens */
    char *token_file; /* NULL: none */
    int64_t connections_max;

    /* what it works with */
    char *config;           /* the configuration file; NULL: none */
    char *data;             /* never NULL after node_options_load() */
    int64_t slots;          /* 0: automatic */
    struct opt_list python; /* interpreters to offer; empty: python3 on PATH */
    char *uv;               /* NULL: found on PATH, or absent */
    bool fork_server;
    uint64_t drain_timeout_ms;

    /* isolation */
    bool allow_unsandboxed;
    int require_isolation; /* enum options_isolation */
    int64_t uid_base;      /* slot i runs as uid_base + i when the node is root */

    /* limits of one module */
    uint64_t module_timeout_ms;
    uint64_t module_cpu_ms; /* 0: only the wall clock counts */
    uint64_t module_memory_bytes;
    int64_t module_processes;
    int64_t module_files;
    uint64_t module_file_size_bytes;
    uint64_t module_disk_bytes;
    uint64_t module_output_bytes;

    /* limits of an upload */
    uint64_t upload_max_bytes;
    int64_t archive_entries;
    uint64_t archive_bytes;           /* unpacked, all entries together */
    uint64_t archive_file_size_bytes; /* unpacked, one entry */
    int64_t archive_depth;            /* folders in a path */

    /* repositories */
    struct opt_list git_host;          /* beside github.com and gitlab.com: NAME or NAME:PORT */
    struct opt_list git_allow_address; /* networks that are fine though not public */
    struct opt_list status_api;        /* where a host takes commit statuses */
    char *public_url;                  /* of the mesh; NULL: a node's own address */
    uint64_t git_timeout_ms;           /* for one repository, from its turn */
    uint64_t git_bytes;                /* received, one repository */
    int64_t git_at_once;

    /* environments */
    struct opt_list index_host; /* beside those of the index: HOST or HOST:PORT */
    uint64_t env_timeout_ms;
    uint64_t envs_max_bytes; /* 0: no limit */

    /* what it says */
    int log_level;  /* enum log_level */
    int log_format; /* enum options_log_format */
};

extern const struct opt_table node_option_table;

/* Where a node keeps its data unless it is told: for root the system's place for state, else the
 * user's. Returns owned; NULL where there is none (no HOME). */
char *node_options_data_dir(void);

/* Reads flags, environment, configuration file and defaults into `self` (zeroed), and finds the
 * data folder when none was named: $XDG_STATE_HOME/testmesh or ~/.local/state/testmesh, for root
 * /var/lib/testmesh. Operands are refused. `*help` tells that --help was asked for: then nothing
 * else is filled. Errors: ERR_INVALID, ERR_NOT_FOUND (a configuration file), ERR_IO. */
int node_options_load(struct node_options *self, int argc, char *const *argv, bool *help,
                      struct err *err) ERR_CHECKED;

void node_options_fini(struct node_options *self);

#endif
