#include "node/http/multipart.h"
#include "node/http/problem.h"
#include "proto/base/mem.h"
#include "tests/lib/http_transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIELD(name) "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define LAST        "\r\n--b--\r\n"

static struct buf understood;

/* What a body is taken apart into, the same for every cut. */
static const char *parts_of(const char *body)
{
    size_t len = strlen(body);
    buf_clear(&understood);
    transcript_multipart(&understood, "b", body, len, (struct transcript_cut){0});
    for (size_t cut = 1; cut < len; cut++) {
        owned_buf other = BUF_INIT;
        transcript_multipart(&other, "b", body, len,
                             (struct transcript_cut){.size = cut, .once = cut > 3});
        assert_string_equal(buf_str(&other), buf_str(&understood));
    }
    return buf_str(&understood);
}

static void ends_with(const char *body, const char *reason)
{
    const char *parts = parts_of(body);
    assert_true(strlen(parts) > strlen(reason));
    const char *last = parts + strlen(parts) - strlen(reason) - 1;
    assert_memory_equal(last, reason, strlen(reason));
    if (strcmp(reason, "whole") != 0)
        assert_non_null(problem_find(reason));
}

static void a_form_is_taken_apart(void **unused)
{
    (void)unused;
    assert_string_equal(
        parts_of(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".zip\"\r\n"
            "Content-Type: Application/ZIP; x=y\r\n\r\nPK\r\n" FIELD("n") "v" LAST),
        "part file file=a \"b\".zip type=application/zip:PK\nended\n"
        "part n file=- type=text/plain:v\nended\nwhole\n");
}

static void names_are_what_the_client_wrote(void **unused)
{
    (void)unused;
    assert_string_equal(parts_of("--b\r\ncontent-disposition:form-data;name=file;filename=\"C:"
                                 "\\tmp\\x;y.zip\"\r\n\r\n" LAST),
                        "part file file=C:\\tmp\\x;y.zip type=text/plain:\nended\nwhole\n");
    assert_string_equal(
        parts_of("--b\r\nContent-Disposition: form-data; name=f; filename*=UTF-8''%c3%a9.zip; "
                 "filename=\"e.zip\"\r\n\r\n" LAST),
        "part f file=\xc3\xa9.zip type=text/plain:\nended\nwhole\n");
    /* A file name that climbs is only a word here; nobody makes a path of it. */
    assert_string_equal(parts_of("--b\r\nContent-Disposition: form-data; name=f; "
                                 "filename=\"../../app/x.py\"\r\n\r\n" LAST),
                        "part f file=../../app/x.py type=text/plain:\nended\nwhole\n");
}

static void a_boundary_inside_data_is_data(void **unused)
{
    (void)unused;
    static const char *const inside[] = {
        "--b",
        "x\r\n--bx",
        "x--b--",
        "\r\n--b -",
        "\r\n--b\r\r\n",
        "\r\n-\r\n-",
        "\r\r\n--a",
        "\r\n--b-x",
        "\n--b\n--b--",
        "\r\n--b-\r\n--bb",
        "\r\n--b\r",
        "\r\n\r\n--\r\n",
        "\r\n--b\r\r\n--b-",
    };
    for (size_t i = 0; i < countof(inside); i++) {
        owned_buf body = BUF_INIT;
        owned_buf want = BUF_INIT;
        buf_printf(&body, FIELD("n") "%s" LAST, inside[i]);
        buf_printf(&want, "part n file=- type=text/plain:%s\nended\nwhole\n", inside[i]);
        assert_string_equal(parts_of(buf_str(&body)), buf_str(&want));
    }
}

static void what_is_around_the_parts_is_skipped(void **unused)
{
    (void)unused;
    assert_string_equal(parts_of("\r\n" FIELD("n") "v" LAST "epilogue\r\n--b\r\n"),
                        "part n file=- type=text/plain:v\nended\nwhole\n");
    assert_string_equal(parts_of("--b--"), "whole\n");
}

static void what_is_no_form_is_refused_by_name(void **unused)
{
    (void)unused;
    ends_with("", "form-start");
    ends_with("PK", "form-start");
    ends_with("--c\r\n", "form-start");
    ends_with("--b\r\n", "form-truncated");
    ends_with(FIELD("n"), "form-truncated");
    ends_with(FIELD("n") "v\r\n--b", "form-truncated");
    ends_with(FIELD("n") "v\r\n--b-", "form-truncated");
    ends_with(FIELD("n") "v\r\n--b\r\n", "form-truncated");
    ends_with("--b\r\n\r\nv" LAST, "form-disposition");
    ends_with("--b\r\nContent-Disposition: attachment; name=x\r\n\r\nv" LAST, "form-disposition");
    ends_with("--b\r\nContent-Disposition: form-data\r\n\r\nv" LAST, "form-disposition");
    ends_with("--b\r\nContent-Disposition: form-data; name=\"x\r\n\r\nv" LAST, "form-disposition");
    ends_with("--b\r\nContent-Disposition: form-data; name=a b\r\n\r\nv" LAST, "form-disposition");
    ends_with("--b\r\nno header\r\n\r\nv" LAST, "form-header");
    ends_with("--b\r\nX: \x01\r\n\r\nv" LAST, "form-header");
    ends_with("--b\r\nX: y\n\r\nv" LAST, "form-header");
    ends_with("--b\r\nContent-Transfer-Encoding: base64\r\n\r\nv" LAST, "form-encoding");
}

static void parts_and_their_headers_have_limits(void **unused)
{
    (void)unused;
    owned_buf body = BUF_INIT;
    for (int i = 0; i < 9; i++)
        buf_puts(&body, FIELD("n") "v\r\n");
    ends_with(buf_str(&body), "form-too-many-parts");

    owned_buf header = BUF_INIT;
    buf_printf(&header, "--b\r\nX: %09000d", 0);
    buf_clear(&understood);
    transcript_multipart(&understood, "b", header.data, header.len, (struct transcript_cut){0});
    assert_string_equal(buf_str(&understood), "form-header-too-large\n");

    owned_buf preamble = BUF_INIT;
    buf_printf(&preamble, "%01100d", 0);
    buf_clear(&understood);
    transcript_multipart(&understood, "b", preamble.data, preamble.len, (struct transcript_cut){0});
    assert_string_equal(buf_str(&understood), "form-start\n");
}

static void a_boundary_comes_from_the_content_type(void **unused)
{
    (void)unused;
    char got[MEDIA_BOUNDARY_MAX + 1];
    assert_true(media_boundary("multipart/form-data; boundary=abc", got));
    assert_string_equal(got, "abc");
    assert_true(media_boundary("multipart/form-data;charset=x;BOUNDARY=\"a b\" ", got));
    assert_string_equal(got, "a b");
    /* curl -H 'Content-Type: multipart/form-data; boundary=mine' -F ... appends the one it uses. */
    assert_true(media_boundary("multipart/form-data; boundary=mine; boundary=curls", got));
    assert_string_equal(got, "curls");

    char text[300];
    memset(text, 'x', sizeof text);
    memcpy(text, "m/f; boundary=", 14);
    text[14 + 70] = '\0';
    assert_true(media_boundary(text, got));
    text[14 + 70] = 'x';
    text[14 + 71] = '\0';
    assert_false(media_boundary(text, got));
    text[14 + 71] = 'x';
    text[14 + 256] = '\0';
    assert_false(media_boundary(text, got));
    assert_false(media_boundary("multipart/form-data", got));
    assert_false(media_boundary("multipart/form-data; boundary=", got));
    assert_false(media_boundary("multipart/form-data; boundary=\"\"", got));
    assert_false(media_boundary("multipart/form-data; boundary=\"a", got));
    assert_false(media_boundary("multipart/form-data; boundary=\"a\"b", got));
    assert_false(media_boundary("multipart/form-data; boundary=\"a \"", got));
    assert_false(media_boundary("multipart/form-data; boundary=a\x01", got));
    assert_false(media_boundary("multipart/form-data; boundary=a; =b", got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_taken_apart),
        cmocka_unit_test(names_are_what_the_client_wrote),
        cmocka_unit_test(a_boundary_inside_data_is_data),
        cmocka_unit_test(what_is_around_the_parts_is_skipped),
        cmocka_unit_test(what_is_no_form_is_refused_by_name),
        cmocka_unit_test(parts_and_their_headers_have_limits),
        cmocka_unit_test(a_boundary_comes_from_the_content_type),
    };
    int failed = cmocka_run_group_tests_name("multipart", tests, NULL, NULL);
    buf_fini(&understood);
    return failed;
}
