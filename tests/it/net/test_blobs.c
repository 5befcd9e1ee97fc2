#include "tests/it/net/world.h"

#include "node/net/blobs.h"
#include "node/store/store.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

/* A node with a store, which gives and takes blobs. */
struct peer_node {
    struct node node;
    struct store *store;
    struct blobs *blobs;
    size_t done;
    enum err_code code;
    size_t answers;
    bool has_answer, have[8];
};

#define CROWD 16
static struct peer_node crowd[CROWD];

/* Everybody knows where everybody is. */
static bool locate(void *arg, uint64_t nid, struct wire_addr *out)
{
    (void)arg;
    for (size_t i = 0; i < CROWD; i++) {
        if (crowd[i].node.id != nid || !wire_addr_is_set(&crowd[i].node.addr))
            continue;
        *out = crowd[i].node.addr;
        return true;
    }
    return false;
}

static uint32_t silent_ms, give_up_ms, lost_ms;

static void serve_blobs(struct peer_node *self)
{
    self->blobs = blobs_new(&(struct blobs_config){.base = world_base,
                                                   .net = self->node.net,
                                                   .store = self->store,
                                                   .locate = locate,
                                                   .silent_ms = silent_ms,
                                                   .give_up_ms = give_up_ms,
                                                   .lost_ms = lost_ms});
}

static struct peer_node *start_peer(uint8_t number)
{
    struct peer_node *self = &crowd[number - 1];
    struct err err = ERR_INIT;
    *self = (struct peer_node){.done = 0};
    start(&self->node, number);
    owned_mem char *dir = mem_printf("%s/%u", world_dir, number);
    self->store = store_open(&(struct store_options){.dir = dir, .base = world_base}, &err);
    if (!self->store)
        fail_msg("%s", err.text);
    serve_blobs(self);
    return self;
}

/* As when its process is killed: nothing is said. */
static void kill_peer(struct peer_node *self)
{
    blobs_free(self->blobs);
    self->blobs = NULL;
    if (self->node.net)
        stop(&self->node);
}

static void stop_peer(struct peer_node *self)
{
    kill_peer(self);
    store_close(self->store);
    self->store = NULL;
    self->node.addr.family = 0;
}

static int begin(void **unused)
{
    memset(crowd, 0, sizeof crowd);
    silent_ms = 0;
    give_up_ms = 0;
    lost_ms = 0;
    return begin_world(unused);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* Bytes that nobody can compress, the same each time. */
static struct buf content(size_t len)
{
    struct buf bytes = BUF_INIT;
    struct rand rand;
    rand_init(&rand, len);
    char *at = buf_reserve(&bytes, len + 8);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t next = rand_u64(&rand);
        memcpy(at + i, &next, 8);
    }
    buf_added(&bytes, len);
    return bytes;
}

static struct hash give(struct peer_node *to, size_t len, const char *ext)
{
    owned_buf bytes = content(len);
    store_put_blob(to->store, bytes.data ? bytes.data : "", len, ext, NULL, NULL);
    store_flush(to->store);
    return hash_of(bytes.data, len);
}

/* What a bad disk, or a bad node, has under a name. */
static void give_wrong(struct peer_node *to, const struct hash *hash, const char *ext,
                       const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    owned_mem char *path = store_blob_path(to->store, hash, ext);
    owned_mem char *dir = mem_strdup(path);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(file_make_dirs(dir, 0700, &err), 0);
    assert_int_equal(file_replace(path, bytes, len, 0600, &err), 0);
}

static void on_done(void *arg, const struct hash *hash, const struct err *err)
{
    struct peer_node *self = arg;
    (void)hash;
    self->done++;
    self->code = err->code;
}

static uint64_t want(struct peer_node *self, const struct hash *hash, const char *ext,
                     const struct peer_node *first, const struct peer_node *second)
{
    uint64_t sources[2] = {first->node.id, second ? second->node.id : 0};
    return blobs_fetch(self->blobs, hash, ext, sources, second ? 2 : 1, on_done, self);
}

static bool holds(struct peer_node *self, const struct hash *hash, const char *ext)
{
    owned_buf bytes = BUF_INIT;
    struct err err = ERR_INIT;
    if (store_read_blob(self->store, hash, ext, 64 * MIB, &bytes, &err))
        return false;
    struct hash found = hash_of(bytes.data, bytes.len);
    return memcmp(&found, hash, sizeof found) == 0;
}

static size_t partial_files(const struct peer_node *self)
{
    DIR *dir = opendir(store_tmp_dir(self->store));
    const struct dirent *at;
    size_t count = 0;
    while (dir && (at = readdir(dir)))
        count += at->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* ---- whole ----------------------------------------------------------------------------------- */

static void blobs_of_every_size_arrive(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {0,         1,           256 * KIB - 1, 256 * KIB, 256 * KIB + 1,
                                   300 * KIB, 30 * MIB + 7};
    static const char *const exts[] = {"zst", "jsonl", "log", "", "txt", "zst", "zst"};
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    uint64_t bytes = 0;
    for (size_t i = 0; i < countof(sizes); i++) {
        struct hash hash = give(a, sizes[i], exts[i]);
        bytes += sizes[i];
        want(b, &hash, exts[i], a, NULL);
        assert_int_equal(b->done, i);
        until(b->done == i + 1);
        assert_int_equal(b->code, ERR_NONE);
        assert_true(holds(b, &hash, exts[i]));
    }
    assert_int_equal(net_stats(b->node.net).blob_bytes_in, bytes);
    assert_int_equal(net_stats(a->node.net).blob_bytes_out, bytes);
    until(net_stats(a->node.net).blobs_served == countof(sizes));
    assert_int_equal(partial_files(b), 0);
    stop_peer(a);
    stop_peer(b);
}

static void many_at_once_are_one_fetch(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    struct hash hash = give(a, MIB, "zst");
    for (int i = 0; i < 5; i++)
        want(b, &hash, "zst", a, NULL);
    until(b->done == 5);
    assert_int_equal(net_stats(b->node.net).blob_bytes_in, MIB);
    want(b, &hash, "zst", a, NULL); /* there already */
    until(b->done == 6);
    assert_int_equal(b->code, ERR_NONE);
    assert_int_equal(net_stats(b->node.net).blob_bytes_in, MIB);
    stop_peer(a);
    stop_peer(b);
}

static void hundreds_of_small_ones_take_turns(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    for (size_t i = 1; i <= 300; i++) {
        struct hash hash = give(a, i, "jsonl");
        want(b, &hash, "jsonl", a, NULL);
    }
    until(b->done == 300);
    assert_int_equal(net_stats(b->node.net).blobs_fetched, 300);
    assert_int_equal(net_stats(a->node.net).blobs_busy, 0);
    stop_peer(a);
    stop_peer(b);
}

static void small_ones_do_not_stand_in_line(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1);
    for (uint8_t i = 2; i <= 5; i++)
        start_peer(i);
    for (size_t len = 1; len <= 50; len++) {
        struct hash hash = give(a, len, "jsonl");
        for (size_t i = 1; i < 5; i++)
            want(&crowd[i], &hash, "jsonl", a, NULL);
    }
    for (size_t i = 1; i < 5; i++)
        until(crowd[i].done == 50 && crowd[i].code == ERR_NONE);
    assert_int_equal(net_stats(a->node.net).blobs_busy, 0);
    for (size_t i = 0; i < 5; i++)
        stop_peer(&crowd[i]);
}

/* ---- sources that fail ----------------------------------------------------------------------- */

static void another_source_goes_on_where_one_died(void **unused)
{
    (void)unused;
    static const uint64_t stages[] = {0, 1, 300 * KIB, MIB, 2 * MIB + 1, 4 * MIB - 1};
    for (size_t i = 0; i < countof(stages); i++) {
        struct peer_node *a = start_peer(1), *b = start_peer(2), *c = start_peer(3);
        struct hash hash = give(a, 4 * MIB, "zst");
        (void)give(b, 4 * MIB, "zst");
        want(c, &hash, "zst", a, b);
        until(net_stats(c->node.net).blob_bytes_in >= stages[i]);
        bool was_over = c->done > 0 || net_stats(c->node.net).blob_bytes_in == 4 * MIB;
        kill_peer(a);
        until(c->done == 1);
        assert_int_equal(c->code, ERR_NONE);
        assert_true(holds(c, &hash, "zst"));
        struct net_stats stats = net_stats(c->node.net);
        assert_int_equal(stats.blob_bytes_in, 4 * MIB); /* no byte twice */
        assert_int_equal(stats.blobs_resumed, stages[i] > 0 && !was_over);
        stop_peer(a);
        stop_peer(b);
        stop_peer(c);
        owned_mem char *wipe = mem_printf("%s/3", world_dir);
        struct err err = ERR_INIT;
        assert_int_equal(file_remove_tree(wipe, &err), 0);
    }
}

static void a_silent_source_is_left(void **unused)
{
    (void)unused;
    silent_ms = 100;
    struct peer_node *a = start_peer(1), *b = start_peer(2), *c = start_peer(3);
    struct hash hash = give(b, MIB, "zst");
    blobs_free(a->blobs); /* it is linked, and says nothing */
    a->blobs = NULL;
    want(c, &hash, "zst", a, b);
    until(c->done == 1);
    assert_int_equal(c->code, ERR_NONE);
    assert_int_equal(net_stats(c->node.net).blobs_timeouts, 1);
    assert_true(net_stats(a->node.net).blobs_unasked >= 1);
    stop_peer(a);
    stop_peer(b);
    stop_peer(c);
}

static void a_wrong_blob_is_taken_from_another(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {5 * MIB, 5 * MIB - 1, 5 * MIB + 1, 0, 256 * KIB};
    struct peer_node *a = start_peer(1), *b = start_peer(2), *c = start_peer(3);
    for (size_t i = 0; i < countof(sizes); i++) {
        struct hash hash = give(b, 5 * MIB - 100 * i - 8, "zst");
        owned_buf wrong = content(sizes[i]);
        give_wrong(a, &hash, "zst", buf_str(&wrong), sizes[i]);
        want(c, &hash, "zst", a, b);
        until(c->done == i + 1);
        assert_int_equal(c->code, ERR_NONE);
        assert_true(holds(c, &hash, "zst"));
        assert_int_equal(net_stats(c->node.net).blobs_corrupt, i + 1);
    }
    struct hash only = give(b, 77, "zst");
    give_wrong(a, &only, "zst", "wrong", 5);
    want(c, &only, "zst", a, NULL);
    until(c->done == countof(sizes) + 1);
    assert_int_equal(c->code, ERR_CORRUPT);
    assert_false(store_has_blob(c->store, &only, "zst"));
    store_flush(c->store); /* which removes them */
    assert_int_equal(partial_files(c), 0);
    stop_peer(a);
    stop_peer(b);
    stop_peer(c);
}

/* A part from one who lies, the rest from one who does not: in the end it is right. */
static void a_mixture_is_sorted_out(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1), *b = start_peer(2), *c = start_peer(3);
    struct hash hash = give(b, 4 * MIB, "zst");
    owned_buf wrong = content(4 * MIB);
    wrong.data[5] ^= 1;
    give_wrong(a, &hash, "zst", wrong.data, wrong.len);
    want(c, &hash, "zst", a, b);
    until(net_stats(c->node.net).blob_bytes_in >= MIB);
    kill_peer(a);
    until(c->done == 1);
    assert_int_equal(c->code, ERR_NONE);
    assert_true(holds(c, &hash, "zst"));
    assert_int_equal(net_stats(c->node.net).blobs_corrupt, 1);
    stop_peer(a);
    stop_peer(b);
    stop_peer(c);
}

static void nobody_has_it(void **unused)
{
    (void)unused;
    silent_ms = give_up_ms = 300;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    struct hash hash = hash_of("nowhere", 7);
    want(b, &hash, "zst", a, NULL);
    until(b->done == 1);
    assert_int_equal(b->code, ERR_NOT_FOUND);
    want(b, &hash, "zst", b, NULL); /* we ourselves are no source */
    until(b->done == 2);
    assert_int_equal(b->code, ERR_NOT_FOUND);
    kill_peer(a);
    want(b, &hash, "zst", a, NULL);
    until(b->done == 3);
    assert_int_equal(b->code, ERR_UNAVAILABLE);
    stop_peer(a);
    stop_peer(b);
}

/* One that died, or was never heard of, is not waited for as long as one that does not answer. */
static void who_is_nowhere_is_not_waited_for(void **unused)
{
    (void)unused;
    lost_ms = 200; /* and a minute for all others */
    struct peer_node *a = start_peer(1), *b = start_peer(2), *c = start_peer(3);
    struct hash hash = hash_of("nowhere", 7);
    struct peer_node stranger = {.node = {.id = 12345}};
    want(c, &hash, "zst", &stranger, a); /* who says that he has it not */
    until(c->done == 1);
    assert_int_equal(c->code, ERR_UNAVAILABLE);
    kill_peer(b);
    b->node.addr = (struct wire_addr){0};
    want(c, &hash, "zst", b, a);
    until(c->done == 2);
    assert_int_equal(c->code, ERR_UNAVAILABLE);
    stop_peer(a);
    stop_peer(b);
    stop_peer(c);
}

static void our_own_disk_may_fail(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    struct hash hash = give(a, MIB, "zst");
    struct err err = ERR_INIT;
    assert_int_equal(file_remove_tree(store_tmp_dir(b->store), &err), 0);
    want(b, &hash, "zst", a, NULL);
    until(b->done == 1);
    assert_int_equal(b->code, ERR_UNAVAILABLE);
    stop_peer(a);
    stop_peer(b);
}

/* ---- cancelled, kept ------------------------------------------------------------------------- */

static void who_asks_again_goes_on_where_it_was(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    struct hash hash = give(a, 4 * MIB, "zst");
    uint64_t ticket = want(b, &hash, "zst", a, NULL);
    until(net_stats(b->node.net).blob_bytes_in >= MIB);
    blobs_cancel(b->blobs, ticket);
    uint64_t before = net_stats(b->node.net).blob_bytes_in;
    assert_int_equal(partial_files(b), 1);
    until(net_stats(b->node.net).blobs_unasked > 0 || net_stats(a->node.net).strangers == 0);
    want(b, &hash, "zst", a, NULL);
    until(b->done == 1);
    assert_int_equal(b->code, ERR_NONE);
    assert_true(before < 4 * MIB);
    assert_int_equal(net_stats(b->node.net).blob_bytes_in, 4 * MIB);
    assert_true(holds(b, &hash, "zst"));
    blobs_cancel(b->blobs, ticket); /* long gone */
    stop_peer(a);
    stop_peer(b);
}

static void it_may_end_at_any_moment(void **unused)
{
    (void)unused;
    for (uint64_t at = 0; at <= 4; at++) {
        struct peer_node *a = start_peer(1), *b = start_peer(2);
        struct hash hash = give(a, MIB - 8 * at, "zst");
        want(b, &hash, "zst", a, NULL);
        until(net_stats(b->node.net).blob_bytes_in >= at * 256 * KIB - 8 * at * (at == 4));
        stop_peer(b); /* the store may still be adopting */
        stop_peer(a);
    }
}

/* ---- many who want it ------------------------------------------------------------------------ */

static void the_number_of_sources_grows(void **unused)
{
    (void)unused;
    struct peer_node *first = start_peer(1);
    struct hash hash = give(first, 4 * MIB, "zst");
    for (uint8_t i = 2; i <= CROWD; i++)
        want(start_peer(i), &hash, "zst", first, NULL);
    uint64_t given = 0;
    for (size_t i = 1; i < CROWD; i++) {
        until(crowd[i].done == 1);
        assert_int_equal(crowd[i].code, ERR_NONE);
        assert_int_equal(net_stats(crowd[i].node.net).blob_bytes_in, 4 * MIB);
    }
    for (size_t i = 1; i < CROWD; i++)
        given += net_stats(crowd[i].node.net).blob_bytes_out;
    struct net_stats stats = net_stats(first->node.net);
    print_message("         first gave %.1f blobs of %u, busy %u times\n",
                  (double)stats.blob_bytes_out / (4 * MIB), CROWD - 1, (unsigned)stats.blobs_busy);
    assert_true(stats.blobs_busy > 0);
    /* Those who got it gave it on. */
    assert_true(given > 0);
    assert_int_equal(given + stats.blob_bytes_out, (uint64_t)(CROWD - 1) * 4 * MIB);
    for (size_t i = 0; i < CROWD; i++)
        stop_peer(&crowd[i]);
}

/* ---- who has what ---------------------------------------------------------------------------- */

static void on_have(void *arg, uint64_t nid, const bool *have, size_t count)
{
    struct peer_node *self = arg;
    (void)nid;
    self->answers++;
    self->has_answer = have != NULL;
    if (have)
        memcpy(self->have, have, count * sizeof *have);
}

static void a_node_says_what_it_has(void **unused)
{
    (void)unused;
    silent_ms = 200;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    struct hash hashes[3] = {give(a, 100, "zst"), hash_of("none", 4), give(a, 200, "log")};
    blobs_ask(b->blobs, a->node.id, hashes, 3, on_have, b);
    assert_int_equal(b->answers, 0);
    until(b->answers == 1);
    assert_true(b->has_answer && b->have[0] && !b->have[1] && b->have[2]);
    blobs_ask(b->blobs, a->node.id, NULL, 0, on_have, b);
    until(b->answers == 2);
    assert_true(b->has_answer);
    blobs_ask(b->blobs, 4711, hashes, 3, on_have, b); /* nobody knows where that is */
    until(b->answers == 3);
    assert_false(b->has_answer);
    kill_peer(a);
    blobs_ask(b->blobs, a->node.id, hashes, 3, on_have, b);
    until(b->answers == 4);
    assert_false(b->has_answer);
    stop_peer(a);
    stop_peer(b);
}

/* ---- nonsense -------------------------------------------------------------------------------- */

static void send_msg(struct peer_node *from, const struct peer_node *to, const struct wire_msg *msg)
{
    owned_buf frame = BUF_INIT;
    wire_encode(msg, &frame);
    assert_int_equal(
        net_send_frame(from->node.net, to->node.id, &to->node.addr, frame.data, frame.len), 0);
}

static void nonsense_is_counted_and_changes_nothing(void **unused)
{
    (void)unused;
    struct peer_node *a = start_peer(1), *b = start_peer(2);
    struct hash hash = give(a, 1000, "zst"), none = hash_of("none", 4);
    struct wire_msg far = {.kind = WIRE_GET, .get = {.hash = hash, .off = 1000, .len = 10}};
    struct wire_msg farther = {.kind = WIRE_GET,
                               .get = {.hash = hash, .off = UINT64_MAX, .len = 1}};
    struct wire_msg nothing = {.kind = WIRE_GET, .get = {.hash = hash, .off = 0, .len = 0}};
    struct wire_msg unasked = {
        .kind = WIRE_DATA,
        .data = {.hash = none, .total = 3, .bytes = {(const uint8_t *)"abc", 3}}};
    struct wire_msg no = {.kind = WIRE_BLOB_ERR, .blob_err = {.hash = none, .why = WIRE_BLOB_NONE}};
    struct wire_msg have = {.kind = WIRE_HAVE, .have = {.rid = 99}};
    send_msg(b, a, &far);
    send_msg(b, a, &farther);
    send_msg(b, a, &nothing);
    send_msg(b, a, &unasked);
    send_msg(b, a, &no);
    send_msg(b, a, &have);
    const uint8_t broken[] = {0x92, WIRE_GET, 0xc4};
    assert_int_equal(net_send_frame(b->node.net, a->node.id, &a->node.addr, broken, sizeof broken),
                     0);
    until(net_stats(a->node.net).blobs_malformed == 4 && b->node.downs == 1);
    assert_int_equal(net_stats(a->node.net).blobs_unasked, 3);
    assert_int_equal(net_stats(a->node.net).blob_bytes_out, 0);
    assert_false(store_has_blob(a->store, &none, "zst"));
    want(b, &hash, "zst", a, NULL); /* and all is well */
    until(b->done == 1 && b->code == ERR_NONE);
    stop_peer(a);
    stop_peer(b);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(blobs_of_every_size_arrive),
        IN_WORLD(many_at_once_are_one_fetch),
        IN_WORLD(hundreds_of_small_ones_take_turns),
        IN_WORLD(small_ones_do_not_stand_in_line),
        IN_WORLD(another_source_goes_on_where_one_died),
        IN_WORLD(a_silent_source_is_left),
        IN_WORLD(a_wrong_blob_is_taken_from_another),
        IN_WORLD(a_mixture_is_sorted_out),
        IN_WORLD(nobody_has_it),
        IN_WORLD(who_is_nowhere_is_not_waited_for),
        IN_WORLD(our_own_disk_may_fail),
        IN_WORLD(who_asks_again_goes_on_where_it_was),
        IN_WORLD(it_may_end_at_any_moment),
        IN_WORLD(the_number_of_sources_grows),
        IN_WORLD(a_node_says_what_it_has),
        IN_WORLD(nonsense_is_counted_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("blobs", tests, NULL, NULL);
}
