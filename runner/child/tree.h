/* tree: measures a process and everything below it through /proc. Costs a walk of /proc; meant for
 * once every 100 ms, not for a loop. */
#ifndef RUNNER_CHILD_TREE_H
#define RUNNER_CHILD_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tree_usage {
    uint64_t rss_bytes; /* summed; pages that are shared count in each process */
    uint64_t cpu_ms;    /* user and system, of live processes and of children that they reaped */
    size_t process_count;
    size_t thread_count; /* a process has one at least */
};

/* Measures `root` and its descendants at this moment. Returns how many live processes there are;
 * 0 when `root` is gone. */
size_t tree_measure(pid_t root, struct tree_usage *out);

/* As tree_measure() for several roots with one walk; `out` has an item a root. A root below another
 * one is counted in its own item only. */
void tree_measure_many(const pid_t *roots, size_t count, struct tree_usage *out);

/* Returns the bytes of memory that `root` and its descendants hold, pages that several share
 * divided among them; 0 when that cannot be read. Costs a walk of their page tables: for when the
 * plain sum is over a limit. */
uint64_t tree_proportional_bytes(pid_t root);

/* Returns the pid, as seen here, of the process that a pidfd stands for (it may come from another
 * pid namespace through a socket), or -1 when it is gone. */
pid_t tree_pid_of(int pidfd);

#endif
