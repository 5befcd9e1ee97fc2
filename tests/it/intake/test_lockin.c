/* What a locked-in helper can still reach, tried in a child of the test. */
#include "proto/base/mem.h"
#include "runner/intake/lockin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

/* As in lockin.c: under a sanitizer there is no lock. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define ABI_NET 4

static long abi(void)
{
    return SANITIZED
               ? 0
               : syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint16_t listen_somewhere(int *fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(*fd, 5), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

/* Returns 0 or errno. */
static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    owned_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&to, sizeof to) ? errno : 0;
}

static int open_for(const char *path, int flags)
{
    owned_fd int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 ? errno : 0;
}

struct reach {
    int allowed_port, other_port, readable, secret, own, elsewhere;
};

/* Tries everything in a child that is locked in with `network`. */
static struct reach try_with(const char *own, uint16_t port, uint16_t other, bool has_network)
{
    struct reach reach = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int dir = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        owned_mem char *file = mem_printf("%s/file", own);
        const char *const readable[] = {"/etc/hosts", "/no/such/file", NULL};
        if (has_network)
            lockin_with_network(dir, 1 << 20, &(struct lockin_network){readable, &port, 1});
        else
            lockin(dir, 1 << 20);
        reach = (struct reach){.allowed_port = connect_to(port),
                               .other_port = connect_to(other),
                               .readable = open_for("/etc/hosts", O_RDONLY),
                               .secret = open_for("/etc/passwd", O_RDONLY),
                               .own = open_for(file, O_WRONLY | O_CREAT),
                               .elsewhere = open_for("/tmp/testmesh-lockin", O_WRONLY | O_CREAT)};
        _exit(write(ends[1], &reach, sizeof reach) != sizeof reach);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &reach, sizeof reach), sizeof reach);
    close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return reach;
}

static void only_what_was_named_is_reached(void **unused)
{
    (void)unused;
    char own[] = "/tmp/lockin-XXXXXX";
    owned_fd int one = -1;
    owned_fd int two = -1;
    if (abi() < ABI_NET) {
        print_message("skipped: no Landlock for networks here, or built with a sanitizer\n");
        skip();
    }
    assert_non_null(mkdtemp(own));
    uint16_t port = listen_somewhere(&one), other = listen_somewhere(&two);
    struct reach with = try_with(own, port, other, true);
    struct reach without = try_with(own, port, other, false);
    owned_mem char *file = mem_printf("%s/file", own);
    unlink(file);
    rmdir(own);
    unlink("/tmp/testmesh-lockin");
    assert_int_equal(with.allowed_port, 0);
    assert_int_equal(with.other_port, EACCES);
    assert_int_equal(with.readable, 0);
    assert_int_equal(with.secret, EACCES);
    assert_int_equal(with.own, 0);
    assert_int_equal(with.elsewhere, EACCES);
    assert_int_equal(without.allowed_port, EACCES);
    assert_int_equal(without.readable, EACCES);
    assert_int_equal(without.own, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_was_named_is_reached)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
