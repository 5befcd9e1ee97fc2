/* Each system call of the disk thread fails once, or is the last one before the power goes. A model
 * keeps what a disk would surely have kept: bytes that were synced, under names whose folder was
 * synced. Whatever was acknowledged must be in a store that is opened on that. */
#include "tests/it/store/world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct inode {
    struct buf durable;
};

struct name {
    char *path;
    size_t now;  /* inode + 1, 0 for none */
    size_t kept; /* likewise, as of the last sync of its folder */
};

static struct inode inodes[4096];
static size_t inode_count;
static struct name names[2048];
static size_t name_count;
static size_t inode_of_fd[1024];
static int fault_at;   /* the operation that fails */
static int fault_code; /* with this errno */
static bool fault_for_ever;
static int op_count;

static bool fails(void)
{
    int op = op_count++;
    if (op != fault_at && !(fault_for_ever && op > fault_at))
        return false;
    errno = fault_code;
    return true;
}

static struct name *name_of(const char *path)
{
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].path, path) == 0)
            return &names[i];
    assert_true(name_count < countof(names));
    names[name_count] = (struct name){.path = mem_strdup(path)};
    return &names[name_count++];
}

static int f_open(void *self, const char *path, int flags, mode_t mode)
{
    (void)self;
    if (fails())
        return -1;
    int fd = open(path, flags | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    struct name *name = name_of(path);
    if (!name->now) {
        assert_true(inode_count < countof(inodes));
        name->now = ++inode_count;
    }
    inode_of_fd[fd] = name->now;
    return fd;
}

static ssize_t f_write(void *self, int fd, const void *bytes, size_t len)
{
    (void)self;
    if (!fails())
        return write(fd, bytes, len);
    int code = errno;
    (void)!write(fd, bytes, len / 2); /* what a full disk does: a part is there */
    errno = code;
    return -1;
}

static int f_sync(void *self, int fd)
{
    (void)self;
    if (fails())
        return -1;
    struct buf *durable = &inodes[inode_of_fd[fd] - 1].durable;
    owned_mem char *path = mem_printf("/proc/self/fd/%d", fd);
    struct err err = ERR_INIT;
    buf_clear(durable);
    return file_read(path, 1 << 26, durable, &err) ? -1 : 0;
}

static int f_close(void *self, int fd)
{
    (void)self;
    return close(fd);
}

static int f_rename(void *self, const char *from, const char *to)
{
    (void)self;
    if (fails())
        return -1;
    if (rename(from, to))
        return -1;
    size_t inode = name_of(from)->now;
    name_of(from)->now = 0;
    name_of(to)->now = inode;
    return 0;
}

static int f_unlink(void *self, const char *path)
{
    (void)self;
    if (fails())
        return -1;
    int rc = unlink(path);
    if (rc == 0)
        name_of(path)->now = 0;
    return rc;
}

static int f_mkdir(void *self, const char *path, mode_t mode)
{
    (void)self;
    return mkdir(path, mode);
}

static int f_sync_dir(void *self, const char *path)
{
    (void)self;
    if (fails())
        return -1;
    size_t len = strlen(path);
    for (size_t i = 0; i < name_count; i++)
        if (strncmp(names[i].path, path, len) == 0 && names[i].path[len] == '/' &&
            !strchr(names[i].path + len + 1, '/'))
            names[i].kept = names[i].now;
    return 0;
}

static const struct disk_ops faulty = {
    .open = f_open,
    .write = f_write,
    .sync = f_sync,
    .close = f_close,
    .rename = f_rename,
    .unlink = f_unlink,
    .mkdir = f_mkdir,
    .sync_dir = f_sync_dir,
};

static void world_begins(int at, int code, bool for_ever)
{
    for (size_t i = 0; i < inode_count; i++)
        buf_fini(&inodes[i].durable);
    for (size_t i = 0; i < name_count; i++)
        free(names[i].path);
    inode_count = name_count = 0;
    op_count = 0;
    fault_at = at;
    fault_code = code;
    fault_for_ever = for_ever;
}

/* The power goes and comes back: the folder holds what the model kept. */
static void power_cycle(void)
{
    struct err err = ERR_INIT;
    static const char *const folders[] = {"log", "snap", "evals/2026-09", "quarantine",
                                          "blobs/tmp"};
    assert_int_equal(file_remove_tree(dir, &err), 0);
    for (size_t i = 0; i < countof(folders); i++) {
        owned_mem char *path = mem_printf("%s/%s", dir, folders[i]);
        assert_int_equal(file_make_dirs(path, 0700, &err), 0);
    }
    for (size_t i = 0; i < name_count; i++) {
        if (!names[i].kept)
            continue;
        const struct buf *bytes = &inodes[names[i].kept - 1].durable;
        owned_mem char *folder =
            mem_strndup(names[i].path, (size_t)(strrchr(names[i].path, '/') - names[i].path));
        assert_int_equal(file_make_dirs(folder, 0700, &err), 0);
        FILE *file = fopen(names[i].path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(buf_str(bytes), 1, bytes->len, file), bytes->len);
        fclose(file);
    }
}

/* ---- the story: three evaluations, a restart in between -------------------------------------- */

static bool acked[8][WORLD_STEPS];
static struct hash acked_blobs[8];
static size_t acked_blob_count;
static unsigned refused;

struct saying {
    uint64_t id;
    unsigned step;
};

static void on_said(void *arg, const struct err *err, unsigned changed)
{
    struct saying *saying = arg;
    (void)changed;
    if (err->code == ERR_NONE)
        acked[saying->id][saying->step] = true;
    else if (err->code == ERR_UNAVAILABLE)
        refused++;
    else
        fail_msg("%s", err->text);
    free(saying);
}

static void on_blob(void *arg, const struct err *err, const struct hash *hash)
{
    (void)arg;
    if (err->code == ERR_NONE)
        acked_blobs[acked_blob_count++] = *hash;
}

static void tell(uint64_t id, unsigned from, unsigned to)
{
    for (unsigned step = from; store && step < to; step++) {
        struct statement statement;
        struct saying *saying = mem_new(sizeof *saying);
        *saying = (struct saying){id, step};
        store_apply(store, say(&statement, id, step), on_said, saying);
        if (step % 3 != 1) /* sometimes two in one batch */
            store_flush(store);
    }
    if (store)
        store_flush(store);
}

static void the_story_is_told(void)
{
    struct err err = ERR_INIT;
    open_with(&faulty, 900, 2500, &err);
    tell(1, 0, WORLD_STEPS);
    if (store)
        store_put_blob(store, "cases", 5, "", on_blob, NULL);
    tell(2, 0, 3);
    closed();
    open_with(&faulty, 900, 2500, &err);
    tell(2, 3, WORLD_STEPS);
    tell(3, 0, 4);
    if (store)
        store_put_blob(store, "other", 5, "", on_blob, NULL);
    if (store && refused > 0) { /* fail-stop: reads go on, the reason is known */
        const char *why = NULL;
        assert_false(store_writable(store, &why) && why);
        for (uint64_t id = 1; id <= 3; id++)
            (void)store_find(store, id, &err);
    }
    closed();
}

static void nothing_acknowledged_is_lost(int at)
{
    opened();
    for (uint64_t id = 1; id <= 3; id++)
        for (unsigned step = 0; step < WORLD_STEPS; step++)
            if (acked[id][step] && !knows(id, step))
                fail_msg("operation %d: step %u of evaluation %u was acknowledged and is lost", at,
                         step, (unsigned)id);
    for (size_t i = 0; i < acked_blob_count; i++) {
        owned_buf bytes = BUF_INIT;
        struct err err = ERR_INIT;
        assert_int_equal(store_read_blob(store, &acked_blobs[i], "", 100, &bytes, &err), 0);
        struct hash hash = hash_of(bytes.data, bytes.len);
        assert_memory_equal(&hash, &acked_blobs[i], sizeof hash);
    }
    assert_false(store_repairing(store));
    said_up_to(3, WORLD_STEPS); /* and it can go on */
    closed();
}

/* Returns whether the fault was reached. */
static bool with_fault(int at, int code, bool for_ever, bool power_lost)
{
    struct err err = ERR_INIT;
    memset(acked, 0, sizeof acked);
    acked_blob_count = 0;
    refused = 0;
    assert_int_equal(file_remove_tree(dir, &err), 0);
    world_begins(at, code, for_ever);
    the_story_is_told();
    bool reached = op_count > at;
    if (power_lost)
        power_cycle();
    nothing_acknowledged_is_lost(at);
    return reached;
}

static void at_every_operation(int code, bool for_ever, bool power_lost)
{
    int at = 0;
    while (with_fault(at, code, for_ever, power_lost))
        at++;
    assert_true(at > 80);
    assert_true(acked[1][WORLD_STEPS - 1] && acked[3][3] && acked_blob_count == 2);
    print_message("%d operations\n", at);
    world_begins(0, 0, false);
}

static void a_full_disk_at_any_operation_loses_nothing_acknowledged(void **unused)
{
    (void)unused;
    at_every_operation(ENOSPC, false, false);
}

static void an_error_at_any_operation_and_then_no_power(void **unused)
{
    (void)unused;
    at_every_operation(EIO, false, true);
}

static void no_power_at_any_operation_loses_nothing_acknowledged(void **unused)
{
    (void)unused;
    at_every_operation(EIO, true, true);
}

static void a_failed_sync_stops_writing_and_leaves_reading(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    world_begins(1 << 20, EIO, true);
    open_with(&faulty, 0, 0, &err);
    said_up_to(1, 2);
    fault_at = op_count + 1; /* the write is fine, the sync is not */
    struct statement statement;
    struct answer answer = {0};
    store_apply(store, say(&statement, 1, 2), on_answer, &answer);
    store_flush(store);
    assert_int_equal(answer.code, ERR_UNAVAILABLE);
    fault_at = 1 << 20; /* the disk is well again: too late */
    const char *why = "";
    assert_false(store_writable(store, &why));
    assert_non_null(strstr(why, "sync"));
    int before = op_count;
    store_apply(store, say(&statement, 1, 2), on_answer, &answer);
    store_flush(store);
    assert_int_equal(answer.code, ERR_UNAVAILABLE);
    assert_int_equal(op_count, before);
    assert_true(knows(1, 1));
    assert_false(knows(1, 2));
    closed();
    world_begins(0, 0, false);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        STORY(a_full_disk_at_any_operation_loses_nothing_acknowledged),
        STORY(an_error_at_any_operation_and_then_no_power),
        STORY(no_power_at_any_operation_loses_nothing_acknowledged),
        STORY(a_failed_sync_stops_writing_and_leaves_reading),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
