/* exposition.c - Prometheus' text format, line by line, from whoever answers at a URL.
 *
 * Strict where it matters (a name, quotes that end, a number) and silent otherwise: what does not
 * fit is left out, for a neighbour's metrics are no reason to fail. Nothing is kept but one line.
 * Main thread. */
#include "advise/advise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c) || c == '_' ||
           c == ':';
}

static struct str take_name(struct str *rest)
{
    size_t len = 0;

    while (len < rest->len && is_name(rest->ptr[len]))
        len++;
    struct str name = str_at(rest->ptr, len);
    *rest = str_from(*rest, len);
    return name;
}

static bool take_char(struct str *rest, char c)
{
    *rest = str_trim(*rest);
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    *rest = str_from(*rest, 1);
    return true;
}

/* After the opening quote; a backslash hides the byte behind it. */
static bool take_quoted(struct str *rest, struct str *value)
{
    size_t len = 0;

    while (len < rest->len && rest->ptr[len] != '"')
        len += rest->ptr[len] == '\\' ? 2 : 1;
    if (len >= rest->len)
        return false;
    *value = str_at(rest->ptr, len);
    *rest = str_from(*rest, len + 1);
    return true;
}

static bool take_labels(struct str *rest, struct advise_metric *metric)
{
    if (!take_char(rest, '{'))
        return true;
    while (!take_char(rest, '}')) {
        struct str value, name = take_name(rest);

        if (name.len == 0 || !take_char(rest, '=') || !take_char(rest, '"') ||
            !take_quoted(rest, &value))
            return false;
        if (metric->label_count < ADVISE_LABELS) {
            metric->labels[metric->label_count].name = name;
            metric->labels[metric->label_count++].value = value;
        }
        (void)take_char(rest, ',');
    }
    return true;
}

/* Up to a blank: a timestamp may follow. */
static bool take_value(struct str rest, double *value)
{
    char text[64], *end;
    size_t len;

    rest = str_trim(rest);
    len = str_find(rest, ' ');
    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, rest.ptr, len);
    text[len] = '\0';
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

bool advise_parse_line(struct str line, struct advise_metric *metric)
{
    metric->label_count = 0;
    line = str_trim(line);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    metric->name = take_name(&line);
    return metric->name.len > 0 && take_labels(&line, metric) && take_value(line, &metric->value);
}

struct str advise_label(const struct advise_metric *metric, const char *name)
{
    for (uint32_t i = 0; i < metric->label_count; i++)
        if (str_eq(metric->labels[i].name, str_of(name)))
            return metric->labels[i].value;
    return STR("");
}

void advise_lines_feed(struct advise_lines *lines, struct str bytes, advise_metric_fn *fn,
                       void *arg)
{
    struct advise_metric metric;

    while (bytes.len > 0) {
        size_t end = str_find(bytes, '\n');

        if (end > ADVISE_LINE - lines->len)
            lines->is_long = true;
        if (!lines->is_long && end > 0) {
            memcpy(lines->line + lines->len, bytes.ptr, end);
            lines->len += end;
        }
        if (end == bytes.len)
            return; /* the rest of the line is still to come */
        if (!lines->is_long && advise_parse_line(str_at(lines->line, lines->len), &metric))
            fn(arg, &metric);
        lines->len = 0;
        lines->is_long = false;
        bytes = str_from(bytes, end + 1);
    }
}
