#include "runner/env/size.h"

#include "proto/base/clock.h"

#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

/* A walk may take a tenth of one processor. */
#define PAUSE_MS      500
#define PAUSES_A_WALK 10

static int add_tree(char *path, uint64_t enough, uint64_t *bytes, struct err *err)
{
    FTS *walk = fts_open((char *[]){path, NULL}, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (walk == NULL)
        return err_set(err, ERR_IO, "open %s: %m", path);
    for (FTSENT *entry; *bytes <= enough && (entry = fts_read(walk)) != NULL;) {
        int info = entry->fts_info;
        if (info != FTS_DP && info != FTS_NS && info != FTS_NSOK && info != FTS_ERR)
            *bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
    }
    fts_close(walk);
    return 0;
}

int size_measure(char *const *paths, size_t count, uint64_t enough, uint64_t *bytes,
                 struct err *err)
{
    int rc = 0;
    *bytes = 0;
    for (size_t i = 0; i < count && rc == 0 && *bytes <= enough; i++)
        rc = add_tree(paths[i], enough, bytes, err);
    return rc;
}

int size_watch(char *const *paths, size_t count, uint64_t limit, uint64_t *bytes, struct err *err)
{
    for (;;) {
        uint64_t began = clock_mono_ms();
        int rc = size_measure(paths, count, limit, bytes, err);
        if (rc != 0 || *bytes > limit)
            return rc;
        uint64_t pause = (clock_mono_ms() - began) * PAUSES_A_WALK;
        usleep((useconds_t)(pause > PAUSE_MS ? pause : PAUSE_MS) * 1000);
    }
}
