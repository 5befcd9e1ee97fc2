#include "runner/jail/confine_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Kernels with fewer capabilities answer EINVAL to the rest. */
#define CAP_BITS 64

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = (ssize_t)strlen(text);
    int failed = write(fd, text, (size_t)len) == len ? 0 : -1;
    int code = errno;
    close(fd);
    errno = code;
    return failed;
}

/* A user namespace in which uid 0 of the template is 1000: no right that the template has holds for
 * it, and the kernel counts its processes apart. Without a /proc there is no way to name it, and it
 * is nobody; what it may do is the same. */
static int become_user(const struct confine_error *error)
{
    char map[32];
    snprintf(map, sizeof map, "%d 0 1", CONFINE_UID);
    if (unshare(CLONE_NEWUSER) != 0)
        return confine_fail(error, "take a user namespace", NULL);
    if (put("/proc/self/setgroups", "deny") != 0 && errno == ENOENT)
        return 0;
    if (put("/proc/self/uid_map", map) != 0 || put("/proc/self/gid_map", map) != 0)
        return confine_fail(error, "map the user", NULL);
    return 0;
}

static int set_limit(int what, uint64_t soft, uint64_t hard)
{
    if (soft == 0)
        return 0;
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) != 0)
        return -1;
    if (hard > now.rlim_max)
        hard = now.rlim_max;
    struct rlimit limit = {.rlim_cur = soft < hard ? soft : hard, .rlim_max = hard};
    return setrlimit((__rlimit_resource_t)what, &limit);
}

static int set_limits(const struct confine_spec *spec, const struct confine_error *error)
{
    uint64_t memory = spec->flags & CONFINE_RLIMIT_AS ? spec->memory_bytes : 0;
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 ||
        set_limit(RLIMIT_CPU, spec->cpu_seconds, spec->cpu_seconds + 1) != 0 ||
        set_limit(RLIMIT_FSIZE, spec->file_bytes, spec->file_bytes) != 0 ||
        set_limit(RLIMIT_NPROC, spec->processes, spec->processes) != 0 ||
        set_limit(RLIMIT_NOFILE, spec->descriptors, spec->descriptors) != 0 ||
        set_limit(RLIMIT_AS, memory, memory) != 0)
        return confine_fail(error, "set a limit", NULL);
    return 0;
}

static int drop_capabilities(const struct confine_error *error)
{
    for (unsigned long cap = 0; cap < CAP_BITS; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL)
            return confine_fail(error, "drop a capability", NULL);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none) != 0)
        return confine_fail(error, "drop the capabilities", NULL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return confine_fail(error, "forbid new privileges", NULL);
    return 0;
}

static int set_filter(const struct confine_spec *spec, const struct confine_error *error)
{
    struct sock_fprog program = {
        .len = (unsigned short)spec->filter_count,
        .filter = (struct sock_filter *)(uintptr_t)(spec + 1), /* the kernel only reads it */
    };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) ==
        0)
        return 0;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        return 0;
    return confine_fail(error, "set the filter", NULL);
}

CONFINE_EXPORT int confine_payload(const void *bytes, size_t len, char *text, size_t size)
{
    const struct confine_spec *spec = bytes;
    struct confine_error error = {.text = text, .size = size};
    const char *problem = confine_check(bytes, len);
    if (problem) {
        snprintf(text, size, "%s", problem);
        return -1;
    }
    if (chdir(spec->project) != 0)
        return confine_fail(&error, "enter", spec->project);
    setsid(); /* fails only where it has been done */
    if (become_user(&error) != 0 || set_limits(spec, &error) != 0 || drop_capabilities(&error) != 0)
        return -1;
    confine_limits_catch();
    prctl(PR_SET_DUMPABLE, 1); /* else its own /proc/self is closed to it */
    return set_filter(spec, &error);
}
