#include "runner/job/engine.h"

#include <string.h>

#define VALUE_MAX 512

/* Rows that end with '=' or are a short option with a value take what follows; others stand alone.
 */
static const struct {
    const char *text;
    bool takes_value;
} allowed[] = {
    {"-k", true},
    {"-m", true},
    {"--maxfail=", true},
    {"--tb=", true},
    {"--durations=", true},
    {"--verbosity=", true},
    {"-r", true},
    {"-x", false},
    {"--exitfirst", false},
    {"-v", false},
    {"-vv", false},
    {"-q", false},
    {"-qq", false},
    {"-s", false},
    {"-l", false},
    {"--showlocals", false},
    {"--strict-markers", false},
    {"--runxfail", false},
    {"--no-header", false},
    {"--no-summary", false},
};

static bool is_printable(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

bool job_arg_allowed(const char *arg)
{
    if (strnlen(arg, VALUE_MAX + 1) > VALUE_MAX || !is_printable(arg))
        return false;
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        size_t len = strlen(allowed[i].text);
        if (allowed[i].takes_value ? strncmp(arg, allowed[i].text, len) == 0 && arg[len] != 0
                                   : strcmp(arg, allowed[i].text) == 0)
            return true;
    }
    return false;
}
