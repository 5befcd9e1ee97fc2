#include "proto/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_writer_places_commas(void **unused)
{
    (void)unused;
    owned_buf text = BUF_INIT;
    struct json_out out;
    json_out_init(&out, &text);
    json_out_open_object(&out);
    json_out_key_str(&out, "a", "x\"\\\n\x01");
    json_out_key(&out, "b");
    json_out_open_array(&out);
    json_out_int(&out, -1);
    json_out_real(&out, 2.50, 4);
    json_out_real(&out, -0.00001, 2);
    json_out_null(&out);
    json_out_open_object(&out);
    json_out_close_object(&out);
    json_out_close_array(&out);
    json_out_key_bool(&out, "c", true);
    json_out_close_object(&out);
    assert_string_equal(buf_str(&text),
                        "{\"a\":\"x\\\"\\\\\\n\\u0001\",\"b\":[-1,2.5,0,null,{}],\"c\":true}");
}

static void bytes_that_are_no_utf8_become_replacement_characters(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        owned_buf text = BUF_INIT;
        struct json_out out;
        json_out_init(&out, &text);
        json_out_str(&out, bad[i]);
        struct err err = ERR_INIT;
        json_t *back = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
        assert_non_null(back);
        json_decref(back);
        assert_null(json_in_parse(bad[i], 1, &err));
    }
}

static void the_reader_is_strict(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "", "{", "{\"a\":1,\"a\":2}", "[1]x", "[1e400]", "\"\\u0000\"", "nul"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR_INIT;
        assert_null(json_in_parse(bad[i], __builtin_strlen(bad[i]), &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_writer_places_commas),
        cmocka_unit_test(bytes_that_are_no_utf8_become_replacement_characters),
        cmocka_unit_test(the_reader_is_strict),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
