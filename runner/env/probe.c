#include "runner/env/probe.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define ANSWER_MAX 8192
#define WAIT_MS    10000

static void run(const struct probe *spec, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0)
        _exit(126);
    uid_t uid = spec->uid;
    if (uid != (uid_t)-1 && geteuid() == 0 && uid != 0 &&
        (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0))
        _exit(126);
    if (chdir("/") == 0)
        execve(spec->argv[0], (char *const *)spec->argv, (char *const *)spec->envp);
    _exit(127);
}

static int collect(int from, const char *program, struct buf *out, struct err *err)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (out->len < ANSWER_MAX) {
        uint64_t now = clock_mono_ms();
        struct pollfd wait = {.fd = from, .events = POLLIN};
        int ready = now < until ? poll(&wait, 1, (int)(until - now)) : 0;
        if (ready == 0)
            return err_set(err, ERR_TIMEOUT, "%s does not say what it is", program);
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t got = read(from, buf_reserve(out, 1024), 1024);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        buf_added(out, (size_t)got);
    }
    return 0;
}

int probe_run(const struct probe *spec, struct buf *out, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "pipe: %m");
    pid_t pid = fork();
    if (pid == 0)
        run(spec, ends[1]);
    close(ends[1]);
    owned_fd int from = ends[0];
    if (pid < 0)
        return err_set(err, ERR_IO, "fork: %m");
    int rc = collect(from, spec->argv[0], out, err);
    if (rc != 0)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = err_set(err, ERR_UNPROCESSABLE, "%s cannot be run%s", spec->argv[0],
                     spec->uid != (uid_t)-1 ? " by the user that jobs have" : "");
    return rc;
}
