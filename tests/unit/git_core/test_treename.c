#include "proto/base/mem.h"
#include "runner/git/treename.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_of_gits_own_folder(void **unused)
{
    (void)unused;
    static const char *const same[] = {".git",
                                       ".GIT",
                                       ".Git",
                                       "git~1",
                                       "GIT~1",
                                       ".git.",
                                       ".git . ",
                                       ".git:$x",
                                       ".g\u200cit",
                                       "\ufeff.git",
                                       ".GI\u206aT",
                                       ".git::$INDEX_ALLOCATION",
                                       ".gi\u202et\u200d"};
    static const char *const other[] = {".gitignore", ".github", "git",   "git~2", ".gitx",
                                        "x.git",      ".gi",     "..git", ".git2", ".g it"};
    for (size_t i = 0; i < countof(same); i++)
        if (!git_treename_is_dot_git(same[i], strlen(same[i])))
            fail_msg("%s is one", same[i]);
    for (size_t i = 0; i < countof(other); i++)
        if (git_treename_is_dot_git(other[i], strlen(other[i])))
            fail_msg("%s is none", other[i]);
}

static void check(const char *path, const char *reason)
{
    struct err err = ERR_INIT;
    int rc = git_treename_check(path, 4, &err);
    if ((rc == 0) != (reason == NULL))
        fail_msg("%s: %s", path, rc ? err.text : "was taken");
    if (reason)
        assert_string_equal(err.reason, reason);
}

static void paths(void **unused)
{
    (void)unused;
    check("a/b/c.py", NULL);
    check("tests/t\u00e9st.py", NULL);
    check(".gitignore", NULL);
    check("a b/\u5b57", NULL);
    check("..", "archive-escape");
    check("a/..", "archive-escape");
    check("c:x", "archive-escape");
    check(".", "archive-bad-name");
    check("a/./b", "archive-bad-name");
    check("a\\b", "archive-bad-name");
    check("..\\x", "archive-escape");
    check("a\nb", "archive-bad-name");
    check("a\x1b[2J", "archive-bad-name");
    check("\xff\xfe", "archive-bad-name");
    check("a/.GIT/config", "archive-bad-name");
    check("a/b/c/d/e", "archive-too-deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_gits_own_folder),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
