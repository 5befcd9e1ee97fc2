/* A jail's /etc: what programs look up, and nothing that tells about this machine. It is written
 * once, by the node, and bound read-only into every jail. */
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/jail/jail_inner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const unsigned char jail_confine_bytes[];
extern const size_t jail_confine_bytes_len;
extern const unsigned char jail_gate_bytes[];
extern const size_t jail_gate_bytes_len;

/* Copied files are small; a certificate bundle is the largest. */
#define COPY_MAX ((size_t)16 << 20)

/* A folder has no more entries than this that matter; certificates are some 300. */
#define ENTRIES_MAX 4096

static const struct {
    const char *name;
    const char *text;
} made[] = {
    {"passwd", "root:x:0:0:root:/tmp:/bin/sh\n"
               "tester:x:1000:1000:tester:/tmp:/bin/sh\n"
               "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"group", "root:x:0:\ntty:x:5:\ntester:x:1000:\nnogroup:x:65534:\n"},
    {"hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
              "127.0.1.1 " JAIL_HOSTNAME "\n"},
    {"hostname", JAIL_HOSTNAME "\n"},
    {"nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
                      "networks: files\nprotocols: files\nservices: files\nethers: files\n"},
    {"host.conf", "multi on\n"},
    {"shells", "/bin/sh\n"},
    {"resolv.conf", ""}, /* no name server: what is not in hosts fails at once */
};

static const char *const copied[] = {
    "ld.so.cache", "ld.so.conf", "localtime",  "timezone",       "mime.types",
    "services",    "protocols",  "os-release", "debian_version",
};

static const char *const copied_folders[] = {
    "alternatives",    "ld.so.conf.d",  "ssl",   "ssl/certs",
    "ca-certificates", "pki/tls/certs", "fonts", "fonts/conf.d",
};

static int write_mode(const char *dir, const char *name, mode_t mode, const struct buf *bytes,
                      struct err *err)
{
    owned_mem char *path = mem_printf("%s/%s", dir, name);
    owned_mem char *fresh = mem_printf("%s.new", path);
    (void)unlink(fresh);
    owned_fd int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set(err, ERR_IO, "create %s: %m", fresh);
    int failed = file_write_all(fd, buf_str(bytes), bytes->len, err);
    if (failed)
        return failed;
    (void)fchmod(fd, mode); /* whatever the umask */
    if (rename(fresh, path) != 0)
        return err_set(err, ERR_IO, "rename %s: %m", fresh);
    return 0;
}

static int write_new(const char *dir, const char *name, const void *bytes, size_t len,
                     struct err *err)
{
    const struct buf text = {.data = (char *)(uintptr_t)bytes, .len = len};
    return write_mode(dir, name, 0644, &text, err);
}

static int copy_file(const char *from, const char *dir, const char *name, struct err *err)
{
    owned_buf bytes = BUF_INIT;
    if (file_read(from, COPY_MAX, &bytes, NULL) != 0)
        return 0; /* absent or not for us: the jail has none either */
    return write_new(dir, name, bytes.data, bytes.len, err);
}

static int copy_link(const char *from, const char *dir, const char *name, struct err *err)
{
    char target[4096];
    ssize_t len = readlink(from, target, sizeof target - 1);
    if (len < 0)
        return 0;
    target[len] = '\0';
    owned_mem char *path = mem_printf("%s/%s", dir, name);
    (void)unlink(path);
    return symlink(target, path) == 0 ? 0 : err_set(err, ERR_IO, "link %s: %m", path);
}

static int copy_folder(const char *name, const char *etc, struct err *err)
{
    owned_mem char *from = mem_printf("/etc/%s", name);
    owned_mem char *to = mem_printf("%s/%s", etc, name);
    DIR *dir = opendir(from);
    if (!dir)
        return 0;
    int failed = file_make_dirs(to, 0755, err);
    size_t count = 0;
    for (struct dirent *entry; !failed && count < ENTRIES_MAX && (entry = readdir(dir)); count++) {
        owned_mem char *path = mem_printf("%s/%s", from, entry->d_name);
        struct stat st;
        if (lstat(path, &st) != 0)
            continue;
        /* Only what every user of the machine may read. */
        if (S_ISREG(st.st_mode) && (st.st_mode & S_IROTH))
            failed = copy_file(path, to, entry->d_name, err);
        else if (S_ISLNK(st.st_mode))
            failed = copy_link(path, to, entry->d_name, err);
    }
    closedir(dir);
    return failed;
}

static int write_etc(const char *etc, struct err *err)
{
    int failed = file_make_dirs(etc, 0755, err);
    for (size_t i = 0; i < countof(made) && !failed; i++)
        failed = write_new(etc, made[i].name, made[i].text, strlen(made[i].text), err);
    for (size_t i = 0; i < countof(copied) && !failed; i++) {
        owned_mem char *from = mem_printf("/etc/%s", copied[i]);
        failed = copy_file(from, etc, copied[i], err);
    }
    for (size_t i = 0; i < countof(copied_folders) && !failed; i++)
        failed = copy_folder(copied_folders[i], etc, err);
    return failed;
}

int jail_write_runtime(const char *dir, struct err *err)
{
    owned_mem char *etc = mem_printf("%s/etc", dir);
    int failed = write_etc(etc, err);
    if (!failed)
        failed = write_new(dir, JAIL_CONFINE_FILE, jail_confine_bytes, jail_confine_bytes_len, err);
    const struct buf gate = {.data = (char *)(uintptr_t)jail_gate_bytes,
                             .len = jail_gate_bytes_len};
    if (!failed)
        failed = write_mode(dir, JAIL_GATE_FILE, 0755, &gate, err);
    return failed ? err_wrap(err, "write the jails' runtime folder") : 0;
}
