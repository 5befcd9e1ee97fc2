/* The child shares our memory until it executes (vfork), so that starting one costs the same from a
 * large node as from a small one. What it runs before that, child_main() and below, may therefore
 * neither allocate nor lock nor change anything that is not its own; all that needs memory is
 * prepared by the parent. Signals are blocked around it: a handler of ours must not run in it.
 *
 * A failure before or of exec reaches the parent through a pipe that exec closes: the name of the
 * step is a number in a table, beside errno. */
#include "runner/child/spawn.h"

#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum step {
    STEP_SESSION,
    STEP_PARENT,
    STEP_DESCRIPTORS,
    STEP_FOLDER,
    STEP_CGROUP,
    STEP_OOM,
    STEP_NICE,
    STEP_LIMITS,
    STEP_EXEC,
};

static const char *const step_names[] = {
    [STEP_SESSION] = "new session",
    [STEP_PARENT] = "tie to the parent",
    [STEP_DESCRIPTORS] = "descriptors",
    [STEP_FOLDER] = "enter the working folder",
    [STEP_CGROUP] = "join the cgroup",
    [STEP_OOM] = "set oom_score_adj",
    [STEP_NICE] = "set the priority",
    [STEP_LIMITS] = "set a limit",
    [STEP_EXEC] = "execute",
};

struct failure {
    int step;
    int code;
};

/* Everything the child needs, made before it exists. */
struct plan {
    const struct child_spec *spec;
    struct spawn_streams streams;
    int report_fd;
    int first_free; /* above every target */
    int *parked;    /* room for a descriptor a fds item */
    pid_t parent;
    char oom[16];
};

static int set_limit(int what, uint64_t soft, uint64_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) == 0 && now.rlim_max < hard) {
        limit.rlim_max = now.rlim_max; /* only root may raise it; a lower one is as good */
        if (limit.rlim_cur > now.rlim_max)
            limit.rlim_cur = now.rlim_max;
    }
    return setrlimit((__rlimit_resource_t)what, &limit);
}

static int set_limits(const struct child_limits *limits)
{
    uint64_t cpu_seconds = (limits->cpu_ms + 999) / 1000;
    if (set_limit(RLIMIT_CORE, 0, 0) != 0)
        return -1;
    if (cpu_seconds && set_limit(RLIMIT_CPU, cpu_seconds + 1, cpu_seconds + 2) != 0)
        return -1;
    if (limits->file_bytes && set_limit(RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes) != 0)
        return -1;
    if (limits->processes && set_limit(RLIMIT_NPROC, limits->processes, limits->processes) != 0)
        return -1;
    if (limits->address_bytes &&
        set_limit(RLIMIT_AS, limits->address_bytes, limits->address_bytes) != 0)
        return -1;
    if (limits->descriptors && set_limit(RLIMIT_NOFILE, limits->descriptors, limits->descriptors))
        return -1;
    return 0;
}

static int place(int from, int to)
{
    /* dup2() onto itself would leave close-on-exec set; `from` is parked above every target. */
    return dup2(from, to) == to ? 0 : -1;
}

static int set_descriptors(const struct plan *plan)
{
    const struct child_spec *spec = plan->spec;
    int in = fcntl(plan->streams.in, F_DUPFD_CLOEXEC, plan->first_free);
    int out = fcntl(plan->streams.out, F_DUPFD_CLOEXEC, plan->first_free);
    int err = fcntl(plan->streams.err, F_DUPFD_CLOEXEC, plan->first_free);
    if (in < 0 || out < 0 || err < 0)
        return -1;
    for (size_t i = 0; i < spec->fd_count; i++) {
        plan->parked[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, plan->first_free);
        if (plan->parked[i] < 0)
            return -1;
    }
    /* Ours are close-on-exec from birth; this is for what a library opened. */
    (void)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    if (place(in, 0) != 0 || place(out, 1) != 0 || place(err, 2) != 0)
        return -1;
    for (size_t i = 0; i < spec->fd_count; i++)
        if (place(plan->parked[i], spec->fds[i].to) != 0)
            return -1;
    return 0;
}

static int write_text(int fd, const char *text)
{
    ssize_t len = (ssize_t)strlen(text);
    return write(fd, text, (size_t)len) == len ? 0 : -1;
}

/* Without /proc the kernel decides by size alone. Of a parent that cannot be dumped, /proc is
 * root's until the exec: the program does it for itself then (the jail's helper). */
static int set_oom(const struct plan *plan)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -1;
    int failed = write_text(fd, plan->oom);
    close(fd);
    return failed;
}

static int tie_to_parent(const struct plan *plan)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return -1;
    if (getppid() == plan->parent)
        return 0;
    errno = ESRCH; /* it died in between, and no signal will come */
    return -1;
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++)
        (void)sigaction(signal, &action, NULL); /* KILL, STOP and libc's own refuse */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static enum step prepare(const struct plan *plan)
{
    const struct child_spec *spec = plan->spec;
    default_signals();
    if (setsid() < 0)
        return STEP_SESSION;
    if (tie_to_parent(plan) != 0)
        return STEP_PARENT;
    if (spec->cgroup && spec->cgroup->procs_fd >= 0 && write_text(spec->cgroup->procs_fd, "0") != 0)
        return STEP_CGROUP;
    if (set_descriptors(plan) != 0)
        return STEP_DESCRIPTORS;
    if (spec->oom_score_adj != 0 && set_oom(plan) != 0)
        return STEP_OOM;
    /* Ours may be better than an ordinary process's; a child's is not. */
    if (getpriority(PRIO_PROCESS, 0) < spec->nice && setpriority(PRIO_PROCESS, 0, spec->nice) != 0)
        return STEP_NICE;
    if (chdir(spec->cwd ? spec->cwd : "/") != 0)
        return STEP_FOLDER;
    return set_limits(&spec->limits) != 0 ? STEP_LIMITS : STEP_EXEC;
}

static void __attribute__((noreturn)) child_main(const struct plan *plan)
{
    static char *const no_env[] = {NULL};
    const struct child_spec *spec = plan->spec;
    struct failure failure = {.step = (int)prepare(plan)};
    if (failure.step == STEP_EXEC)
        execve(spec->argv[0], (char *const *)(uintptr_t)spec->argv,
               spec->envp ? (char *const *)(uintptr_t)spec->envp : no_env);
    failure.code = errno;
    (void)!write(plan->report_fd, &failure, sizeof failure);
    _exit(127);
}

/* Alone in its function: nothing of its frame may be kept in a register over vfork(). */
static __attribute__((noinline)) pid_t start(const struct plan *plan)
{
    pid_t pid = vfork();
    if (pid == 0)
        child_main(plan);
    return pid;
}

static pid_t start_without_signals(const struct plan *plan)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = start(plan);
    int code = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return pid;
}

static int first_free(const struct child_spec *spec)
{
    int highest = 2;
    for (size_t i = 0; i < spec->fd_count; i++)
        if (spec->fds[i].to > highest)
            highest = spec->fds[i].to;
    return highest + 1;
}

static int read_failure(int fd, const char *program, struct err *err)
{
    struct failure failure;
    ssize_t got;
    do {
        got = read(fd, &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        return 0;
    if (got != (ssize_t)sizeof failure)
        return err_set(err, ERR_IO, "start %s: no word from the child: %m", program);
    errno = failure.code;
    enum err_code code =
        failure.step == STEP_EXEC && failure.code == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    return err_set(err, code, "start %s: %s: %m", program, step_names[failure.step]);
}

int spawn_start(const struct child_spec *spec, const struct spawn_streams *streams,
                struct spawned *out, struct err *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "pipe: %m");
    owned_fd int report_in = report[0];
    owned_fd int report_out = report[1];
    owned_mem int *parked = mem_new_array(spec->fd_count + 1, sizeof *parked);
    struct plan plan = {.spec = spec,
                        .streams = *streams,
                        .first_free = first_free(spec),
                        .parked = parked,
                        .parent = getpid()};
    /* The report must not sit on a number that the child's descriptors go to. */
    plan.report_fd = fcntl(report_out, F_DUPFD_CLOEXEC, plan.first_free);
    owned_fd int report_high = plan.report_fd;
    if (report_high < 0)
        return err_set(err, ERR_IO, "pipe: %m");
    snprintf(plan.oom, sizeof plan.oom, "%d", spec->oom_score_adj);
    mem_close_at(&report_out);

    pid_t pid = start_without_signals(&plan);
    if (pid < 0)
        return err_set(err, ERR_IO, "start %s: %m", spec->argv[0]);
    mem_close_at(&report_high);
    int failed = read_failure(report_in, spec->argv[0], err);
    int pidfd = failed ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (!failed && pidfd < 0) {
        failed = err_set(err, ERR_IO, "pidfd_open: %m");
        kill(pid, SIGKILL);
    }
    if (failed) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        return failed;
    }
    *out = (struct spawned){.pid = pid, .pidfd = pidfd};
    return 0;
}
