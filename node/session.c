#include "node/session.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define BOOT_MAX 128

static char *path_of(const char *data) { return mem_printf("%s/RUNNING", data); }

/* Where the kernel does not say, no two boots are the same. */
static void read_boot(struct buf *out)
{
    struct err ignored = ERR_INIT;
    uint64_t random;
    if (file_read("/proc/sys/kernel/random/boot_id", BOOT_MAX, out, &ignored) == 0 && out->len > 0)
        return;
    rand_system(&random, sizeof random);
    buf_clear(out);
    buf_printf(out, "unknown-%016" PRIx64 "\n", random);
}

int session_begin(const char *data, bool *is_cache_suspect, struct err *err)
{
    owned_mem char *path = path_of(data);
    owned_buf before = BUF_INIT;
    owned_buf now = BUF_INIT;
    *is_cache_suspect = false;
    if (!file_exists(path))
        return session_trust(data, err);
    read_boot(&now);
    if (file_read(path, BOOT_MAX, &before, err) && err->code != ERR_TOO_LARGE)
        return err->code;
    *is_cache_suspect = strcmp(buf_str(&before), buf_str(&now)) != 0;
    return 0;
}

int session_trust(const char *data, struct err *err)
{
    owned_mem char *path = path_of(data);
    owned_buf now = BUF_INIT;
    read_boot(&now);
    return file_replace(path, buf_str(&now), now.len, 0600, err);
}

void session_end(const char *data)
{
    owned_mem char *path = path_of(data);
    struct err err = ERR_INIT;
    owned_fd int folder = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || syncfs(folder) != 0)
        log_warn("session_end", "sync %s: %m", data);
    else if (unlink(path) != 0 && errno != ENOENT)
        log_warn("session_end", "remove %s: %m", path);
    else if (file_sync_dir(data, &err))
        log_warn("session_end", "%s", err.text);
}
