#include "runner/jail/confine_spec.h"

#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* 32 bits: the kernel reads these arguments as int and looks at no higher bit; nor may the filter.
 */
#define LOW UINT64_C(0xffffffff)

/* By number only what this library knows; a name that it does not know is newer than it is, and
 * what matters most of those (clone3) is old enough. */
static const char *const denied[] = {
    /* reaching into other processes */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "move_pages",
    "migrate_pages",
    /* namespaces and mounts */
    "unshare",
    "setns",
    "mount",
    "umount2",
    "umount",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "open_by_handle_at",
    /* large parts of the kernel that tests do not need */
    "add_key",
    "request_key",
    "keyctl",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "fanotify_init",
    "lookup_dcookie",
    "nfsservctl",
    "quotactl",
    "quotactl_fd",
    "acct",
    "uselib",
    "ustat",
    "sysfs",
    "_sysctl",
    /* the machine itself */
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vm86",
    "vm86old",
    "syslog",
    "vhangup",
};

static const uint64_t namespace_flags[] = {
    CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,    CLONE_NEWUSER,
    CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP,
};

/* Typing into the terminal of another. TIOCLINUX does it for consoles. */
static const uint64_t ioctls[] = {TIOCSTI, TIOCLINUX};

static int deny_calls(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < countof(denied); i++) {
        int number = seccomp_syscall_resolve_name(denied[i]);
        if (number == __NR_SCMP_ERROR)
            continue;
        int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
        if (failed && failed != -EDOM) /* -EDOM: not a call of this architecture */
            return failed;
    }
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int deny_arguments(scmp_filter_ctx filter)
{
    const uint32_t no = SCMP_ACT_ERRNO(EPERM);
    int failed = 0;
    for (size_t i = 0; i < countof(namespace_flags) && !failed; i++)
        failed =
            seccomp_rule_add(filter, no, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
    for (size_t i = 0; i < countof(ioctls) && !failed; i++)
        failed = seccomp_rule_add(filter, no, SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, LOW, ioctls[i]));
    return failed;
}

/* UNIX, INET, INET6 and NETLINK (interfaces are listed with it) are all that is let through. */
static int deny_sockets(scmp_filter_ctx filter)
{
    const uint32_t no = SCMP_ACT_ERRNO(EPERM);
    int failed =
        seccomp_rule_add(filter, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0));
    for (uint64_t family = 0; family < AF_NETLINK && !failed; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6)
            continue;
        failed = seccomp_rule_add(filter, no, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, LOW, family));
    }
    return failed;
}

static int fill(scmp_filter_ctx filter)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (!failed)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree of comparisons */
    if (!failed)
        failed = deny_calls(filter);
    if (!failed)
        failed = deny_arguments(filter);
    return failed ? failed : deny_sockets(filter);
}

static int export(scmp_filter_ctx filter, struct buf *out, struct err *err)
{
    owned_fd int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "memfd: %m");
    int failed = seccomp_export_bpf(filter, fd);
    if (failed)
        return err_set(err, ERR_INTERNAL, "compile the filter: %s", strerror(-failed));
    off_t len = lseek(fd, 0, SEEK_END);
    if (len <= 0 || len > CONFINE_SPEC_MAX / 2)
        return err_set(err, ERR_INTERNAL, "the filter has %lld bytes", (long long)len);
    ssize_t got = pread(fd, buf_reserve(out, (size_t)len), (size_t)len, 0);
    if (got != len)
        return err_set(err, ERR_INTERNAL, "read the filter: %m");
    buf_added(out, (size_t)len);
    return 0;
}

int filter_compile(struct buf *out, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return err_set(err, ERR_INTERNAL, "seccomp_init failed");
    int failed = fill(filter);
    if (failed)
        failed = err_set(err, ERR_INTERNAL, "build the filter: %s", strerror(-failed));
    else
        failed = export(filter, out, err);
    seccomp_release(filter);
    return failed;
}
