/* confine_spec: builds, in the node, the bytes that confine.h acts on. */
#ifndef RUNNER_JAIL_CONFINE_SPEC_H
#define RUNNER_JAIL_CONFINE_SPEC_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/jail/confine.h"

/* The defaults of a job: 64 processes, 256 descriptors, one file 64 MiB, 256 MiB and 65,536 inodes
 * on disk; no memory and CPU limit, which the caller knows. */
struct confine_spec confine_spec_default(void);

/* Appends the bytes to `out`: `wanted` (its version, size and filter_count are set here) and the
 * seccomp filter. Errors: ERR_INVALID for a project path that is not "/work/<name>" or a host name
 * that is none, ERR_INTERNAL when the filter cannot be compiled. */
int confine_spec_build(const struct confine_spec *wanted, struct buf *out,
                       struct err *err) ERR_CHECKED;

/* Checks that bytes are a whole spec of our version: what confine_enter() does first. Returns NULL
 * or what is wrong, static. */
const char *confine_spec_check(const void *spec, size_t len);

/* Appends the payload's seccomp filter, `struct sock_filter`s, to `out`. Denied with EPERM: ptrace
 * and its relatives, namespaces, mounts, keys, io_uring, bpf, perf, modules, clocks, AF_VSOCK and
 * other odd sockets; clone3 is ENOSYS, so that libc falls back to clone, whose flags a filter can
 * read. */
int filter_compile(struct buf *out, struct err *err) ERR_CHECKED;

#endif
