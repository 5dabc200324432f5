/* credential.c - the API key in a request's header or query, and how to take it out again.
 *
 * There must be one: two header lines, two parameters, or one of each are refused, because the
 * upstream might believe the other one. Names of parameters are compared decoded, so that
 * "api%5Fkey" cannot slip past. "+" stays "+": a key in base64 is more often pasted as it is than
 * a key with a blank is encoded as a form. Pure functions; any thread. */
#include "identify/identify_priv.h"

/* Percent-decodes into `room`; false: longer than it, or a broken escape. */
static bool decode(struct str text, char *room, size_t size, struct str *decoded)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (len == size)
            return false;
        if (c == '%') {
            int high = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 1]) : -1;
            int low = high >= 0 ? ascii_hex_value(text.ptr[i + 2]) : -1;

            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        room[len++] = c;
    }
    *decoded = str_at(room, len);
    return true;
}

static bool is_parameter(struct str part, struct str name)
{
    char room[128];
    struct str decoded;

    part.len = str_find(part, '=');
    return decode(part, room, sizeof(room), &decoded) && str_eq(decoded, name);
}

static bool is_well_formed(struct str value)
{
    if (value.len == 0 || value.len > CREDENTIAL_MOST)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_header(const struct identify *identify, const struct http_field *field)
{
    if (identify->header_id != HTTP_OTHER)
        return field->id == identify->header_id;
    return field->id == HTTP_OTHER &&
           str_ieq(field->name, identify->config->identity.api_key.header);
}

enum credential credential_find(const struct identify *identify, const struct http_fields *fields,
                                struct str query, char room[CREDENTIAL_MOST], struct str *value)
{
    struct str parameter = identify->config->identity.api_key.query, part, encoded;
    uint32_t found = 0;
    bool is_sound = true;

    *value = STR_NONE;
    for (uint32_t i = 0; i < fields->count; i++) {
        if (!is_header(identify, &fields->at[i]))
            continue;
        *value = fields->at[i].value;
        found++;
    }
    while (parameter.len > 0 && query.ptr != NULL && str_split(&query, '&', &part)) {
        if (!is_parameter(part, parameter))
            continue;
        encoded = str_from(part, str_find(part, '=') + 1);
        if (str_find(part, '=') == part.len)
            encoded = STR_NONE;
        is_sound = decode(encoded, room, CREDENTIAL_MOST, value);
        found++;
    }
    if (found == 0)
        return CREDENTIAL_NONE;
    if (found > 1)
        return CREDENTIAL_DUPLICATE;
    return is_sound && is_well_formed(*value) ? CREDENTIAL_ONE : CREDENTIAL_MALFORMED;
}

/* The query without the parameter; borrowed and untouched when it is not there. */
static bool hide_parameter(struct str name, struct str *query, struct arena *arena)
{
    struct str rest = *query, part;
    bool is_there = false;
    size_t len = 0;

    while (rest.ptr != NULL && str_split(&rest, '&', &part))
        is_there = is_there || is_parameter(part, name);
    if (!is_there)
        return true;
    char *kept = arena_take(arena, query->len + 1);
    if (kept == NULL)
        return false;
    rest = *query;
    while (str_split(&rest, '&', &part)) {
        if (is_parameter(part, name))
            continue;
        if (len > 0)
            kept[len++] = '&';
        memcpy(kept + len, part.ptr, part.len);
        len += part.len;
    }
    kept[len] = '\0';
    *query = str_at(kept, len);
    return true;
}

bool identify_hide_credential(const struct identify *identify, struct http_fields *fields,
                              struct str *query, struct arena *arena)
{
    struct str parameter = identify->config->identity.api_key.query;

    if (identify->header_id != HTTP_OTHER)
        (void)http_fields_remove(fields, identify->header_id);
    else if (identify->config->identity.api_key.header.len > 0)
        (void)http_fields_remove_name(fields, identify->config->identity.api_key.header);
    return parameter.len == 0 || query->ptr == NULL || hide_parameter(parameter, query, arena);
}
