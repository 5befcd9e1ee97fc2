/* The step between the node as root and bubblewrap as nobody.
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
    pid_t parent = getppid();
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
        return complain("drop to the slot's user", NULL);
    /* A change of user clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        return complain("tie to the parent", NULL);
    return 0;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out <= max;
}

int helper_jail_main(int argc, char **argv)
{
    unsigned long uid;
    unsigned long count;
    errno = EINVAL;
    if (argc < 6 || !parse_number(argv[3], UINT32_MAX - 1, &uid) || uid == 0 ||
        !parse_number(argv[4], (unsigned long)argc - 6, &count))
        return complain("bad command line", NULL);
    char **sources = argv + 5;
    char **bwrap = sources + count;
    umask(022);
    int failed = stage(sources, count);
    if (!failed)
        failed = drop_to((uid_t)uid);
    if (failed)
        return failed;
    execv(bwrap[0], bwrap);
    return complain("execute", bwrap[0]);
}
