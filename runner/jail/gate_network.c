#include "proto/base/mem.h"
#include "runner/jail/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int write_file(const char *path, const char *text)
{
    owned_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t len = (ssize_t)strlen(text);
    return fd >= 0 && write(fd, text, (size_t)len) == len ? 0 : -1;
}

/* Who it is outside it stays inside, so that files are whose they were. */
static int map_self(uid_t uid, gid_t gid)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%u %u 1", uid, uid);
    if (write_file("/proc/self/uid_map", text))
        return -1;
    if (write_file("/proc/self/setgroups", "deny") && errno != ENOENT)
        return -1;
    (void)snprintf(text, sizeof text, "%u %u 1", gid, gid);
    return write_file("/proc/self/gid_map", text);
}

static int raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    owned_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request))
        return -1;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    return (int)syscall(SYS_capset, &header, none);
}

static int take(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    /* Root of a container may be no more than a user. */
    if (uid == 0 && unshare(CLONE_NEWNET) == 0)
        return raise_loopback();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) || map_self(uid, gid) || raise_loopback())
        return -1;
    return drop_capabilities();
}

/* A kernel may let one step and not the next (some take the rights of a new user namespace away):
 * a child tries first, so that a failure leaves this process where it was. */
int gate_take_network(void)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0)
        _exit(take() ? (errno > 0 && errno < 256 ? errno : EPERM) : 0);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
    return errno ? -1 : take();
}
