/* The step between the node and bubblewrap: it stages as root, and watches as anyone.
 *
 * Sources may lie below folders that the slot's uid cannot enter. They are opened while we are
 * root, in a mount namespace of our own, and bound below a tmpfs of mode 0755, which then hides
 * /tmp: so nothing is opened by name after that. What a source is itself allowed to be read by is
 * not changed. */
#include "proto/base/mem.h"
#include "runner/jail/confine_spec.h"
#include "runner/jail/jail_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int complain(const char *what, const char *subject)
{
    fprintf(stderr, "jail: %s%s%s: %s\n", what, subject ? " " : "", subject ? subject : "",
            strerror(errno));
    return JAIL_HELPER_FAILED;
}

static int open_sources(char **sources, size_t count, int *fds)
{
    for (size_t i = 0; i < count; i++) {
        fds[i] = open(sources[i], O_PATH | O_CLOEXEC);
        if (fds[i] < 0)
            return complain("open", sources[i]);
    }
    return 0;
}

/* Makes the place that a source is bound at: of its kind. */
static int make_place(int fd, const char *place)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return mkdir(place, 0755);
    owned_fd int file = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return file < 0 ? -1 : 0;
}

static int stage(char **sources, size_t count)
{
    owned_mem int *fds = mem_new_array(count, sizeof *fds);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return complain("take a mount namespace", NULL);
    int failed = open_sources(sources, count, fds);
    if (failed)
        return failed;
    /* The names of descriptors are /proc's: it is opened before /tmp is hidden, like the rest. */
    if (mount("tmpfs", JAIL_STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0)
        return complain("mount on", JAIL_STAGE);
    for (size_t i = 0; i < count; i++) {
        char from[64];
        char place[64];
        snprintf(from, sizeof from, "/proc/self/fd/%d", fds[i]);
        snprintf(place, sizeof place, JAIL_STAGE "/%zu", i);
        if (make_place(fds[i], place) != 0 || mount(from, place, NULL, MS_BIND | MS_REC, NULL) != 0)
            return complain("bind", sources[i]);
        close(fds[i]);
    }
    return 0;
}

static int drop_to(uid_t uid)
{
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
        return complain("drop to the slot's user", NULL);
    return 0;
}

static void on_node_gone(int signal)
{
    (void)signal;
    kill(0, SIGKILL);
}

/* From here on the node's death is a signal that we act on, where it was one that killed us. Whom
 * to watch we are told: exec takes the tie to a parent away where it changes credentials
 * (capabilities of our file, a transition of SELinux), and a node that died in between is no parent
 * to be found. */
static int watch_node(pid_t node)
{
    struct sigaction action = {.sa_handler = on_node_gone};
    if (sigaction(SIGRTMIN, &action, NULL) != 0 || prctl(PR_SET_PDEATHSIG, SIGRTMIN) != 0)
        return complain("watch the node", NULL);
    if (getppid() != node)
        kill(0, SIGKILL);
    return 0;
}

/* bubblewrap ties itself to us, but only later; its own tie is lost if it is set-uid. Changing
 * users loses it too, hence the order. */
static int __attribute__((noreturn)) become_bwrap(char **bwrap, uid_t uid, pid_t helper)
{
    if (uid != 0 && drop_to(uid) != 0)
        _exit(JAIL_HELPER_FAILED);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != helper)
        _exit(JAIL_HELPER_FAILED);
    execv(bwrap[0], bwrap);
    _exit(complain("execute", bwrap[0]));
}

/* Ends as bubblewrap has ended, so that our parent need not know of us. */
static int end_like(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    signal(WTERMSIG(status), SIG_DFL);
    kill(getpid(), WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

static int run_bwrap(char **bwrap, uid_t uid)
{
    pid_t helper = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return complain("fork", NULL);
    if (pid == 0)
        become_bwrap(bwrap, uid, helper);
    /* What was passed belongs to the payload: no pipe stays open because of us. */
    confine_close_others(NULL, 0);
    close(0);
    close(1);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return JAIL_HELPER_FAILED;
    return end_like(status);
}

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out <= max;
}

/* For all that comes below it; its parent may not have been allowed to. */
static void offer_to_oom_killer(void)
{
    static const char score[] = "1000"; /* as jail_start.c has it */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, score, sizeof score - 1);
    mem_close_at(&fd);
}

int helper_jail_main(int argc, char **argv)
{
    unsigned long uid;
    unsigned long node;
    unsigned long count;
    errno = EINVAL;
    if (argc < 7 || !parse_number(argv[3], UINT32_MAX - 1, &uid) ||
        !parse_number(argv[4], INT32_MAX, &node) ||
        !parse_number(argv[5], (unsigned long)argc - 7, &count))
        return complain("bad command line", NULL);
    if ((uid == 0) != (geteuid() != 0)) /* a payload of the host's uid 0 is what must never be */
        return complain("bad user", NULL);
    char **sources = argv + 6;
    char **bwrap = sources + count;
    umask(022);
    offer_to_oom_killer();
    int failed = watch_node((pid_t)node);
    if (!failed && uid != 0)
        failed = stage(sources, count);
    return failed ? failed : run_bwrap(bwrap, (uid_t)uid);
}
