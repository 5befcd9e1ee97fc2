#include "proto/base/mem.h"
#include "runner/jail/confine_spec.h"
#include "runner/jail/jail_inner.h"

#include "proto/base/file.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whatever is in a jail goes first when memory runs out, and never the node. */
#define OOM_SCORE 1000

/* Returns an owned descriptor that holds the filter, at its beginning; -1. */
static int open_filter(struct err *err)
{
    owned_buf filter = BUF_INIT;
    if (filter_compile(&filter, err) != 0)
        return -1;
    owned_fd int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0) {
        err_set(err, ERR_IO, "memfd: %m");
        return -1;
    }
    if (file_write_all(fd, filter.data, filter.len, err) != 0)
        return -1;
    lseek(fd, 0, SEEK_SET);
    return steal_fd(&fd);
}

static int free_target(const struct child_spec *child)
{
    int highest = 2;
    for (size_t i = 0; i < child->fd_count; i++)
        if (child->fds[i].to > highest)
            highest = child->fds[i].to;
    return highest + 1;
}

struct child *jail_start(struct event_base *base, const struct jail_spec *spec,
                         const struct child_spec *child, child_done_fn *done, void *arg,
                         struct err *err)
{
    struct child_spec inner = *child;
    /* A template filters each job instead: it must mount, itself. */
    owned_fd int filter = spec->is_template ? -1 : open_filter(err);
    if (!spec->is_template && filter < 0)
        return NULL;
    owned_mem struct child_fd *fds = mem_new_array(child->fd_count + 2, sizeof *fds);
    if (child->fd_count)
        memcpy(fds, child->fds, child->fd_count * sizeof *fds);
    struct jail_targets targets = {-1, -1};
    int next = free_target(child);
    if (filter >= 0) {
        targets.filter = next++;
        fds[inner.fd_count++] = (struct child_fd){.from = filter, .to = targets.filter};
    }
    if (spec->gate_fd > 0) {
        targets.gate = next;
        fds[inner.fd_count++] = (struct child_fd){.from = spec->gate_fd, .to = targets.gate};
    }
    struct jail_command command;
    if (jail_command_make(spec, &targets, &command, err) != 0)
        return NULL;
    inner.fds = fds;
    inner.argv = (const char *const *)command.argv;
    inner.envp = (const char *const *)command.envp;
    inner.cwd = "/";
    inner.oom_score_adj = OOM_SCORE;
    struct child *started = child_start(base, &inner, done, arg, err);
    jail_command_fini(&command);
    return started;
}
