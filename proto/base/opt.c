#include "proto/base/opt_row.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE_MAX (1 << 20)
#define PLACE_MAX       256

enum origin { ORIGIN_NONE, ORIGIN_FLAG, ORIGIN_ENV, ORIGIN_CONFIG, ORIGIN_DEFAULT };

struct parse {
    const struct opt_table *table;
    const struct opt_input *in;
    char *target;
    uint8_t *origins; /* enum origin of each row's value */
    struct opt_parsed *parsed;
    enum origin origin; /* of the pass under way */
    unsigned line;      /* in the configuration file */
    struct err *err;
};

/* Takes a value unless a better source gave one. Within one source the last one counts, and a list
 * grows. */
static int take_value(struct parse *self, const struct opt_row *row, const char *text)
{
    uint8_t *origin = &self->origins[row - self->table->rows];
    if (*origin != ORIGIN_NONE && *origin != self->origin)
        return 0;
    *origin = (uint8_t)self->origin;
    char place[PLACE_MAX];
    struct opt_place where = {
        .text = place, .one_item = self->origin == ORIGIN_FLAG || self->origin == ORIGIN_CONFIG};
    if (self->origin == ORIGIN_ENV)
        snprintf(place, sizeof(place), "%s=", row->env);
    else if (self->origin == ORIGIN_CONFIG)
        snprintf(place, sizeof(place), "%.120s:%u: %s = ", self->in->config_name, self->line,
                 row->key);
    else
        snprintf(place, sizeof(place), "--%s ", row->flag);
    return opt_row_set(row, &where, text, self->target, self->err);
}

static const struct opt_row *find_flag(const struct opt_table *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const char *flag = table->rows[i].flag;
        if (strlen(flag) == len && memcmp(flag, name, len) == 0)
            return &table->rows[i];
    }
    return NULL;
}

static const struct opt_row *find_short(const struct opt_table *table, char letter)
{
    for (size_t i = 0; i < table->row_count; i++) {
        if (table->rows[i].short_flag == letter)
            return &table->rows[i];
    }
    return NULL;
}

static int refuse_unknown(struct parse *self, const char *prefix, const char *name, bool keys)
{
    owned_buf words = BUF_INIT;
    for (size_t i = 0; i < self->table->row_count; i++) {
        const struct opt_row *row = &self->table->rows[i];
        const char *word = keys ? row->key : row->flag;
        if (word != NULL)
            buf_printf(&words, "%s ", word);
    }
    owned_buf shown = BUF_INIT;
    opt_show_value(name, &shown);
    size_t len = 0;
    const char *near = opt_nearest(name, buf_str(&words), &len);
    if (near == NULL)
        return err_set(self->err, ERR_INVALID, "%s%s: no such option", prefix, buf_str(&shown));
    return err_set(self->err, ERR_INVALID, "%s%s: no such option; did you mean %s%.*s?", prefix,
                   buf_str(&shown), keys ? "" : "--", (int)len, near);
}

/* Reads "--name", "--name=value", "--no-name" at argv[*at]; moves *at over a value of its own. */
static int take_long(struct parse *self, int *at)
{
    const char *name = self->in->argv[*at] + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct opt_row *row = find_flag(self->table, name, len);
    if (row == NULL && value == NULL && strncmp(name, "no-", 3) == 0) {
        row = find_flag(self->table, name + 3, len - 3);
        if (row != NULL && row->type == OPT_BOOL)
            return take_value(self, row, "no");
        row = NULL;
    }
    if (row == NULL) {
        owned_mem char *word = mem_strndup(name, len);
        return refuse_unknown(self, "--", word, false);
    }
    if (value == NULL && row->type == OPT_BOOL)
        return take_value(self, row, "yes");
    if (value == NULL) {
        if (*at + 1 >= self->in->argc)
            return err_set(self->err, ERR_INVALID, "--%s: needs a value", row->flag);
        value = self->in->argv[++*at];
    }
    return take_value(self, row, value);
}

/* Reads "-x", "-xVALUE", "-x VALUE" or several bools in one word. */
static int take_short(struct parse *self, int *at)
{
    for (const char *letter = self->in->argv[*at] + 1; *letter != '\0'; letter++) {
        const struct opt_row *row = find_short(self->table, *letter);
        char word[2] = {*letter, '\0'};
        if (row == NULL)
            return refuse_unknown(self, "-", word, false);
        if (row->type == OPT_BOOL) {
            int rc = take_value(self, row, "yes");
            if (rc != 0)
                return rc;
            continue;
        }
        if (letter[1] != '\0')
            return take_value(self, row, letter + 1);
        if (*at + 1 >= self->in->argc)
            return err_set(self->err, ERR_INVALID, "-%c: needs a value", *letter);
        return take_value(self, row, self->in->argv[++*at]);
    }
    return 0;
}

static int take_arguments(struct parse *self)
{
    bool only_operands = false;
    int rc = 0;
    self->origin = ORIGIN_FLAG;
    for (int i = 0; i < self->in->argc && rc == 0; i++) {
        const char *word = self->in->argv[i];
        if (only_operands || word[0] != '-' || word[1] == '\0')
            opt_list_add(&self->parsed->operands, word);
        else if (strcmp(word, "--") == 0)
            only_operands = true;
        else if (word[1] == '-')
            rc = take_long(self, &i);
        else
            rc = take_short(self, &i);
    }
    return rc;
}

static bool asks_for_help(const struct opt_input *in)
{
    for (int i = 0; i < in->argc && strcmp(in->argv[i], "--") != 0; i++) {
        if (strcmp(in->argv[i], "--help") == 0 || strcmp(in->argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static const char *find_env(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (; env != NULL && *env != NULL; env++) {
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    }
    return NULL;
}

/* An empty variable counts as absent: `TESTMESH_SLOTS= testmesh node` unsets it. */
static int take_environment(struct parse *self)
{
    self->origin = ORIGIN_ENV;
    for (size_t i = 0; i < self->table->row_count; i++) {
        const struct opt_row *row = &self->table->rows[i];
        const char *value = row->env != NULL ? find_env(self->in->env, row->env) : NULL;
        int rc = value != NULL && *value != '\0' ? take_value(self, row, value) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Cuts blanks from both ends of `text`, in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
        text[--len] = '\0';
    return text;
}

static int take_config_line(struct parse *self, char *line)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return 0;
    char place[PLACE_MAX];
    snprintf(place, sizeof(place), "%.120s:%u: ", self->in->config_name, self->line);
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return err_set(self->err, ERR_INVALID, "%snot of the form key = value", place);
    *equals = '\0';
    char *key = trim(line);
    for (size_t i = 0; i < self->table->row_count; i++) {
        const struct opt_row *row = &self->table->rows[i];
        if (row->key != NULL && strcmp(row->key, key) == 0)
            return take_value(self, row, trim(equals + 1));
    }
    return refuse_unknown(self, place, key, true);
}

static int take_config(struct parse *self)
{
    self->origin = ORIGIN_CONFIG;
    const char *text = self->in->config;
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "\n");
        owned_mem char *line = mem_strndup(text, len);
        self->line++;
        int rc = take_config_line(self, line);
        if (rc != 0)
            return rc;
        text += len + (text[len] == '\n');
    }
    return 0;
}

static void take_defaults(struct parse *self)
{
    self->origin = ORIGIN_DEFAULT;
    for (size_t i = 0; i < self->table->row_count; i++) {
        const struct opt_row *row = &self->table->rows[i];
        int rc = row->fallback != NULL ? take_value(self, row, row->fallback) : 0;
        assert(rc == 0); /* a default that its own row refuses is a bug of the table */
    }
}

int opt_parse(const struct opt_table *table, const struct opt_input *in, void *target,
              struct opt_parsed *parsed, struct err *err)
{
    parsed->help = asks_for_help(in);
    if (parsed->help)
        return 0;
    owned_mem uint8_t *origins = mem_new_array(table->row_count, 1);
    struct parse self = {.table = table,
                         .in = in,
                         .target = target,
                         .origins = origins,
                         .parsed = parsed,
                         .err = err};
    int rc = take_arguments(&self);
    if (rc == 0)
        rc = take_environment(&self);
    if (rc == 0)
        rc = take_config(&self);
    if (rc == 0) {
        take_defaults(&self);
        return 0;
    }
    opt_fini(table, target);
    opt_parsed_fini(parsed);
    return rc;
}

/* The first parse is without the file, only to learn its name. */
int opt_load(const struct opt_table *table, int argc, char *const *argv, void *target,
             struct opt_parsed *parsed, struct err *err)
{
    struct opt_input in = {.argc = argc, .argv = argv, .env = environ};
    int rc = opt_parse(table, &in, target, parsed, err);
    if (rc != 0 || parsed->help || table->config_flag == NULL)
        return rc;
    const struct opt_row *row = find_flag(table, table->config_flag, strlen(table->config_flag));
    assert(row != NULL && row->type == OPT_STRING);
    const char *named = *(char **)(void *)((char *)target + row->offset);
    if (named == NULL)
        return 0;
    owned_mem char *path = mem_strdup(named);
    opt_fini(table, target);
    opt_parsed_fini(parsed);
    owned_buf text = BUF_INIT;
    rc = file_read(path, CONFIG_FILE_MAX, &text, err);
    if (rc != 0)
        return err_wrap(err, "--%s", table->config_flag);
    in.config = buf_str(&text);
    if (strlen(in.config) != text.len)
        return err_set(err, ERR_INVALID, "%s: not a text file", path);
    in.config_name = path;
    return opt_parse(table, &in, target, parsed, err);
}

void opt_fini(const struct opt_table *table, void *target)
{
    for (size_t i = 0; i < table->row_count; i++) {
        void *at = (char *)target + table->rows[i].offset;
        if (table->rows[i].type == OPT_STRING) {
            mem_free_at(at);
        } else if (table->rows[i].type == OPT_LIST) {
            opt_list_fini(at);
        }
    }
}
