/* cgroup: one control group for each slot, where the machine lets us make them, for memory and,
 * where it has that too, for the number of processes. In version 1 these are two folders of two
 * hierarchies, each with a list to join; in version 2 one. A group is made once and reused;
 * counters are read as differences between begin and end of a use.
 *
 * A kill by the kernel for memory is told from others by the group's counter (cgroup_oom_kills()
 * rose) and never by an exit code. */
#ifndef RUNNER_CHILD_CGROUP_H
#define RUNNER_CHILD_CGROUP_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum cgroup_kind { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

/* Where groups can be made. */
struct cgroup_root {
    enum cgroup_kind kind;
    char memory[384]; /* the folder that ours are made in */
    char pids[384];   /* the same for processes; empty where they cannot be counted */
    char why[160];    /* when there is none: the reason, for `doctor` */
};

/* Finds by trying what can be used. Never fails: kind is CGROUP_NONE and `why` says why. Groups are
 * made as <where this process is>/<name>; `name` is one path component, "testmesh-<pid>". Removes
 * the empty groups of that name that dead processes left. */
void cgroup_find(struct cgroup_root *out, const char *name);

/* Removes the folders that cgroup_find() made and the empty groups in it. */
void cgroup_root_remove(const struct cgroup_root *root);

struct cgroup {
    enum cgroup_kind kind;
    char path[448];
    char pids[448]; /* where processes are counted; may be `path`; empty: nowhere */
    int procs_fd;   /* open for writing: "0" moves the writer in. Owned. -1 when kind is NONE */
    int pids_fd;    /* the same for `pids` where that is another folder; else -1 */
    uint64_t ooms;  /* the counters when the use began */
    uint64_t refused;
};

/* Makes (or takes over) the group of one slot. Errors: ERR_UNAVAILABLE when root's kind is NONE,
 * ERR_IO. */
int cgroup_open(struct cgroup *self, const struct cgroup_root *root, unsigned slot,
                struct err *err) ERR_CHECKED;

/* Removes the group when it is empty, and closes what is open. */
void cgroup_close(struct cgroup *self);

/* Begins a use: memory limit in bytes (0: none) including swap, peak and counters taken anew.
 * Errors: ERR_BUSY while a process is left in it, ERR_IO. */
int cgroup_begin(struct cgroup *self, uint64_t memory_bytes, struct err *err) ERR_CHECKED;

/* From now on the group has `processes` at most, threads among them; 0: no limit. Returns false
 * where that cannot be counted. */
bool cgroup_limit_processes(struct cgroup *self, uint64_t processes);

/* Returns how often a new process was refused for that limit since cgroup_limit_processes(). */
uint64_t cgroup_forks_refused(const struct cgroup *self);

/* Returns how often the kernel killed for memory since cgroup_begin(). */
uint64_t cgroup_oom_kills(const struct cgroup *self);

/* Return bytes, 0 when unknown. */
uint64_t cgroup_memory_now(const struct cgroup *self);
uint64_t cgroup_memory_peak(const struct cgroup *self);

/* True when no process is in it. */
bool cgroup_is_empty(const struct cgroup *self);

/* Sends SIGKILL to every process in it. */
void cgroup_kill(const struct cgroup *self);

#endif
