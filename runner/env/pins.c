#include "runner/env/pins.h"

#include <ctype.h>
#include <string.h>

#define INFO ".dist-info"

/* Reads the canonical form of requirements.h: name[extras]==version, then " ; …" or " --hash…". */
static bool is_exact(const struct requirement *item)
{
    const char *at = item->text + strlen(item->name);
    if (strncmp(item->text, item->name, strlen(item->name)) != 0)
        return false;
    if (*at == '[')
        at += strcspn(at, "]") + 1;
    if (strncmp(at, "==", 2) != 0 || at[2] == '=')
        return false;
    size_t len = strcspn(at, " ");
    return memchr(at, ',', len) == NULL && memchr(at, '*', len) == NULL;
}

static bool has_marker(const struct requirement *item) { return strstr(item->text, " ; ") != NULL; }

bool pins_are_exact(const struct requirements *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (!is_exact(&self->items[i]))
            return false;
    }
    return self->count > 0;
}

/* The name at the beginning of a folder's name, normalised after PEP 503; false: there is none. */
static bool read_name(const char *folder, size_t len, char out[REQUIREMENT_MAX_NAME + 1])
{
    const char *end = memchr(folder, '-', len);
    size_t count = 0;
    if (end == NULL || end == folder || len < sizeof INFO ||
        memcmp(folder + len - (sizeof INFO - 1), INFO, sizeof INFO - 1) != 0)
        return false;
    for (const char *at = folder; at < end; at++) {
        bool is_mark = *at == '_' || *at == '.';
        if (is_mark && count > 0 && out[count - 1] == '-')
            continue;
        if (count == REQUIREMENT_MAX_NAME)
            return false;
        out[count++] = is_mark ? '-' : (char)tolower((unsigned char)*at);
    }
    out[count] = '\0';
    return true;
}

static bool is_forced(const struct requirements *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct requirement *item = &self->items[i];
        if (strcmp(item->name, name) == 0 && is_exact(item) && !has_marker(item))
            return true;
    }
    return false;
}

bool pins_cover(const struct requirements *self, const char *installed)
{
    char name[REQUIREMENT_MAX_NAME + 1];
    for (const char *at = installed; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        if (!read_name(at, len, name) || !is_forced(self, name))
            return false;
        at += len + (at[len] == '\n');
    }
    return true;
}
