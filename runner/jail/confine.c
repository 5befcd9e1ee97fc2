/* What runs in init and in the server; the payload's part is in confine_payload.c.
 *
 * The three writable places of a job are folders of one tmpfs, so that one size and one inode limit
 * hold for all that a job leaves on disk. */
#include "runner/jail/confine_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int confine_fail(const struct confine_error *error, const char *what, const char *path)
{
    if (error->text && error->size)
        snprintf(error->text, error->size, "%s%s%s: %s", what, path ? " " : "", path ? path : "",
                 strerror(errno));
    return -1;
}

const char *confine_check(const void *bytes, size_t len)
{
    const struct confine_spec *spec = bytes;
    if (len < sizeof *spec || len > CONFINE_SPEC_MAX || spec->size != len)
        return "the sandbox's description has a wrong size";
    if (spec->version != CONFINE_VERSION)
        return "the sandbox's description has another version";
    if (len - sizeof *spec != (size_t)spec->filter_count * 8 || spec->filter_count == 0)
        return "the sandbox's filter has a wrong size";
    if (!memchr(spec->project, 0, sizeof spec->project) ||
        !memchr(spec->hostname, 0, sizeof spec->hostname))
        return "the sandbox's description has a text without end";
    if (strncmp(spec->project, "/work/", 6) != 0 || !spec->project[6] ||
        strchr(spec->project + 6, '/') || strcmp(spec->project + 6, ".") == 0 ||
        strcmp(spec->project + 6, "..") == 0)
        return "the project's folder is not /work/<name>";
    return NULL;
}

/* A pid namespace can be entered for children only, and the way back needs a handle on our own. */
static int own_pid_namespace = -1;

CONFINE_EXPORT int confine_before_fork(void)
{
    if (own_pid_namespace < 0)
        own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own_pid_namespace < 0) /* no /proc: newer kernels take a pidfd as well */
        own_pid_namespace = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (own_pid_namespace < 0 || confine_net_prepare() != 0)
        return -1;
    return unshare(CLONE_NEWPID);
}

CONFINE_EXPORT int confine_after_fork(void)
{
    confine_net_forked();
    return setns(own_pid_namespace, CLONE_NEWPID);
}

static void put_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, text, strlen(text));
    close(fd);
}

/* What init was told: the payload's limits. */
static struct confine_spec entered;

static int join_cgroup(int fd, const struct confine_error *error)
{
    if (fd < 0)
        return 0;
    int failed = write(fd, "0", 1) == 1 ? 0 : confine_fail(error, "join the cgroup", NULL);
    close(fd);
    return failed;
}

static int take_namespaces(const struct confine_spec *spec, const struct confine_error *error)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
        return confine_fail(error, "take namespaces", NULL);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return confine_fail(error, "make the mounts private", NULL);
    if (spec->hostname[0] && sethostname(spec->hostname, strlen(spec->hostname)) != 0)
        return confine_fail(error, "set the host name", NULL);
    if (!(spec->flags & CONFINE_KEEP_NET))
        return confine_net_enter(error);
    confine_net_forget();
    return 0;
}

static int mount_proc(const struct confine_error *error)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount("proc", "/proc", "proc", flags, NULL) == 0) {
        /* What is tuned there belongs to networks, which the next job may be given. */
        if (mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL) == 0 &&
            mount(NULL, "/proc/sys", NULL, flags | MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0)
            return 0;
        return confine_fail(error, "protect", "/proc/sys");
    }
    /* Refused where the machine's own is partly hidden. The template's must not be seen. */
    if (mount("tmpfs", "/proc", "tmpfs", flags | MS_RDONLY, "size=4k,mode=0555") == 0)
        return 0;
    return confine_fail(error, "mount /proc", NULL);
}

static int bind_fresh(const char *from, const char *to, mode_t mode,
                      const struct confine_error *error)
{
    if (mkdir(from, mode) != 0)
        return confine_fail(error, "make a folder for", to);
    if (mount(from, to, NULL, MS_BIND, NULL) != 0)
        return confine_fail(error, "mount", to);
    return 0;
}

static int mount_writable(const struct confine_spec *spec, const struct confine_error *error)
{
    char options[128] = "mode=0755";
    size_t len = strlen(options);
    if (spec->tmp_bytes)
        len += (size_t)snprintf(options + len, sizeof options - len, ",size=%llu",
                                (unsigned long long)spec->tmp_bytes);
    if (spec->tmp_inodes)
        snprintf(options + len, sizeof options - len, ",nr_inodes=%llu",
                 (unsigned long long)spec->tmp_inodes);
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        return confine_fail(error, "mount a tmpfs on", "/tmp");
    if (bind_fresh("/tmp/work", "/work", 0755, error) != 0 ||
        bind_fresh("/tmp/shm", "/dev/shm", 01777, error) != 0 ||
        bind_fresh("/tmp/tmp", "/tmp", 01777, error) != 0)
        return -1;
    if (mkdir(spec->project, 0755) != 0)
        return confine_fail(error, "make", spec->project);
    return 0;
}

static int copy_layers(const struct confine_spec *spec, const int *layers, size_t count,
                       const struct confine_error *error)
{
    int to = open(spec->project, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0)
        return confine_fail(error, "open", spec->project);
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (!failed)
            failed = confine_copy(layers[i], to, error);
        close(layers[i]);
    }
    close(to);
    return failed;
}

CONFINE_EXPORT int confine_enter(const void *bytes, size_t len, const int *layer_fds,
                                 size_t layer_count, int cgroup_procs_fd, char *text, size_t size)
{
    const struct confine_spec *spec = bytes;
    struct confine_error error = {.text = text, .size = size};
    const char *problem = confine_check(bytes, len);
    if (problem) {
        snprintf(text, size, "%s", problem);
        return -1;
    }
    memcpy(&entered, spec, sizeof entered);
    confine_limits_share();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    put_text("/proc/self/oom_score_adj", "1000");
    if (join_cgroup(cgroup_procs_fd, &error) != 0 || take_namespaces(spec, &error) != 0)
        return -1;
    mode_t mask = umask(0);
    int failed = mount_proc(&error) != 0 || mount_writable(spec, &error) != 0 ||
                 copy_layers(spec, layer_fds, layer_count, &error) != 0;
    umask(mask);
    if (failed)
        return -1;
    return chdir(spec->project) == 0 ? 0 : confine_fail(&error, "enter", spec->project);
}

static int close_from_to(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return 0;
    if (last > 65535)
        last = 65535; /* an old kernel: our own limit is far below */
    for (unsigned fd = first; fd <= last; fd++)
        close((int)fd);
    return 0;
}

CONFINE_EXPORT int confine_close_others(const int *keep, size_t count)
{
    unsigned first = 3;
    for (;;) {
        unsigned next = ~0U;
        for (size_t i = 0; i < count; i++)
            if (keep[i] >= (int)first && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next == ~0U)
            return close_from_to(first, ~0U);
        close_from_to(first, next - 1);
        first = next + 1;
    }
}

/* From inside, a signal reaches pid 1 only if it has a handler, and what the server had set is ours
 * by fork. */
static void drop_handlers(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++)
        (void)sigaction(signal, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Reaps what ends until the payload has; looks at the disk now and then. */
static void wait_for(pid_t payload, struct confine_end *end)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == payload) {
            end->wait_status = status;
            return;
        }
        if (pid < 0 && errno != EINTR)
            _exit(125); /* the payload was never ours: a bug of the caller */
        if (pid != 0)
            continue;
        unsigned wait_ms = confine_limits_look(end);
        struct timespec wait = {.tv_nsec = (long)wait_ms * 1000000};
        (void)sigtimedwait(&child, NULL, &wait);
    }
}

CONFINE_EXPORT void confine_init_reap(int payload_pid, int status_fd)
{
    struct confine_end end = {0};
    drop_handlers();
    prctl(PR_SET_DUMPABLE, 0);
    if (status_fd > 2) {
        confine_close_others(&status_fd, 1);
        close_from_to(0, 2);
    } else {
        close_from_to(0, ~0U);
    }
    wait_for(payload_pid, &end);
    int status = end.wait_status;
    if (status_fd <= 2)
        _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    confine_limits_end(&entered, &end);
    while (write(status_fd, &end, sizeof end) < 0 && errno == EINTR)
        continue;
    _exit(0);
}
