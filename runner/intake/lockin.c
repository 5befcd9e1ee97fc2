#include "runner/intake/lockin.h"

#include "proto/base/mem.h"
#include "proto/base/sanitized.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NET_ALL     UINT64_C(3)
#define NET_CONNECT UINT64_C(2)
#define RULE_PORT   2

struct ruleset {
    uint64_t fs;
    uint64_t net;
};

struct port_rule {
    uint64_t allowed;
    uint64_t port;
};

/* The rights that each version of the interface knows; Debian 12's headers end at the second. */
static uint64_t fs_all(long abi)
{
    unsigned bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13;
    return (UINT64_C(1) << bits) - 1;
}

static void limit(int what, uint64_t most)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) ||
        (now.rlim_max != RLIM_INFINITY && now.rlim_max < most))
        return;
    (void)setrlimit((__rlimit_resource_t)what, &(struct rlimit){most, most});
}

static void let_read(int rules, const char *path)
{
    owned_fd int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return;
    struct landlock_path_beneath_attr rule = {
        .parent_fd = fd,
        .allowed_access = S_ISDIR(st.st_mode)
                              ? LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR
                              : LANDLOCK_ACCESS_FS_READ_FILE};
    (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void let_out(int rules, const struct lockin_network *network, bool has_net)
{
    for (size_t i = 0; network->readable[i]; i++)
        let_read(rules, network->readable[i]);
    for (size_t i = 0; has_net && i < network->port_count; i++) {
        struct port_rule rule = {NET_CONNECT, network->ports[i]};
        (void)syscall(SYS_landlock_add_rule, rules, RULE_PORT, &rule, 0);
    }
}

static void landlock(int dir_fd, const struct lockin_network *network)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return;
    struct ruleset all = {fs_all(abi), abi >= 4 ? NET_ALL : 0};
    long rules =
        syscall(SYS_landlock_create_ruleset, &all, abi >= 4 ? sizeof all : sizeof all.fs, 0);
    if (rules < 0)
        return;
    struct landlock_path_beneath_attr below = {
        .parent_fd = dir_fd, .allowed_access = all.fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE};
    if (network)
        let_out((int)rules, network, abi >= 4);
    if (dir_fd < 0 ||
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0)
        (void)syscall(SYS_landlock_restrict_self, rules, 0);
    close((int)rules);
}

static void lock(int dir_fd, uint64_t file_bytes, const struct lockin_network *network)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, 120);
    limit(RLIMIT_FSIZE, file_bytes);
    limit(RLIMIT_NOFILE, 64);
    /* A sanitizer reserves terabytes of addresses and reads /proc at the end. */
    if (SANITIZED)
        return;
    limit(RLIMIT_AS, UINT64_C(512) << 20);
    landlock(dir_fd, network);
}

void lockin(int dir_fd, uint64_t file_bytes) { lock(dir_fd, file_bytes, NULL); }

void lockin_with_network(int dir_fd, uint64_t file_bytes, const struct lockin_network *network)
{
    lock(dir_fd, file_bytes, network);
}
