/* kill -9 of a writer at random moments, and how long a start takes after many records. */
#include "tests/it/store/world.h"

#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "proto/base/clock.h"
#include "proto/base/rand.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

struct ack {
    uint64_t id;
    unsigned step;
};

static int ack_pipe;

static void report(void *arg, const struct err *err, unsigned changed)
{
    struct ack *ack = arg;
    (void)changed;
    if (err->code != ERR_NONE || write(ack_pipe, ack, sizeof *ack) != sizeof *ack)
        _exit(1);
    free(ack);
}

/* Says evaluation after evaluation, always with several records under way, until it is killed. */
static void write_for_ever(uint64_t id)
{
    base = event_base_new();
    struct err err = ERR_INIT;
    open_with(NULL, 3000, 9000, &err);
    for (; store; id++) {
        for (unsigned step = 0; step < WORLD_STEPS; step++) {
            struct statement statement;
            struct ack *ack = mem_new(sizeof *ack);
            *ack = (struct ack){id, step};
            store_apply(store, say(&statement, id, step), report, ack);
            event_base_loop(base, EVLOOP_NONBLOCK);
        }
        if (id % 8 == 0)
            store_flush(store);
    }
    _exit(1);
}

/* Reads acknowledgements, kills the writer after `count` of them and reads the rest. */
static size_t killed_after(pid_t pid, int fd, size_t count, struct buf *acks)
{
    struct ack ack;
    size_t seen = 0;
    while (read(fd, &ack, sizeof ack) == sizeof ack) {
        buf_append(acks, &ack, sizeof ack);
        if (++seen == count)
            kill(pid, SIGKILL);
    }
    close(fd);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return seen;
}

static void a_killed_writer_loses_nothing_that_it_acknowledged(void **unused)
{
    (void)unused;
    struct rand rand;
    rand_init(&rand, clock_wall_ms());
    print_message("SEED=%llu\n", (unsigned long long)rand.state[0]);
    owned_buf acks = BUF_INIT;
    uint64_t next = 1;
    for (int round = 0; round < 20; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            ack_pipe = ends[1];
            write_for_ever(next);
        }
        close(ends[1]);
        (void)killed_after(pid, ends[0], 1 + rand_below(&rand, 120), &acks);
        opened();
        for (size_t at = 0; at < acks.len; at += sizeof(struct ack)) {
            struct ack ack;
            memcpy(&ack, acks.data + at, sizeof ack);
            if (!knows(ack.id, ack.step))
                fail_msg("round %d: step %u of %u is lost", round, ack.step, (unsigned)ack.id);
            next = ack.id + 2000; /* beyond whatever was written and not acknowledged */
        }
        assert_false(store_repairing(store));
        closed();
    }
    print_message("%zu acknowledgements\n", acks.len / sizeof(struct ack));
}

static void append_statement(struct buf *log, uint64_t id, unsigned step)
{
    struct statement statement;
    owned_buf json = BUF_INIT;
    delta_encode(say(&statement, id, step), &json);
    line_encode(json.data, json.len, log);
}

static void a_start_reads_many_records_in_little_time(void **unused)
{
    (void)unused;
    size_t records = getenv("TESTMESH_FULL") ? 100000 : 6000;
    struct err err = ERR_INIT;
    owned_buf log = BUF_INIT;
    owned_mem char *folder = mem_printf("%s/log", dir);
    owned_mem char *path = mem_printf("%s/log/000001.jsonl", dir);
    uint64_t id = 1;
    for (size_t i = 0; i < records; i += WORLD_STEPS - 1, id++)
        for (unsigned step = 0; step < WORLD_STEPS - 1; step++)
            append_statement(&log, id, step);
    assert_int_equal(file_make_dirs(folder, 0700, &err), 0);
    assert_int_equal(file_replace(path, log.data, log.len, 0600, &err), 0);
    uint64_t start = clock_mono_ms();
    clock_t cpu = clock();
    opened();
    print_message("%zu records, %zu bytes: open in %llu ms, %llu of the processor\n", records,
                  log.len, (unsigned long long)(clock_mono_ms() - start),
                  (unsigned long long)(clock() - cpu) * 1000 / CLOCKS_PER_SEC);
    assert_int_equal(store_count(store), id - 1);
    assert_true(knows(id - 1, WORLD_STEPS - 2));
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        STORY(a_killed_writer_loses_nothing_that_it_acknowledged),
        STORY(a_start_reads_many_records_in_little_time),
    };
    return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
