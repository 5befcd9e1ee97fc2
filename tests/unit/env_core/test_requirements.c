#include "proto/base/mem.h"
#include "runner/env/requirements.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct requirements_policy urls_allowed = {.allow_urls = true};

static int parse(struct requirements *out, const char *text, struct err *err)
{
    return requirements_parse(out, text, strlen(text), NULL, err);
}

static void assert_becomes(const char *text, const char *canonical)
{
    owned_requirements got = REQUIREMENTS_INIT;
    owned_buf out = BUF_INIT;
    struct err err = ERR_INIT;
    if (requirements_parse(&got, text, strlen(text), &urls_allowed, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    requirements_format(&got, &out);
    assert_string_equal(buf_str(&out), canonical);
}

static void what_is_accepted_has_one_form(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *canonical;
    } rows[] = {
        {"", ""},
        {"# only a comment\n\n   \n", ""},
        {"Requests", "requests\n"},
        {"zope.interface  ==  5.0", "zope-interface==5.0\n"},
        {"a__b-.c", "a-b-c\n"},
        {"b\na\nb\n", "a\nb\n"},
        {"requests [socks, Security , socks] >=2 , <3", "requests[security,socks]<3,>=2\n"},
        {"requests (>=2)", "requests>=2\n"},
        {"pkg[]", "pkg\n"},
        {"pkg==1.0.* # why", "pkg==1.0.*\n"},
        {"pkg~=1.4.2,!=1.4.5", "pkg!=1.4.5,~=1.4.2\n"},
        {"pkg===weird+local", "pkg===weird+local\n"},
        {"pkg;python_version<'3.9'", "pkg ; python_version < '3.9'\n"},
        {"pkg>1;( os_name=='nt' or sys_platform not  in \"win32 linux\")and extra == 'x'",
         "pkg>1 ; (os_name == 'nt' or sys_platform not in \"win32 linux\") and extra == 'x'\n"},
        {"pkg ;", "pkg\n"},
        {"pkg==1 \\\n    --hash=sha256:"
         "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n",
         "--require-hashes\npkg==1 --hash=sha256:"
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"},
        {"pkg @ https://example.org/p-1.0-py3-none-any.whl#sha256=00 ; python_version > '3'",
         "pkg @ https://example.org/p-1.0-py3-none-any.whl#sha256=00 ; python_version > '3'\n"},
        {"--pre\npkg\n", "--pre\npkg\n"},
        {"--prefer-binary\n--no-binary :all:\n--only-binary=:all:\npkg", "pkg\n"},
        {"-e .\n.\n-e .[test,dev]\n--editable=.\n./\n\".[a]\"\npkg", "pkg\n"},
        {"a\r\nb\rc", "a\nb\nc\n"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        assert_becomes(rows[i].text, rows[i].canonical);
        assert_becomes(rows[i].canonical, rows[i].canonical);
    }
}

static void what_an_installer_must_not_see_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        {"-r /etc/passwd", "requirement-option"},
        {"-r/etc/passwd", "requirement-option"},
        {"--requirement=../x", "requirement-option"},
        {"-c /etc/shadow", "requirement-option"},
        {"--constraint /etc/shadow", "requirement-option"},
        {"-i https://x.example/simple", "requirement-option"},
        {"--index-url https://x.example/simple", "requirement-option"},
        {"--index-url=http://127.0.0.1/", "requirement-option"},
        {"--extra-index-url https://x.example/", "requirement-option"},
        {"--find-links /etc", "requirement-option"},
        {"-f file:///etc", "requirement-option"},
        {"--trusted-host x.example", "requirement-option"},
        {"--no-index", "requirement-option"},
        {"--pre --index-url https://x.example/", "requirement-option"},
        {"--config-settings=x", "requirement-option"},
        {"--target /usr", "requirement-option"},
        {"pkg --global-option=--x", "requirement-option"},
        {"pkg==1 --index-url https://x.example/", "requirement-option"},
        {"-e ../other", "requirement-source"},
        {"-e git+https://h.example/r.git#egg=r", "requirement-source"},
        {"--editable /srv", "requirement-source"},
        {"git+ssh://git@h.example/r.git", "requirement-source"},
        {"pkg @ git+https://h.example/r.git", "requirement-source"},
        {"pkg @ file:///etc/passwd", "requirement-source"},
        {"pkg @ http://h.example/p.whl", "requirement-source"},
        {"pkg @ ../p", "requirement-source"},
        {"pkg @ https://user:pass@h.example/p.whl", "requirement-source"},
        {"pkg @ https:///p.whl", "requirement-source"},
        {"pkg @ https://h.example/${HOME}", "requirement-source"},
        {"file:///etc/passwd", "requirement-source"},
        {"https://h.example/p.whl", "requirement-source"},
        {"./local", "requirement-source"},
        {"../local", "requirement-source"},
        {"/abs/local", "requirement-source"},
        {"~/local", "requirement-source"},
        {"C:\\local", "requirement-source"},
        {"sub/folder", "requirement-source"},
        {"pkg-1.0-py3-none-any.whl", "requirement-source"},
        {"pkg-1.0.tar.gz", "requirement-source"},
        {"=1", "requirement-syntax"},
        {"pkg=1", "requirement-syntax"},
        {"pkg==", "requirement-syntax"},
        {"pkg>=1 <2", "requirement-syntax"},
        {"pkg[a", "requirement-syntax"},
        {"pkg[a b]", "requirement-syntax"},
        {"pkg two", "requirement-syntax"},
        {"pkg ; os_name", "requirement-syntax"},
        {"pkg ; secret == 'x'", "requirement-syntax"},
        {"pkg ; (os_name == 'x'", "requirement-syntax"},
        {"pkg ; os_name == 'x' --index-url x", "requirement-option"},
        {"pkg ; os_name == 'x", "requirement-syntax"},
        {"pkg==1 --hash=md5:00", "requirement-syntax"},
        {"pkg==1 --hash=sha256:00", "requirement-syntax"},
        {"pkg\x01", "requirement-syntax"},
        {"pkg\x0b-r /etc/passwd", "requirement-syntax"},
        {"p\xc3\xa4kg", "requirement-syntax"},
        {"pkg\x7f", "requirement-syntax"},
        {"${HOME}", "requirement-syntax"},
        {"pkg==${X}", "requirement-syntax"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        owned_requirements got = REQUIREMENTS_INIT;
        struct err err = ERR_INIT;
        owned_mem char *text = mem_printf("good\n%s\n", rows[i].text);
        if (requirements_parse(&got, text, strlen(text), &urls_allowed, &err) != ERR_UNPROCESSABLE)
            fail_msg("%s was not refused", rows[i].text);
        if (strcmp(err_name(&err), rows[i].reason) != 0)
            fail_msg("%s: %s, not %s", rows[i].text, err_name(&err), rows[i].reason);
        assert_non_null(strstr(err.text, "line 2"));
        assert_int_equal(got.count, 1);
    }
}

static void a_url_needs_the_policy(void **unused)
{
    (void)unused;
    owned_requirements got = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&got, "pkg @ https://h.example/p.whl", &err), ERR_UNPROCESSABLE);
    assert_string_equal(err_name(&err), "requirement-source");
}

static void a_zero_byte_hides_nothing(void **unused)
{
    (void)unused;
    static const char text[] = "pkg\0-r /etc/passwd";
    owned_requirements got = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(requirements_parse(&got, text, sizeof text - 1, NULL, &err),
                     ERR_UNPROCESSABLE);
}

static void messages_name_the_users_own_file_and_line(void **unused)
{
    (void)unused;
    owned_requirements got = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&got,
                           "#line 1 \"requirements.txt\"\na\n#line 7 \"tests/need.txt\"\nb\n"
                           "-r /etc/passwd\n",
                           &err),
                     ERR_UNPROCESSABLE);
    assert_non_null(strstr(err.text, "tests/need.txt line 8: -r is refused"));
}

static void dropped_lines_leave_a_note(void **unused)
{
    (void)unused;
    owned_requirements got = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&got, "-e .\n--prefer-binary\nPyTest>=7\n", &err), 0);
    assert_int_equal(got.note_count, 2);
    assert_non_null(strstr(got.notes[0], "line 1: the project itself is not installed"));
    assert_true(requirements_has(&got, "pytest"));
    assert_false(requirements_has(&got, "py"));
}

static void assert_over_a_limit(const char *text, size_t len)
{
    owned_requirements got = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(requirements_parse(&got, text, len, NULL, &err), ERR_TOO_LARGE);
    assert_string_equal(err_name(&err), "requirement-limit");
}

static void sizes_are_limited(void **unused)
{
    (void)unused;
    owned_buf lines = BUF_INIT;
    for (int i = 0; i < 1000000; i++)
        buf_puts(&lines, "\n");
    assert_over_a_limit(buf_str(&lines), lines.len);
    for (int i = 0; i < 100000; i++)
        buf_puts(&lines, "\n");
    assert_over_a_limit(buf_str(&lines), lines.len);

    owned_buf line = BUF_INIT;
    for (int i = 0; i <= REQUIREMENTS_MAX_LINE; i++)
        buf_putc(&line, 'a');
    assert_over_a_limit(buf_str(&line), line.len);

    owned_buf folded = BUF_INIT;
    for (int i = 0; i <= REQUIREMENTS_MAX_LINE / 4; i++)
        buf_puts(&folded, "aaaa\\\n");
    assert_over_a_limit(buf_str(&folded), folded.len);

    owned_buf items = BUF_INIT;
    for (int i = 0; i <= REQUIREMENTS_MAX_ITEMS; i++)
        buf_printf(&items, "p%d\n", i);
    assert_over_a_limit(buf_str(&items), items.len);

    owned_buf nested = BUF_INIT;
    buf_puts(&nested, "p;");
    for (int i = 0; i < 5000; i++)
        buf_putc(&nested, '(');
    owned_requirements got = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&got, buf_str(&nested), &err), ERR_UNPROCESSABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_accepted_has_one_form),
        cmocka_unit_test(what_an_installer_must_not_see_is_refused),
        cmocka_unit_test(a_url_needs_the_policy),
        cmocka_unit_test(a_zero_byte_hides_nothing),
        cmocka_unit_test(messages_name_the_users_own_file_and_line),
        cmocka_unit_test(dropped_lines_leave_a_note),
        cmocka_unit_test(sizes_are_limited),
    };
    return cmocka_run_group_tests_name("requirements", tests, NULL, NULL);
}
