/* A repository's token, sealed. */
#include "node/eval/secret.h"
#include "tests/it/store/world.h"

#include <stdlib.h>

#define TOKEN "ghp_0f8fad5bd9cb469fa165"

static const struct hash body = {.bytes = {1, 2, 3}};
static struct keys old_ring, new_ring, both;
static struct secret given = {
    .host = (char[]){"git.example.org"}, .port = 8443, .token = (char[]){TOKEN}};

static int make_keys(void **state)
{
    (void)state;
    keys_from_name("old", &old_ring);
    keys_from_name("new", &new_ring);
    both = new_ring;
    both.key[both.count++] = old_ring.key[0];
    return 0;
}

static struct secret_place at(const struct keys *keys)
{
    return (struct secret_place){.keys = keys, .cluster = "testmesh", .store = store};
}

static bool opens(const struct secret_place *place, const struct hash *request,
                  const struct buf *sealed)
{
    struct secret out;
    struct err err = ERR_INIT;
    int rc = secret_unseal(place, request, sealed, &out, &err);
    if (!rc) {
        assert_string_equal(out.host, "git.example.org");
        assert_int_equal(out.port, 8443);
        assert_string_equal(out.token, TOKEN);
    } else {
        assert_int_equal(rc, ERR_CORRUPT);
        assert_null(out.token);
    }
    secret_close(&out);
    return rc == 0;
}

static void one_that_was_sealed_opens(void **unused)
{
    (void)unused;
    struct secret_place place = at(&old_ring);
    owned_buf sealed = BUF_INIT;
    owned_buf again = BUF_INIT;
    secret_seal(&place, &body, &given, &sealed);
    secret_seal(&place, &body, &given, &again);
    assert_true(opens(&place, &body, &sealed));
    assert_true(opens(&place, &body, &again));
    assert_memory_not_equal(sealed.data, again.data, sealed.len);
    assert_null(memmem(sealed.data, sealed.len, TOKEN, strlen(TOKEN)));
    assert_null(memmem(sealed.data, sealed.len, "git.example", 11));
}

static void a_ring_opens_what_any_of_its_keys_sealed(void **unused)
{
    (void)unused;
    struct secret_place before = at(&old_ring), turning = at(&both), after = at(&new_ring);
    owned_buf with_old = BUF_INIT;
    owned_buf with_both = BUF_INIT;
    secret_seal(&before, &body, &given, &with_old);
    secret_seal(&turning, &body, &given, &with_both);
    assert_true(opens(&turning, &body, &with_old));
    assert_true(opens(&after, &body, &with_both));
    assert_false(opens(&after, &body, &with_old));
}

static void it_is_of_one_request_and_one_cluster(void **unused)
{
    (void)unused;
    struct secret_place place = at(&old_ring), elsewhere = at(&old_ring);
    const struct hash other = {.bytes = {1, 2, 4}};
    owned_buf sealed = BUF_INIT;
    elsewhere.cluster = "another";
    secret_seal(&place, &body, &given, &sealed);
    assert_false(opens(&place, &other, &sealed));
    assert_false(opens(&elsewhere, &body, &sealed));
}

static void no_bit_can_be_changed_and_none_left_out(void **unused)
{
    (void)unused;
    struct secret_place place = at(&old_ring);
    owned_buf sealed = BUF_INIT;
    secret_seal(&place, &body, &given, &sealed);
    for (size_t i = 0; i < sealed.len * 8; i++) {
        sealed.data[i / 8] = (char)(sealed.data[i / 8] ^ 1 << i % 8);
        assert_false(opens(&place, &body, &sealed));
        sealed.data[i / 8] = (char)(sealed.data[i / 8] ^ 1 << i % 8);
    }
    size_t whole = sealed.len;
    for (sealed.len = 0; sealed.len < whole; sealed.len++)
        assert_false(opens(&place, &body, &sealed));
    assert_true(opens(&place, &body, &sealed));
}

static void it_is_read_from_its_blob(void **unused)
{
    (void)unused;
    opened();
    struct secret_place place = at(&old_ring);
    struct doc_req req = {.body = body};
    struct secret out;
    struct err err = ERR_INIT;
    owned_buf sealed = BUF_INIT;
    secret_seal(&place, &body, &given, &sealed);
    assert_int_equal(secret_open(&place, &req, &out, &err), ERR_NOT_FOUND); /* it has none */
    req.secret = hash_of(sealed.data, sealed.len);
    assert_int_equal(secret_open(&place, &req, &out, &err), ERR_NOT_FOUND); /* it is not here */
    store_put_blob(store, sealed.data, sealed.len, SECRET_EXT, NULL, NULL);
    store_flush(store);
    assert_int_equal(secret_open(&place, &req, &out, &err), 0);
    assert_string_equal(out.token, TOKEN);
    secret_close(&out);
    req.body.bytes[0]++;
    assert_int_equal(secret_open(&place, &req, &out, &err), ERR_CORRUPT);
    secret_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_sealed_opens),
        cmocka_unit_test(a_ring_opens_what_any_of_its_keys_sealed),
        cmocka_unit_test(it_is_of_one_request_and_one_cluster),
        cmocka_unit_test(no_bit_can_be_changed_and_none_left_out),
        cmocka_unit_test_setup_teardown(it_is_read_from_its_blob, fresh_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
