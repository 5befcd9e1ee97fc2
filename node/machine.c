#include "node/machine.h"

#include "proto/base/mem.h"
#include "proto/base/wipe.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define PRIORITY (-5)

unsigned machine_slots(void)
{
    cpu_set_t cpus;
    struct sysinfo info;
    unsigned cores = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    unsigned gib = cores;
    if (sysinfo(&info) == 0)
        gib = (unsigned)((uint64_t)info.totalram * info.mem_unit >> 30);
    unsigned slots = cores < gib ? cores : gib;
    return slots ? slots : 1;
}

unsigned machine_memory_mb(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (unsigned)((uint64_t)info.totalram * info.mem_unit >> 20) : 0;
}

char *machine_program(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    return len > 0 ? mem_strndup(path, (size_t)len) : mem_strdup("/proc/self/exe");
}

void machine_raise_priority(void)
{
    errno = 0;
    int now = getpriority(PRIO_PROCESS, 0);
    if (errno == 0 && now == 0)
        (void)setpriority(PRIO_PROCESS, 0, PRIORITY);
}

void machine_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The limit alone would not do: the kernel does not ask it where core files go to a program. */
void machine_keep_secrets(void)
{
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    (void)prctl(PR_SET_DUMPABLE, 0);
    event_set_mem_functions(malloc, wipe_realloc, wipe_free);
    json_set_alloc_funcs(malloc, wipe_free);
}
