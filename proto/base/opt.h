/* opt: options as rows of one table.
 *
 * A program describes each option once: flag, environment name, configuration key, type, bounds,
 * default, help. Parsing, validation, `--help`, shell completion and the README's table come from
 * those rows. A value is taken from the first place that gives one: flags, environment,
 * configuration file, default. What cannot be read is refused with words that name the place:
 *
 *     --slots 0: must be 1 to 512
 *     TESTMESH_SLOTS=many: not a number
 *     node.conf:3: slot: no such option; did you mean "slots"?
 *
 * Flags: `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`; a bool is `--name` or `--no-name`
 * or `--name=yes`; a list's flag may be repeated; `--` ends the options; options and operands may
 * mix. `-h` and `--help` are in every table. A configuration file has lines `key = value`, `#`
 * comments and blank lines; a list's key may be repeated. In the environment a list's items are
 * separated by commas.
 */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The type of a row, and of the member of the caller's struct at the row's offset. */
enum opt_type {
    OPT_STRING,   /* char *: owned, NULL where there is no default */
    OPT_INT,      /* int64_t */
    OPT_BYTES,    /* uint64_t: bytes; 4096, 64K, 512M, 2G, 1T (binary multiples) */
    OPT_DURATION, /* uint64_t: milliseconds; 250ms, 90s, 5m, 2h; a bare number is seconds */
    OPT_BOOL,     /* bool; yes, no, true, false, on, off, 1, 0 */
    OPT_LIST,     /* struct opt_list */
    OPT_CHOICE,   /* int: the index of the word in `choices` */
};

struct opt_list {
    char **items; /* owned, each owned; NULL when empty */
    size_t count;
};

void opt_list_fini(struct opt_list *self);
void opt_list_add(struct opt_list *self, const char *text); /* copies */

#define OPT_LIST_MAX  64   /* items that a list may have */
#define OPT_VALUE_MAX 4096 /* bytes that a value may have */

struct opt_row {
    const char *section; /* heading above this row in help; NULL: same section as the row before */
    const char *flag;    /* long name without the dashes */
    char short_flag;     /* 0: none */
    const char *env;     /* environment name; NULL: not read from there */
    const char *key;     /* configuration key; NULL: not read from there */
    enum opt_type type;
    int64_t min, max;      /* inclusive, for numbers, bytes and durations; max 0: no upper bound */
    const char *choices;   /* OPT_CHOICE: words separated by a blank */
    const char *fallback;  /* the default as a user would write it; NULL: none (0, false, empty) */
    const char *metavar;   /* what stands for the value in help: "N", "PATH"; NULL: by type */
    const char *zero_word; /* what 0 means, for help: "automatic", "no limit"; NULL: nothing
                              special; with it 0 is allowed beside min..max */
    const char *help;      /* one sentence without a final stop */
    size_t offset;         /* offsetof(the caller's struct, member) */
};

struct opt_table {
    const char *program;     /* "testmesh node" */
    const char *usage;       /* what follows the program in the usage line: "[options] PATH…" */
    const char *about;       /* one or two sentences for the top of the help */
    const char *config_flag; /* the OPT_STRING row that names the configuration file; NULL: none */
    const struct opt_row *rows;
    size_t row_count;
};

/* Where values come from. All borrowed; any may be NULL or empty. */
struct opt_input {
    int argc; /* arguments only: without the program's name and verb */
    char *const *argv;
    char *const *env;        /* "NAME=value" strings, NULL at the end; NULL: no environment */
    const char *config;      /* the text of a configuration file, zero-terminated */
    const char *config_name; /* its name in errors */
};

struct opt_parsed {
    struct opt_list operands;
    bool help; /* -h or --help was given; nothing has been validated then */
};

void opt_parsed_fini(struct opt_parsed *self);

/* Fills every row's member in `target` (a zeroed struct), and `parsed` (zeroed). Pure: no file or
 * environment is read but those in `in`. On failure `target` holds nothing that needs opt_fini().
 * Errors: ERR_INVALID. */
int opt_parse(const struct opt_table *table, const struct opt_input *in, void *target,
              struct opt_parsed *parsed, struct err *err) ERR_CHECKED;

/* opt_parse() with the process's environment and the configuration file that the table's
 * config_flag names by flag or environment (which must then exist). Errors: ERR_INVALID,
 * ERR_NOT_FOUND, ERR_IO. */
int opt_load(const struct opt_table *table, int argc, char *const *argv, void *target,
             struct opt_parsed *parsed, struct err *err) ERR_CHECKED;

/* Frees what opt_parse() put into `target`, and zeroes those members. */
void opt_fini(const struct opt_table *table, void *target);

/* Read one value as a row of that type would. Return false for anything else, or where the result
 * does not fit. */
bool opt_read_bytes(const char *text, uint64_t *out);
bool opt_read_duration_ms(const char *text, uint64_t *out);
bool opt_read_int(const char *text, int64_t *out);
bool opt_read_bool(const char *text, bool *out);

/* Appends the text for `--help`, wrapped at `width` columns (at least 60 are used). */
void opt_help(const struct opt_table *table, unsigned width, struct buf *out);

/* Appends a Markdown table of all options. */
void opt_markdown(const struct opt_table *table, struct buf *out);

/* Appends a bash completion script for `program`, whose first argument chooses one of `tables` by
 * the last word of its `program`. */
void opt_bash(const char *program, const struct opt_table *const *tables, size_t table_count,
              struct buf *out);

/* Returns the word of a blank-separated list that is nearest to `word` by edit distance, or NULL
 * when none is near. The result is borrowed from `words` and `*len` long. */
const char *opt_nearest(const char *word, const char *words, size_t *len);

#endif
