/* metrics_process: the process, its loop and the data folder's disk. The names that begin with
 * process_ are those that every Prometheus client has. */
#include "node/api/internal.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* "." and ".." and the folder's own are among them. */
#define NOT_COUNTED 3

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void put_cpu(struct exposition *out)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used))
        return;
    exposition_family(out, EXPOSITION_COUNTER, "process_cpu_seconds_total",
                      "Processor time of this process, without what it runs.");
    exposition_real(out, EXPOSITION_NONE, seconds(used.ru_utime) + seconds(used.ru_stime));
}

static void put_memory(struct exposition *out)
{
    unsigned long total, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    int count = file ? fscanf(file, "%lu %lu", &total, &resident) : 0;
    if (file)
        (void)fclose(file);
    if (count != 2)
        return;
    double page = (double)sysconf(_SC_PAGESIZE);
    exposition_gauge(out, "process_resident_memory_bytes", "Memory of this process.",
                     (double)resident * page);
    exposition_gauge(out, "process_virtual_memory_bytes", "Its address space.",
                     (double)total * page);
}

static void put_descriptors(struct exposition *out)
{
    struct rlimit limit;
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;
    if (!folder)
        return;
    while (readdir(folder))
        count++;
    (void)closedir(folder);
    exposition_gauge(out, "process_open_fds", "Open descriptors.", (double)(count - NOT_COUNTED));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        exposition_gauge(out, "process_max_fds", "How many there may be.", (double)limit.rlim_cur);
}

static void put_disk(struct exposition *out, const char *folder)
{
    struct statvfs disk;
    if (statvfs(folder, &disk))
        return;
    double block = (double)disk.f_frsize;
    exposition_gauge(out, "testmesh_disk_free_bytes",
                     "Room on the data folder's disk for this process.",
                     (double)disk.f_bavail * block);
    exposition_gauge(out, "testmesh_disk_size_bytes", "Size of that disk.",
                     (double)disk.f_blocks * block);
    exposition_gauge(out, "testmesh_disk_free_files", "Inodes that are free there.",
                     (double)disk.f_favail);
    exposition_gauge(out, "testmesh_disk_size_files",
                     "Inodes of that disk; 0 where they are not counted.", (double)disk.f_files);
}

void metrics_put_process(struct exposition *out, const struct api *api)
{
    exposition_family(
        out, EXPOSITION_HISTOGRAM, "testmesh_loop_late_seconds",
        "How much later than due the event loop came to a timer, ten times a second.");
    exposition_histogram(out, EXPOSITION_NONE, api->config.metrics.loop_late);
    put_disk(out, api->config.metrics.data);
    exposition_family(out, EXPOSITION_GAUGE, "process_start_time_seconds",
                      "When this process began to serve, since 1970.");
    exposition_ms(out, EXPOSITION_NONE, api->started_wall_ms);
    put_cpu(out);
    put_memory(out);
    put_descriptors(out);
}
