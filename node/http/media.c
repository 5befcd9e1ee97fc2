#include "node/http/media.h"

#include "node/http/chars.h"

#include <string.h>

static size_t word_len(const char **value)
{
    *value += strspn(*value, " \t");
    size_t len = strcspn(*value, ";");
    while (len > 0 && ((*value)[len - 1] == ' ' || (*value)[len - 1] == '\t'))
        len--;
    return len;
}

void media_type(struct buf *out, const char *value)
{
    size_t start = out->len;
    size_t len = word_len(&value);
    buf_append(out, value, len);
    if (len > 0)
        chars_lower_all(out->data + start, len);
}

bool media_is(const char *value, const char *type)
{
    size_t len = word_len(&value);
    return chars_same_n(value, len, type);
}

static bool read_quoted(const char **at, struct buf *value)
{
    for (++*at; **at && **at != '"'; ++*at) {
        if (**at == '\\' && ((*at)[1] == '"' || (*at)[1] == '\\'))
            ++*at;
        buf_putc(value, **at);
    }
    if (**at != '"')
        return false;
    ++*at;
    return true;
}

int media_next_param(const char **at, struct media_param *param)
{
    buf_clear(&param->value);
    *at += strcspn(*at, ";"); /* behind the type, or behind the last value */
    while (**at == ';' || **at == ' ' || **at == '\t')
        ++*at;
    if (**at == '\0')
        return 0;
    param->name = *at;
    while (chars_is_token(**at))
        ++*at;
    param->name_len = (size_t)(*at - param->name);
    if (param->name_len == 0 || **at != '=')
        return -1;
    ++*at;
    if (**at == '"') {
        if (!read_quoted(at, &param->value))
            return -1;
    } else {
        size_t len = strcspn(*at, "; \t");
        buf_append(&param->value, *at, len);
        *at += len;
    }
    const char *rest = *at + strspn(*at, " \t");
    return *rest == '\0' || *rest == ';' ? 1 : -1;
}

static bool is_boundary(const char *text, size_t len)
{
    if (len == 0 || len > MEDIA_BOUNDARY_MAX || text[len - 1] == ' ')
        return false;
    for (size_t i = 0; i < len; i++) {
        char lower = chars_lower(text[i]);
        bool alnum = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (!alnum && (text[i] == '\0' || !strchr("'()+_,-./:=? ", text[i])))
            return false;
    }
    return true;
}

bool media_boundary(const char *content_type, char out[MEDIA_BOUNDARY_MAX + 1])
{
    struct media_param param = {0};
    bool found = false;
    int got;
    while ((got = media_next_param(&content_type, &param)) > 0) {
        if (!chars_same_n(param.name, param.name_len, "boundary"))
            continue;
        found = is_boundary(buf_str(&param.value), param.value.len);
        if (!found)
            break;
        memcpy(out, param.value.data, param.value.len);
        out[param.value.len] = '\0';
    }
    buf_fini(&param.value);
    return found && got >= 0;
}
