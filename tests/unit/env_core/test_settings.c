#include "runner/env/settings.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const operators[] = {
    "HOME=/root",
    "SECRET_TOKEN=abc",
    "SSL_CERT_FILE=/etc/ssl/certs/ca.crt",
    "PIP_CERT=/opt/ca.pem",
    "PIP_INDEX_URL=https://reader:hunter22@index.example/simple",
    "PIP_FIND_LINKS=/opt/wheels https://links.example/",
    "https_proxy=http://proxy.example:3128",
    NULL,
};

static bool has(const struct env_settings *self, const char *var)
{
    for (size_t i = 0; self->vars[i] != NULL; i++) {
        if (strcmp(self->vars[i], var) == 0)
            return true;
    }
    return false;
}

static void uv_is_told_in_its_own_words(void **unused)
{
    (void)unused;
    struct env_settings got;
    env_settings_init(&got, operators, true);
    assert_true(has(&got, "SSL_CERT_FILE=/etc/ssl/certs/ca.crt"));
    assert_true(has(&got, "UV_DEFAULT_INDEX=https://reader:hunter22@index.example/simple"));
    assert_true(has(&got, "UV_FIND_LINKS=/opt/wheels,https://links.example/"));
    assert_true(has(&got, "HTTPS_PROXY=http://proxy.example:3128"));
    size_t count = 0;
    while (got.vars[count] != NULL)
        count++;
    assert_int_equal(count, 4); /* and nothing else of the node's environment */
    env_settings_fini(&got);
}

static void pip_keeps_its_names_and_files_are_bound(void **unused)
{
    (void)unused;
    struct env_settings got;
    env_settings_init(&got, operators, false);
    assert_true(has(&got, "PIP_CERT=/opt/ca.pem"));
    assert_true(has(&got, "PIP_FIND_LINKS=/opt/wheels https://links.example/"));
    assert_int_equal(got.bind_count, 3);
    assert_string_equal(got.binds[0], "/etc/ssl/certs/ca.crt");
    assert_string_equal(got.binds[1], "/opt/ca.pem");
    assert_string_equal(got.binds[2], "/opt/wheels");
    env_settings_fini(&got);
}

static void secrets_are_blotted_out(void **unused)
{
    (void)unused;
    struct env_settings got;
    env_settings_init(&got, operators, false);
    static const char text[] = "GET https://reader:hunter22@index.example/simple and "
                               "http://other:word@h/x, hunter22, http://plain/a@b";
    owned_buf out = BUF_INIT;
    env_settings_redact(&got, text, strlen(text), &out);
    assert_string_equal(buf_str(&out), "GET https://***@index.example/simple and "
                                       "http://***@h/x, ***, http://plain/a@b");
    env_settings_fini(&got);
}

static void the_key_sees_the_index(void **unused)
{
    (void)unused;
    static const char *const bare[] = {"SSL_CERT_FILE=/x", NULL};
    struct env_settings a;
    struct env_settings b;
    env_settings_init(&a, operators, true);
    env_settings_init(&b, bare, true);
    assert_string_equal(b.index, "");
    assert_non_null(strstr(a.index, "index.example"));
    env_settings_fini(&a);
    env_settings_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uv_is_told_in_its_own_words),
        cmocka_unit_test(pip_keeps_its_names_and_files_are_bound),
        cmocka_unit_test(secrets_are_blotted_out),
        cmocka_unit_test(the_key_sees_the_index),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
