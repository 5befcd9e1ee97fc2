#include "cli/report.h"

#include "cli/text.h"
#include "proto/base/mem.h"

#include <string.h>

#define NAME_SHOWN    512
#define MESSAGE_SHOWN 300
#define MESSAGE_LINES 3
#define NOTE_SHOWN    200
#define NOTE_SHORT    60 /* a first line that leaves room for another */
#define NAME_WIDTH    40 /* of a project, where the terminal does not say otherwise */
#define BAR_WIDTH     20
#define TOTAL_MANY    "all together"

/* Takes the next line that is not empty from *text; returns it without blanks before it, owned, or
 * NULL at the end. */
static char *next_line(const char **text)
{
    *text += strspn(*text, " \r\n\t");
    if (**text == '\0')
        return NULL;
    size_t len = strcspn(*text, "\n");
    char *line = mem_strndup(*text, len);
    *text += len;
    return line;
}

/* The first line says it mostly; an installer says what went wrong in the first and why in the
 * second. */
static void put_note_lines(const char *text, struct buf *out)
{
    owned_mem char *first = next_line(&text);
    owned_mem char *second = next_line(&text);
    owned_mem char *both =
        second == NULL || strlen(first) > NOTE_SHORT ? NULL : mem_printf("%s; %s", first, second);
    text_safe(both != NULL ? both : first != NULL ? first : "", NOTE_SHOWN, out);
}

static enum text_style style_of(const char *outcome)
{
    if (strcmp(outcome, "passed") == 0)
        return TEXT_GOOD;
    return strcmp(outcome, "skipped") == 0 || strcmp(outcome, "cancelled") == 0 ? TEXT_ODD
                                                                                : TEXT_BAD;
}

static void put_counts(const struct doc_counts *counts, struct buf *out)
{
    buf_printf(out, "%llu passed", (unsigned long long)counts->passed);
    if (counts->failed > 0)
        buf_printf(out, ", %llu failed", (unsigned long long)counts->failed);
    if (counts->errors > 0)
        buf_printf(out, ", %llu error%s", (unsigned long long)counts->errors,
                   counts->errors > 1 ? "s" : "");
    if (counts->skipped > 0)
        buf_printf(out, ", %llu skipped", (unsigned long long)counts->skipped);
}

void report_module(const struct doc *doc, const struct doc_module *module, bool colour,
                   struct buf *out)
{
    owned_buf cell = BUF_INIT;
    owned_buf outcome = BUF_INIT;
    text_safe(module->outcome, 20, &outcome);
    text_cell(buf_str(&outcome), 12, true, &cell);
    text_styled(style_of(module->outcome), buf_str(&cell), colour, out);
    buf_putc(out, ' ');
    text_safe(doc->projects[module->project].name, NAME_SHOWN, out);
    buf_puts(out, "  ");
    text_safe(module->path, NAME_SHOWN, out);
    buf_puts(out, "  ");
    put_counts(&module->counts, out);
    buf_puts(out, "  ");
    text_duration(module->time_s, out);
    if (strcmp(module->blame, "cluster") == 0)
        buf_puts(out, "  (not the tests' fault)");
    buf_putc(out, '\n');
}

void report_fetch(const struct doc_project *project, bool colour, struct buf *out)
{
    const struct doc_fetch *fetch = &project->fetch;
    bool is_done = strcmp(fetch->phase, "done") == 0;
    bool is_failed = strcmp(fetch->phase, "failed") == 0;
    owned_buf cell = BUF_INIT;
    owned_buf phase = BUF_INIT;
    text_safe(is_done ? "fetched" : is_failed ? "no fetch" : fetch->phase, 20, &phase);
    text_cell(buf_str(&phase), 12, true, &cell);
    text_styled(is_failed ? TEXT_BAD : is_done ? TEXT_GOOD : TEXT_ODD, buf_str(&cell), colour, out);
    buf_putc(out, ' ');
    text_safe(project->name, NAME_SHOWN, out);
    buf_puts(out, "  ");
    text_size(fetch->received_bytes, out);
    if (fetch->tries > 1)
        buf_printf(out, ", %llu tries", (unsigned long long)fetch->tries);
    if (fetch->has_next_try)
        buf_printf(out, ", the next try in %.0f s", fetch->next_try_s);
    buf_putc(out, '\n');
}

void report_failure(const struct report_failure *failure, bool colour, struct buf *out)
{
    owned_buf outcome = BUF_INIT;
    text_safe(failure->outcome, 20, &outcome);
    buf_puts(out, "  ");
    text_styled(TEXT_BAD, buf_str(&outcome), colour, out);
    buf_putc(out, ' ');
    text_safe(failure->project, NAME_SHOWN, out);
    buf_puts(out, "  ");
    text_safe(failure->test, NAME_SHOWN, out);
    buf_putc(out, '\n');
    if (failure->message == NULL || *failure->message == '\0')
        return;
    const char *rest = failure->message;
    for (unsigned i = 0; i < MESSAGE_LINES; i++) {
        owned_mem char *line = next_line(&rest);
        if (line == NULL)
            break;
        buf_puts(out, "         ");
        text_safe(line, MESSAGE_SHOWN, out);
        buf_putc(out, '\n');
    }
}

/* "2 timeout, 1 crashed": outcomes of a project's modules that the counts do not show. */
static void put_outcomes(const struct doc *doc, size_t project, struct buf *out)
{
    static const char *const plain[] = {"", "passed", "failed", "error", "skipped"};
    owned_buf seen = BUF_INIT;
    for (size_t i = 0; i < doc->module_count; i++) {
        const char *outcome = doc->modules[i].outcome;
        bool known = false;
        for (size_t j = 0; j < countof(plain); j++)
            known = known || strcmp(outcome, plain[j]) == 0;
        owned_mem char *mark = mem_printf("|%s|", outcome);
        if (known || doc->modules[i].project != project || strstr(buf_str(&seen), mark) != NULL)
            continue;
        buf_puts(&seen, mark);
        size_t count = 0;
        for (size_t j = i; j < doc->module_count; j++)
            count +=
                doc->modules[j].project == project && strcmp(doc->modules[j].outcome, outcome) == 0;
        if (out->len > 0)
            buf_puts(out, ", ");
        if (count > 1)
            buf_printf(out, "%zu × ", count);
        text_safe(outcome, 20, out);
    }
}

static void put_note(const struct doc *doc, size_t index, struct buf *out)
{
    const struct doc_project *project = &doc->projects[index];
    owned_buf note = BUF_INIT;
    put_outcomes(doc, index, &note);
    if (!project->has_nota)
        buf_puts(&note, note.len > 0 ? "; no mark, the node's fault" : "no mark, the node's fault");
    if (project->modules == 0 && doc->final && *project->note == '\0' && note.len == 0)
        buf_puts(&note, "no tests found");
    if (*project->note != '\0') {
        buf_puts(&note, note.len > 0 ? ": " : "");
        put_note_lines(project->note, &note);
    }
    if (project->modules_done < project->modules)
        buf_printf(&note, "%s%zu of %zu modules", note.len > 0 ? "; " : "", project->modules_done,
                   project->modules);
    buf_puts(out, buf_str(&note));
}

static void put_numbers(const struct doc_counts *counts, struct buf *out)
{
    buf_printf(out, "%7llu %7llu %7llu %8llu", (unsigned long long)counts->passed,
               (unsigned long long)counts->failed, (unsigned long long)counts->errors,
               (unsigned long long)counts->skipped);
}

static void put_mark(bool has, double nota, bool colour, struct buf *out)
{
    owned_buf cell = BUF_INIT;
    if (has)
        buf_printf(&cell, " %8.2f", nota);
    else
        buf_printf(&cell, " %8s", "-");
    text_styled(!has || nota < 20 ? (has && nota < 10 ? TEXT_BAD : TEXT_ODD) : TEXT_GOOD,
                buf_str(&cell), colour, out);
}

static void put_time(double seconds, struct buf *out)
{
    owned_buf text = BUF_INIT;
    text_duration(seconds, &text);
    buf_printf(out, " %9s", buf_str(&text));
}

static size_t name_width(const struct doc *doc)
{
    size_t widest = strlen(doc->project_count > 1 ? TOTAL_MANY : "project");
    for (size_t i = 0; i < doc->project_count; i++) {
        size_t columns = text_columns(doc->projects[i].name);
        widest = columns > widest ? columns : widest;
    }
    return widest < NAME_WIDTH ? widest : NAME_WIDTH;
}

/* Ends a line with a note, cut so that the line keeps to the width. */
static void end_line(const char *note, size_t used, size_t width, struct buf *out)
{
    if (*note != '\0') {
        buf_puts(out, "  ");
        bool cut = width > used + 22;
        text_cell(note, cut ? width - used - 2 : SIZE_MAX, false, out);
    }
    buf_putc(out, '\n');
}

#define NUMBERS_WIDTH 51 /* what follows the name up to the note */

static void put_row(const struct doc *doc, size_t index, size_t names, size_t width, bool colour,
                    struct buf *out)
{
    const struct doc_project *project = &doc->projects[index];
    owned_buf name = BUF_INIT;
    owned_buf note = BUF_INIT;
    text_safe(project->name, NAME_SHOWN, &name);
    text_cell(buf_str(&name), names, true, out);
    put_numbers(&project->counts, out);
    put_mark(project->has_nota, project->nota, colour, out);
    put_time(project->time_s, out);
    put_note(doc, index, &note);
    end_line(buf_str(&note), names + NUMBERS_WIDTH, width, out);
}

void report_table(const struct doc *doc, size_t width, bool colour, struct buf *out)
{
    size_t names = name_width(doc);
    owned_buf head = BUF_INIT;
    text_cell("project", names, true, &head);
    buf_printf(&head, "%7s %7s %7s %8s %8s %9s  %s\n", "passed", "failed", "errors", "skipped",
               "mark/20", "time", "note");
    text_styled(TEXT_BOLD, buf_str(&head), colour, out);
    for (size_t i = 0; i < doc->project_count; i++)
        put_row(doc, i, names, width, colour, out);
    text_cell(doc->project_count > 1 ? TOTAL_MANY : "all", names, true, out);
    put_numbers(&doc->counts, out);
    put_mark(true, doc->nota, colour, out);
    put_time(doc->eval_time_s, out);
    owned_buf note = BUF_INIT;
    if (doc->project_count > 1)
        buf_printf(&note, "mean mark %.2f", doc->mean_nota);
    if (strcmp(doc->status, "done") != 0) {
        buf_puts(&note, note.len > 0 ? "; " : "");
        text_safe(doc->status, 20, &note);
    }
    end_line(buf_str(&note), names + NUMBERS_WIDTH, width, out);
}

/* "fetching 3 of 5 repositories, 1.2 MiB: calc receiving"; nothing where all have come. */
static void put_fetches(const struct doc *doc, struct buf *out)
{
    const struct doc_project *busy = NULL;
    uint64_t bytes = 0;
    size_t left = 0;
    for (size_t i = 0; i < doc->project_count; i++) {
        const struct doc_project *project = &doc->projects[i];
        bytes += project->fetch.received_bytes;
        if (!doc_is_fetching(&project->fetch))
            continue;
        left++;
        if (busy == NULL || strcmp(busy->fetch.phase, "waiting") == 0)
            busy = project;
    }
    if (busy == NULL)
        return;
    buf_printf(out, "fetching %zu of %zu repositories, ", left, doc->project_count);
    text_size(bytes, out);
    buf_puts(out, ": ");
    text_safe(busy->name, NAME_SHOWN, out);
    buf_putc(out, ' ');
    text_safe(busy->fetch.phase, 20, out);
    buf_puts(out, ", ");
}

void report_status(const struct doc *doc, double elapsed_s, unsigned tick, size_t width,
                   struct buf *out)
{
    static const char *const spinner[] = {"|", "/", "-", "\\"};
    owned_buf line = BUF_INIT;
    size_t total = (size_t)(doc->executed + doc->executing + doc->pending);
    size_t filled = total > 0 ? (size_t)doc->executed * BAR_WIDTH / total : 0;
    buf_printf(&line, "%s [", spinner[tick % countof(spinner)]);
    for (size_t i = 0; i < BAR_WIDTH; i++)
        buf_putc(&line, i < filled ? '#' : '.');
    buf_puts(&line, "] ");
    put_fetches(doc, &line);
    buf_printf(&line, "%llu/%zu modules, ", (unsigned long long)doc->executed, total);
    put_counts(&doc->counts, &line);
    buf_printf(&line, ", %llu running, ", (unsigned long long)doc->executing);
    text_duration(elapsed_s, &line);
    for (size_t i = 0; i < doc->module_count; i++) {
        if (doc->modules[i].state != DOC_RUNNING)
            continue;
        buf_puts(&line, "  ");
        text_safe(doc->modules[i].path, NAME_SHOWN, &line);
        break;
    }
    if (doc->module_count == 0) {
        buf_puts(&line, "  ");
        text_safe(doc->status, 20, &line);
    }
    text_cell(buf_str(&line), width, false, out);
}
