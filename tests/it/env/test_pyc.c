/* The byte code that environments share: who gets what, and who may put something there. */
#include "runner/env/pyc.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define CODE "0123456789abcdef and what it does"

static char *top;
static char *cache;
static char *last_dir;
static char *last_work;

static void write_file(const char *path, const char *text)
{
    struct err err = ERR_INIT;
    owned_mem char *folder = mem_strdup(path);
    *strrchr(folder, '/') = '\0';
    if (file_make_dirs(folder, 0755, &err) != 0 ||
        file_replace(path, text, strlen(text), 0644, &err) != 0)
        fail_msg("%s", err.text);
}

/* An environment `name` of one file. */
static struct pyc_place make_env(const char *name, const char *file, const char *source)
{
    free(last_dir);
    free(last_work);
    last_dir = mem_printf("%s/%s", top, name);
    last_work = mem_printf("%s/work-%s", top, name);
    owned_mem char *path = mem_printf("%s/lib/%s", last_dir, file);
    owned_mem char *in = mem_printf("%s/in/none", last_work);
    owned_mem char *out = mem_printf("%s/" PYC_OUT "/none", last_work);
    write_file(path, source);
    write_file(in, "");
    write_file(out, "");
    return (struct pyc_place){.dir = last_dir,
                              .root = "/env",
                              .work = last_work,
                              .cache = cache,
                              .tag = "cp",
                              .salt = "3.11"};
}

static struct pyc_count look(const struct pyc_place *place)
{
    struct err err = ERR_INIT;
    struct pyc_count count;
    if (pyc_look(place, &count, &err) != 0)
        fail_msg("%s", err.text);
    return count;
}

static void take(const struct pyc_place *place)
{
    struct err err = ERR_INIT;
    if (pyc_take(place, &err) != 0)
        fail_msg("%s", err.text);
}

/* Where the compiler is to write for the first line of the list. Owned. */
static char *out_path(const struct pyc_place *place)
{
    struct err err = ERR_INIT;
    owned_buf list = BUF_INIT;
    owned_mem char *path = mem_printf("%s/" PYC_LIST, place->work);
    if (file_read(path, 4096, &list, &err) != 0)
        fail_msg("%s", err.text);
    return mem_printf("%s/" PYC_OUT "/%.64s.pyc", place->work, buf_str(&list));
}

static void compile_as(const struct pyc_place *place, const char *code)
{
    owned_mem char *out = out_path(place);
    write_file(out, code);
}

static ino_t inode_of(const char *env, const char *file)
{
    struct stat info;
    owned_mem char *path = mem_printf("%s/%s/lib/%s", top, env, file);
    return lstat(path, &info) == 0 ? info.st_ino : 0;
}

static void assert_code(const char *env, const char *file, const char *wanted)
{
    struct err err = ERR_INIT;
    owned_buf text = BUF_INIT;
    owned_mem char *path = mem_printf("%s/%s/lib/%s", top, env, file);
    if (file_read(path, 4096, &text, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(buf_str(&text), wanted);
}

/* Compiles one file by way of the cache. */
static void feed(const char *env, const char *file, const char *source)
{
    struct pyc_place place = make_env(env, file, source);
    assert_int_equal(look(&place).misses, 1);
    compile_as(&place, CODE);
    take(&place);
}

/* ---- stories ---- */

static void the_same_file_is_compiled_once(void **unused)
{
    (void)unused;
    feed("a", "x.py", "x = 1\n");
    assert_code("a", "__pycache__/x.cp.pyc", CODE);
    struct pyc_place place = make_env("b", "x.py", "x = 1\n");
    struct pyc_count count = look(&place);
    assert_int_equal(count.hits, 1);
    assert_int_equal(count.misses, 0);
    take(&place);
    assert_int_equal(inode_of("a", "__pycache__/x.cp.pyc"), inode_of("b", "__pycache__/x.cp.pyc"));
}

static void what_differs_in_anything_misses(void **unused)
{
    (void)unused;
    feed("a", "x.py", "x = 1\n");
    struct pyc_place place = make_env("source", "x.py", "x = 2\n");
    assert_int_equal(look(&place).hits, 0);
    place = make_env("path", "y.py", "x = 1\n");
    assert_int_equal(look(&place).hits, 0);
    place = make_env("folder", "pkg/x.py", "x = 1\n");
    assert_int_equal(look(&place).hits, 0);
    place = make_env("python", "x.py", "x = 1\n");
    place.salt = "3.12";
    assert_int_equal(look(&place).hits, 0);
    place = make_env("root", "x.py", "x = 1\n");
    place.root = "/elsewhere";
    assert_int_equal(look(&place).hits, 0);
    place = make_env("right", "x.py", "x = 1\n");
    assert_int_equal(look(&place).hits, 1);
}

static void who_may_not_feed_does_not(void **unused)
{
    (void)unused;
    struct pyc_place place = make_env("strange", "x.py", "x = 1\n");
    assert_int_equal(look(&place).misses, 1);
    compile_as(&place, CODE);
    place.cache = NULL; /* the second half's, after a build that ran strangers' code */
    take(&place);
    assert_code("strange", "__pycache__/x.cp.pyc", CODE);
    place = make_env("next", "x.py", "x = 1\n");
    assert_int_equal(look(&place).hits, 0);
}

static void planted_code_gives_way(void **unused)
{
    (void)unused;
    feed("a", "x.py", "x = 1\n");
    struct pyc_place place = make_env("planted", "x.py", "x = 1\n");
    owned_mem char *planted = mem_printf("%s/lib/__pycache__/x.cp.pyc", place.dir);
    write_file(planted, "a stranger's byte code");
    assert_int_equal(look(&place).hits, 1);
    assert_code("planted", "__pycache__/x.cp.pyc", CODE);
    assert_code("a", "__pycache__/x.cp.pyc", CODE);
}

static void a_link_leads_nowhere(void **unused)
{
    (void)unused;
    feed("a", "x.py", "x = 1\n");
    owned_mem char *aim = mem_printf("%s/aim", top);
    owned_mem char *file = mem_printf("%s/aim/x.cp.pyc", top);
    write_file(file, "a file of the node's");
    struct pyc_place place = make_env("linked", "x.py", "x = 1\n");
    owned_mem char *folder = mem_printf("%s/lib/__pycache__", place.dir);
    assert_int_equal(symlink(aim, folder), 0);
    assert_int_equal(look(&place).hits, 0);
    compile_as(&place, CODE);
    take(&place);
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(file_read(file, 4096, &text, &err), 0);
    assert_string_equal(buf_str(&text), "a file of the node's");
}

static void assert_refused(struct pyc_place *place)
{
    take(place);
    assert_int_equal(inode_of("odd", "__pycache__/x.cp.pyc"), 0);
    assert_int_equal(look(place).hits, 0);
}

static void only_whole_files_of_its_own_are_taken(void **unused)
{
    (void)unused;
    struct pyc_place place = make_env("odd", "x.py", "x = 1\n");
    assert_int_equal(look(&place).misses, 1);
    owned_mem char *out = out_path(&place);
    owned_mem char *other = mem_printf("%s/other", top);
    write_file(other, CODE);
    assert_refused(&place); /* nothing was compiled */
    assert_int_equal(symlink(other, out), 0);
    assert_refused(&place);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(link(other, out), 0);
    assert_refused(&place);
    assert_int_equal(unlink(out), 0);
    write_file(out, "short");
    assert_refused(&place);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(mkfifo(out, 0644), 0);
    assert_refused(&place);
}

static void what_no_environment_uses_goes_first(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    feed("used", "x.py", "x = 1\n");
    feed("gone", "y.py", "y = 1\n");
    owned_mem char *gone = mem_printf("%s/gone", top);
    owned_mem char *work = mem_printf("%s/work-gone", top);
    assert_int_equal(file_remove_tree(gone, &err), 0);
    assert_int_equal(file_remove_tree(work, &err), 0);
    assert_int_equal(pyc_trim(cache, 1 << 20, &err), 0);
    struct pyc_place place = make_env("back", "y.py", "y = 1\n");
    assert_int_equal(look(&place).hits, 1);
    owned_mem char *back = mem_printf("%s/back", top);
    assert_int_equal(file_remove_tree(back, &err), 0);
    assert_int_equal(pyc_trim(cache, 0, &err), 0);
    place = make_env("again", "y.py", "y = 1\n");
    assert_int_equal(look(&place).hits, 0);
    place = make_env("still", "x.py", "x = 1\n");
    assert_int_equal(look(&place).hits, 1);
}

/* ---- set-up ---- */

static int set_up(void **unused)
{
    (void)unused;
    char name[] = "/tmp/testmesh-pyc-XXXXXX";
    if (mkdtemp(name) == NULL)
        return -1;
    top = mem_strdup(name);
    cache = mem_printf("%s/pyc", top);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    int rc = file_remove_tree(top, &err);
    free(steal_ptr(&top));
    free(steal_ptr(&cache));
    free(steal_ptr(&last_dir));
    free(steal_ptr(&last_work));
    return rc;
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_same_file_is_compiled_once),
        STORY(what_differs_in_anything_misses),
        STORY(who_may_not_feed_does_not),
        STORY(planted_code_gives_way),
        STORY(a_link_leads_nowhere),
        STORY(only_whole_files_of_its_own_are_taken),
        STORY(what_no_environment_uses_goes_first),
    };
    return cmocka_run_group_tests_name("pyc", tests, NULL, NULL);
}
