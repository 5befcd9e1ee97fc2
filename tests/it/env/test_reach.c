/* What a program in a jail behind a gate can reach: the proxy, and nothing else. */
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/egress/egress.h"
#include "runner/jail/jail.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PYTHON  "/usr/bin/python3"
#define WAIT_MS 20000

static char self[4096];
static char folder[] = "/tmp/testmesh-reach-XXXXXX";
static char runtime[64];
static char why_not[256];

static const char code[] =
    "import os, socket, sys\n"
    "def connect(host, port, text=b''):\n"
    "  with socket.socket() as s:\n"
    "    s.settimeout(5)\n"
    "    try:\n"
    "      s.connect((host, port)); s.sendall(text)\n"
    "      return s.recv(100).split(b'\\r\\n')[0].decode() if text else 'reached'\n"
    "    except OSError as error:\n"
    "      return type(error).__name__\n"
    "url = os.environ['HTTPS_PROXY']\n"
    "assert url == os.environ['http_proxy'] and 'NO_PROXY' not in os.environ\n"
    "port = int(url.rsplit(':', 1)[1])\n"
    "node, other = int(sys.argv[1]), int(sys.argv[2])\n"
    "print(connect('127.0.0.1', node), connect('127.0.0.2', other))\n"
    "print(connect('169.254.169.254', 80), connect('203.0.113.7', 443))\n"
    "print(connect('127.0.0.1', port, b'CONNECT index.example:%d HTTP/1.1\\r\\n\\r\\n' % node))\n"
    "print(connect('127.0.0.1', port, b'CONNECT 127.0.0.1:%d HTTP/1.1\\r\\n\\r\\n' % other))\n"
    "print([name for _, name in socket.if_nameindex()])\n"
    "for fd in os.listdir('/proc/self/fd'):\n" /* the gate itself is not among them */
    "  try: s = socket.socket(fileno=os.dup(int(fd)))\n"
    "  except OSError: continue\n"
    "  print('socket', s)\n";

static struct {
    egress_resolved_fn *done;
    void *arg;
    uint16_t port;
    struct event *soon;
} asked;

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    const struct wire_addr addr = {.ip = {127, 0, 0, 1}, .family = 4, .port = asked.port};
    (void)fd;
    (void)what;
    (void)arg;
    asked.done(asked.arg, &addr, 1);
}

static int resolve(void *arg, const char *name, uint16_t port, egress_resolved_fn *done,
                   void *done_arg, struct err *err)
{
    (void)arg;
    (void)err;
    assert_string_equal(name, "index.example");
    asked.done = done;
    asked.arg = done_arg;
    asked.port = port;
    event_active(asked.soon, 0, 0);
    return 0;
}

static void on_done(void *arg, struct child_result *result)
{
    struct child_result *to = arg;
    *to = *result;
    result->out = (struct buf)BUF_INIT;
    result->err = (struct buf)BUF_INIT;
}

static int listen_at(const char *address, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void run(struct event_base *base, int gate, const char *node, const char *other,
                struct child_result *result)
{
    struct err err = ERR_INIT;
    const char *argv[] = {PYTHON, "-I", "-c", code, node, other, NULL};
    const struct child_stream keep = {.kind = CHILD_COLLECT, .head_bytes = 65536};
    const struct jail_spec spec = {
        .runtime_dir = runtime, .helper = self, .argv = argv, .gate_fd = gate};
    const struct child_spec child = {.out = keep, .err = keep, .limits = {.wall_ms = WAIT_MS}};
    if (!jail_start(base, &spec, &child, on_done, result, &err))
        fail_msg("%s", err.text);
}

static void only_the_proxy_is_reached(void **unused)
{
    (void)unused;
    if (why_not[0]) {
        print_message("SKIP: no tier A here: %s\n", why_not);
        skip();
    }
    struct err err = ERR_INIT;
    uint16_t node, other;
    owned_fd int node_fd = listen_at("127.0.0.1", &node);
    owned_fd int other_fd = listen_at("127.0.0.2", &other);
    struct event_base *base = event_base_new();
    asked.soon = event_new(base, -1, 0, on_soon, NULL);
    struct egress *egress = egress_new(&(struct egress_config){.base = base, .resolve = resolve});
    struct egress_policy policy = {.public_only = false};
    owned_mem char *place = mem_printf("index.example:%u", node);
    owned_mem char *node_text = mem_printf("%u", node);
    owned_mem char *other_text = mem_printf("%u", other);
    assert_int_equal(egress_places_add_text(&policy.places, place, &err), 0);
    owned_fd int gate = -1;
    struct egress_client *client =
        egress_client_new(egress, &(struct egress_client_spec){.policy = &policy}, &gate, &err);
    assert_non_null(client);

    struct child_result result = {.wall_ms = 0};
    uint64_t until = clock_mono_ms() + WAIT_MS + 5000;
    run(base, gate, node_text, other_text, &result);
    mem_close_at(&gate);
    while (result.wall_ms == 0 && clock_mono_ms() < until)
        event_base_loop(base, EVLOOP_ONCE);
    if (strcmp(buf_str(&result.out), "ConnectionRefusedError ConnectionRefusedError\n"
                                     "OSError OSError\n"
                                     "HTTP/1.1 200 Connection established\n"
                                     "HTTP/1.1 403 Forbidden\n"
                                     "['lo']\n"))
        fail_msg("%s%s", buf_str(&result.out), buf_str(&result.err));
    size_t count;
    assert_string_equal(egress_client_refusals(client, &count)[0].target.host, "127.0.0.1");
    assert_int_equal(count, 1);
    buf_fini(&result.out);
    buf_fini(&result.err);
    egress_client_free(client);
    egress_free(egress);
    egress_places_fini(&policy.places);
    event_free(asked.soon);
    event_base_free(base);
}

static int set_up(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    struct jail_report report;
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_LEVEL_WARN, false);
    assert_non_null(mkdtemp(folder));
    snprintf(runtime, sizeof runtime, "%s/runtime", folder);
    if (jail_write_runtime(runtime, &err) != 0)
        fail_msg("%s", err.text);
    jail_probe(runtime, self, 0, &report);
    if (report.tier != 'A')
        snprintf(why_not, sizeof why_not, "%.100s; %.100s", report.problem, report.advice);
    else if (access(PYTHON, X_OK) != 0)
        snprintf(why_not, sizeof why_not, "no " PYTHON);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    return file_remove_tree(folder, &err);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--helper") == 0)
        return strcmp(argv[2], "jail") == 0 ? helper_jail_main(argc, argv)
                                            : helper_jail_probe_main(argc, argv);
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_proxy_is_reached)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
