/* parameters.c - what stands behind the '?': decoded, known, once each, within bounds.
 *
 * Strict, because many endpoints delete: an unknown name, a name twice, or a value that is
 * not wholly a number is a 400 that names the parameter. '+' is a plus sign: patterns and
 * URLs are paths, and curl users type them as they are. Main thread. */
#include "admin/admin_priv.h"

enum { MOST_SHOWN_BYTES = 64 };

struct str percent_decoded(struct str text, struct arena *arena)
{
    char *to = arena_take(arena, text.len + 1);
    size_t len = 0;

    if (to == NULL)
        return STR_NONE;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '%') {
            int high = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return STR_NONE;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f)
            return STR_NONE;
        to[len++] = (char)c;
    }
    to[len] = '\0';
    return str_at(to, len);
}

/* A credential may stand in the query: it is the endpoint's, through identify/. */
static bool is_known(const struct call *call, struct str name)
{
    struct str rest = str_of(call->endpoint->parameters), known;
    struct str credential = call->config->identity.api_key.query;

    if (credential.len > 0 && str_eq(credential, name))
        return true;
    while (str_split(&rest, ' ', &known))
        if (known.len > 0 && str_eq(known, name))
            return true;
    return false;
}

/* A name as it can be shown in an answer. */
static struct str shown(struct str name)
{
    return name.len > MOST_SHOWN_BYTES ? str_at(name.ptr, MOST_SHOWN_BYTES) : name;
}

static bool read_one(struct call *call, struct str text)
{
    size_t equals = str_find(text, '=');
    struct parameter *next = &call->parameters[call->parameter_count];

    next->name = percent_decoded(str_at(text.ptr, equals), call->question->arena);
    if (next->name.ptr == NULL || !is_known(call, next->name)) {
        struct str name = next->name.ptr != NULL ? next->name : STR("a parameter");

        answer_refusal(call, 400, "%.*s: this endpoint has no such parameter; it has: %s.",
                       STR_ARG(shown(name)),
                       call->endpoint->parameters[0] != '\0' ? call->endpoint->parameters : "none");
        return false;
    }
    for (uint32_t i = 0; i < call->parameter_count; i++)
        if (str_eq(call->parameters[i].name, next->name)) {
            answer_refusal(call, 400, "%.*s: given more than once.", STR_ARG(next->name));
            return false;
        }
    next->value = percent_decoded(str_from(text, equals + 1), call->question->arena);
    if (next->value.ptr == NULL) {
        answer_refusal(call, 400, "%.*s: malformed %%-encoding or a control character.",
                       STR_ARG(next->name));
        return false;
    }
    call->parameter_count++;
    return true;
}

bool parameters_read(struct call *call)
{
    struct str rest = call->question->query, text;

    if (call->endpoint->parameters == NULL)
        return true;
    while (str_split(&rest, '&', &text)) {
        if (text.len == 0)
            continue;
        /* names are known and come once each, so the table bounds how many there are */
        CHECK(call->parameter_count < ADMIN_MAX_PARAMETERS);
        if (!read_one(call, text))
            return false;
    }
    return true;
}

struct str parameter(const struct call *call, const char *name)
{
    for (uint32_t i = 0; i < call->parameter_count; i++)
        if (str_eq(call->parameters[i].name, str_of(name)))
            return call->parameters[i].value;
    return STR_NONE;
}

bool parameter_number(struct call *call, const char *name, uint64_t least, uint64_t most,
                      uint64_t *value)
{
    struct str text = parameter(call, name);
    uint64_t number;

    if (text.ptr == NULL)
        return true;
    if (!str_to_u64(text, &number) || number < least || number > most) {
        answer_refusal(call, 400, "%s: must be a whole number from %" PRIu64 " to %" PRIu64 ".",
                       name, least, most);
        return false;
    }
    *value = number;
    return true;
}

bool parameter_flag(struct call *call, const char *name, bool *value)
{
    struct str text = parameter(call, name);

    if (text.ptr == NULL)
        return true;
    *value = str_eq(text, STR("true")) || str_eq(text, STR("1"));
    if (*value || str_eq(text, STR("false")) || str_eq(text, STR("0")))
        return true;
    answer_refusal(call, 400, "%s: must be true or false.", name);
    return false;
}

bool parameter_host(struct call *call, struct str *value)
{
    struct str text = parameter(call, "host");
    uint16_t port;

    if (text.ptr == NULL || http_parse_authority(text, value, &port))
        return true;
    answer_refusal(call, 400, "host: must be a name or an address.");
    return false;
}

bool parameter_path(struct call *call, const char *name, struct str *value)
{
    static const char digits[] = "0123456789ABCDEF";
    struct str text = parameter(call, name);
    char *to;
    size_t len = 0;

    if (text.ptr == NULL)
        return true;
    to = text.len > 0 ? arena_take(call->question->arena, 3 * text.len) : NULL;
    if (to == NULL) {
        answer_refusal(call, 400, "%s: must not be empty, or longer than can be read.", name);
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c > 0x20 && c < 0x7f) {
            to[len++] = (char)c;
            continue;
        }
        to[len++] = '%';
        to[len++] = digits[c >> 4];
        to[len++] = digits[c & 15];
    }
    *value = str_at(to, len);
    return true;
}
