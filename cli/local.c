#include "cli/local.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int start(const struct local_run *spec, int out_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(pid, spec->argv[0], &actions, NULL, (char *const *)(uintptr_t)spec->argv,
                          environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Reads until the program has closed its output. */
static int collect(const struct local_run *spec, int fd, struct buf *out, struct err *err)
{
    uint64_t deadline_ms = clock_mono_ms() + spec->timeout_ms;
    size_t before = out->len;
    for (;;) {
        uint64_t now_ms = clock_mono_ms();
        if (now_ms >= deadline_ms)
            return err_set(err, ERR_TIMEOUT, "%s: does not end", spec->argv[0]);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, (int)(deadline_ms - now_ms)) <= 0)
            continue;
        ssize_t len = read(fd, buf_reserve(out, 4096), 4096);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return 0;
        buf_added(out, (size_t)len);
        if (out->len - before > spec->output_max)
            return err_set(err, ERR_TOO_LARGE, "%s: writes without end", spec->argv[0]);
    }
}

static int finish(const struct local_run *spec, pid_t pid, struct err *err)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(err, ERR_NOT_FOUND, "%s: cannot be started", spec->argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_UNPROCESSABLE, "%s: failed", spec->argv[0]);
    return 0;
}

int local_run(const struct local_run *spec, struct buf *out, struct err *err)
{
    owned_fd int read_fd = -1;
    owned_fd int write_fd = -1;
    int ends[2];
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "pipe: %m");
    read_fd = ends[0];
    write_fd = ends[1];
    int code = start(spec, write_fd, &pid);
    if (code != 0)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", spec->argv[0], strerror(code));
    close(steal_fd(&write_fd));
    int rc = collect(spec, read_fd, out, err);
    if (rc != 0)
        kill(pid, SIGKILL);
    int ended = finish(spec, pid, rc == 0 ? err : NULL);
    return rc != 0 ? rc : ended;
}
