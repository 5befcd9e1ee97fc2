/* testmesh-gate: see gate.h. It runs in the jail, before the program does. */
#include "runner/jail/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As a jail's helper does: a number that no installer ends with. */
#define FAILED 125

static int complain(const char *what)
{
    fprintf(stderr, "gate: %s: %s\n", what, strerror(errno));
    return FAILED;
}

static int name_gate(int port)
{
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY",
                                        "http_proxy",  "ALL_PROXY",   "all_proxy"};
    char url[40];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (setenv(names[i], url, 1))
            return -1;
    return unsetenv("NO_PROXY") || unsetenv("no_proxy");
}

int main(int argc, char **argv)
{
    char *end;
    errno = EINVAL;
    long fd = argc > 2 ? strtol(argv[1], &end, 10) : -1;
    if (fd < 3 || fd > 65535 || *end)
        return complain("bad command line");
    int port = gate_open((int)fd);
    if (port < 0)
        return complain("open the way out");
    if (name_gate(port))
        return complain("set a variable");
    execvp(argv[2], argv + 2);
    return complain(argv[2]);
}
