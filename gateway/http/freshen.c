/* freshen.c - a stored answer's fields after a 304 confirmed it (RFC 9111 §3.2,
 * §4.3.4).
 *
 * The 304's lines stand where the stored ones of their name stood; what it does
 * not mention stays. Two kinds are never taken over: fields that describe the
 * stored body, which the 304 does not carry, and fields of one connection. Age
 * and Date are the exchange's own: where the 304 has none, the stored ones go,
 * or the answer just confirmed would count as old as it was before. Set-Cookie
 * is taken over like any other, so the caller judges the result again before it
 * stores it. Any thread. */
#include "http/caching_priv.h"

static bool is_of_one_connection(const struct http_fields *update, const struct http_field *field)
{
    switch (field->id) {
    case HTTP_CONNECTION:
    case HTTP_KEEP_ALIVE:
    case HTTP_PROXY_AUTHENTICATE:
    case HTTP_PROXY_AUTHORIZATION:
    case HTTP_PROXY_CONNECTION:
    case HTTP_TE:
    case HTTP_TRAILER:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_UPGRADE:
        return true;
    default:
        return str_ieq(field->name, STR("Proxy-Authentication-Info")) ||
               http_fields_has_token(update, HTTP_CONNECTION, field->name);
    }
}

static bool may_replace(const struct http_fields *update, const struct http_field *field)
{
    switch (field->id) {
    case HTTP_CONTENT_ENCODING:
    case HTTP_CONTENT_LENGTH:
    case HTTP_CONTENT_RANGE:
    case HTTP_CONTENT_TYPE:
        return false;
    default:
        return !is_of_one_connection(update, field);
    }
}

static bool is_same_name(const struct http_field *a, const struct http_field *b)
{
    return a->id == b->id && (a->id != HTTP_OTHER || str_ieq(a->name, b->name));
}

/* Index of the first field of that name among the first `count`, or `count`. */
static uint32_t first_of(const struct http_field *at, uint32_t count,
                         const struct http_field *field)
{
    uint32_t i = 0;

    while (i < count && !is_same_name(&at[i], field))
        i++;
    return i;
}

/* All lines of the update's that have this field's name. */
static bool add_all(const struct http_fields *update, const struct http_field *field,
                    struct http_fields *out)
{
    for (uint32_t i = 0; i < update->count; i++) {
        const struct http_field *line = &update->at[i];
        if (is_same_name(line, field) && !http_fields_add(out, line->name, line->value))
            return false;
    }
    return true;
}

static bool add_stored(const struct http_fields *stored, const struct http_fields *update,
                       uint32_t index, struct http_fields *out)
{
    const struct http_field *field = &stored->at[index];
    bool is_mentioned = first_of(update->at, update->count, field) < update->count;

    if (!is_mentioned && (field->id == HTTP_AGE || field->id == HTTP_DATE))
        return true;
    if (!is_mentioned || !may_replace(update, field))
        return http_fields_add(out, field->name, field->value);
    if (first_of(stored->at, index, field) < index)
        return true; /* an earlier line of this name made way for all */
    return add_all(update, field, out);
}

bool http_freshen(const struct http_fields *stored, const struct http_fields *update,
                  struct arena *arena, struct http_fields *out)
{
    if (!http_fields_init(out, arena, stored->count + update->count))
        return false;
    for (uint32_t i = 0; i < stored->count; i++) {
        if (!add_stored(stored, update, i, out))
            return false;
    }
    for (uint32_t i = 0; i < update->count; i++) {
        const struct http_field *field = &update->at[i];
        bool is_new = first_of(stored->at, stored->count, field) == stored->count;
        if (is_new && may_replace(update, field) &&
            !http_fields_add(out, field->name, field->value))
            return false;
    }
    return true;
}
