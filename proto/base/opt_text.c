/* What the option table says about itself: help, Markdown, shell completion. */
#include "proto/base/opt_row.h"

#include "proto/base/mem.h"

#include <string.h>

#define WIDTH_MIN   60
#define HELP_COLUMN 30 /* where the sentences of --help begin */

static const char *metavar_of(const struct opt_row *row)
{
    if (row->metavar != NULL)
        return row->metavar;
    switch (row->type) {
    case OPT_INT:
        return "N";
    case OPT_BYTES:
        return "SIZE";
    case OPT_DURATION:
        return "TIME";
    case OPT_BOOL:
        return "";
    case OPT_CHOICE:
        return "WORD";
    case OPT_STRING:
    case OPT_LIST:
        return "TEXT";
    }
    return "";
}

/* A bool that is on by default is shown in the form that changes something. */
static bool is_on(const struct opt_row *row)
{
    bool on = false;
    return row->type == OPT_BOOL && row->fallback != NULL && opt_read_bool(row->fallback, &on) &&
           on;
}

static void show_flag(const struct opt_row *row, struct buf *out)
{
    if (row->short_flag != 0)
        buf_printf(out, "-%c, ", row->short_flag);
    const char *metavar = metavar_of(row);
    buf_printf(out, "--%s%s%s%s", is_on(row) ? "no-" : "", row->flag, *metavar ? " " : "", metavar);
}

/* "automatic", "5m", "none": the default in words. */
static void show_default(const struct opt_row *row, struct buf *out)
{
    bool zero = row->fallback != NULL && strcmp(row->fallback, "0") == 0;
    if (zero && row->zero_word != NULL)
        buf_puts(out, row->zero_word);
    else if (row->fallback != NULL)
        buf_puts(out, row->fallback);
    else if (row->type == OPT_BOOL)
        buf_puts(out, "no");
}

static void show_range(const struct opt_row *row, struct buf *out)
{
    if (row->type == OPT_CHOICE) {
        for (const char *c = row->choices; *c != '\0'; c++)
            buf_puts(out, *c == ' ' ? ", " : (char[]){*c, '\0'});
    } else if (row->type == OPT_INT || row->type == OPT_BYTES || row->type == OPT_DURATION) {
        if (row->max == 0 && row->min == 0)
            return;
        opt_show_bounds(row, out);
        if (row->zero_word != NULL)
            buf_printf(out, ", 0: %s", row->zero_word);
    } else if (row->type == OPT_LIST) {
        buf_puts(out, "may be repeated");
    }
}

/* The sentence and what is known besides: "Modules at once (1 to 512; default 4; $NAME)". */
static void describe(const struct opt_row *row, struct buf *out)
{
    owned_buf range = BUF_INIT;
    owned_buf fallback = BUF_INIT;
    show_range(row, &range);
    if (row->type != OPT_BOOL)
        show_default(row, &fallback);
    buf_puts(out, row->help);
    const char *before = " (";
    if (range.len > 0) {
        buf_printf(out, "%s%s", before, buf_str(&range));
        before = "; ";
    }
    if (fallback.len > 0) {
        buf_printf(out, "%sdefault %s", before, buf_str(&fallback));
        before = "; ";
    }
    if (row->env != NULL) {
        buf_printf(out, "%s$%s", before, row->env);
        before = "; ";
    }
    if (strcmp(before, "; ") == 0)
        buf_puts(out, ")");
}

/* Columns that a text takes: bytes that continue a UTF-8 character take none. */
static size_t columns(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* Appends words, breaking lines before `width`; `at` is the column now, lines begin at `indent`. */
static void wrap(const char *text, size_t at, size_t indent, size_t width, struct buf *out)
{
    bool first = true;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        size_t wide = columns(text, len);
        if (!first && at + 1 + wide > width) {
            buf_printf(out, "\n%*s", (int)indent, "");
            at = indent;
            first = true;
        }
        if (!first)
            buf_putc(out, ' ');
        buf_append(out, text, len);
        at += wide + (first ? 0 : 1);
        first = false;
        text += len + (text[len] == ' ');
    }
    buf_putc(out, '\n');
}

static void help_row(const struct opt_row *row, size_t width, struct buf *out)
{
    owned_buf flag = BUF_INIT;
    owned_buf text = BUF_INIT;
    buf_puts(&flag, row->short_flag != 0 ? "  " : "      ");
    show_flag(row, &flag);
    describe(row, &text);
    buf_puts(out, buf_str(&flag));
    size_t at = columns(buf_str(&flag), flag.len);
    if (at + 2 > HELP_COLUMN) {
        buf_putc(out, '\n');
        at = 0;
    }
    buf_printf(out, "%*s", (int)(HELP_COLUMN - at), "");
    wrap(buf_str(&text), HELP_COLUMN, HELP_COLUMN, width, out);
}

void opt_help(const struct opt_table *table, unsigned width, struct buf *out)
{
    if (width < WIDTH_MIN)
        width = WIDTH_MIN;
    buf_printf(out, "Usage: %s %s\n\n", table->program, table->usage);
    wrap(table->about, 0, 0, width, out);
    for (size_t i = 0; i < table->row_count; i++) {
        const struct opt_row *row = &table->rows[i];
        if (row->section != NULL || i == 0)
            buf_printf(out, "\n%s:\n", row->section != NULL ? row->section : "Options");
        help_row(row, width, out);
    }
    buf_printf(out, "%s  -h, --help%*sShow this text\n",
               table->row_count == 0 ? "\nOptions:\n" : "", HELP_COLUMN - 12, "");
}

/* A cell's text: `|` would end it. */
static void cell(const char *text, struct buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            buf_putc(out, '\\');
        buf_putc(out, *text);
    }
}

static void code_cell(const char *text, struct buf *out)
{
    if (*text == '\0')
        return;
    buf_putc(out, '`');
    cell(text, out);
    buf_putc(out, '`');
}

static void markdown_row(const struct opt_row *row, struct buf *out)
{
    owned_buf part = BUF_INIT;
    show_flag(row, &part);
    buf_puts(out, "| ");
    code_cell(buf_str(&part), out);
    buf_puts(out, " | ");
    buf_clear(&part);
    if (row->type != OPT_BOOL)
        show_default(row, &part);
    cell(buf_str(&part), out);
    buf_puts(out, " | ");
    code_cell(row->env != NULL ? row->env : "", out);
    buf_puts(out, " | ");
    cell(row->help, out);
    buf_clear(&part);
    show_range(row, &part);
    if (part.len > 0) {
        buf_puts(out, " (");
        cell(buf_str(&part), out);
        buf_puts(out, ")");
    }
    buf_puts(out, " |\n");
}

void opt_markdown(const struct opt_table *table, struct buf *out)
{
    buf_puts(out, "| Option | Default | Environment | Meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < table->row_count; i++) {
        const struct opt_row *row = &table->rows[i];
        if (row->section != NULL)
            buf_printf(out, "| **%s** | | | |\n", row->section);
        markdown_row(row, out);
    }
}

static const char *verb_of(const struct opt_table *table)
{
    const char *blank = strrchr(table->program, ' ');
    return blank != NULL ? blank + 1 : table->program;
}

void opt_bash(const char *program, const struct opt_table *const *tables, size_t table_count,
              struct buf *out)
{
    buf_printf(out,
               "# bash completion for %s\n_%s() {\n"
               "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
               "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"",
               program, program);
    for (size_t i = 0; i < table_count; i++)
        buf_printf(out, "%s%s", i > 0 ? " " : "", verb_of(tables[i]));
    buf_puts(out, "\"\n    elif [[ $word == -* ]]; then\n        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < table_count; i++) {
        buf_printf(out, "        %s) words=\"", verb_of(tables[i]));
        for (size_t j = 0; j < tables[i]->row_count; j++) {
            const struct opt_row *row = &tables[i]->rows[j];
            buf_printf(out, "--%s%s ", is_on(row) ? "no-" : "", row->flag);
        }
        buf_puts(out, "--help\" ;;\n");
    }
    buf_printf(out,
               "        esac\n    fi\n    if [ -n \"$words\" ]; then\n"
               "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n    else\n"
               "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n    fi\n}\n"
               "complete -o filenames -F _%s %s\n",
               program, program);
}
