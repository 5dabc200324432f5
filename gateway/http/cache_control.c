/* cache_control.c - the directives of Cache-Control (RFC 9111 §5.2) and of the
 * targeted field CDN-Cache-Control (RFC 9213).
 *
 * Two syntaxes, one meaning: a list of tokens with optional arguments, and a
 * structured-field dictionary. Both end in apply(), which one table drives. A
 * directive is found as a member of the list and never by searching, so
 * extension="max-age=3600" sets nothing. Where the text is broken the reading is
 * the one that stores and reuses less. Any thread. */
#include "http/caching_priv.h"
#include "http/structured_priv.h"

enum kind {
    RESTRICTS, /* a claim that forbids: counts whatever its argument */
    PERMITS,   /* a claim that allows: only in its proper form, without one */
    SECONDS,
    SECONDS_OR_ANY, /* max-stale: any when it has no argument */
    FIELD_LIST      /* a claim that may be limited to some fields */
};
static const struct directive {
    const char *name;
    enum kind kind;
    size_t at; /* of the bool or the int64_t */
    size_t is_limited,
        list; /* FIELD_LIST: of the bool and the struct str; else `is_limited` of "any" */
} directives[] = {
#define AT(member) offsetof(struct http_cache_control, member)
    {"no-store", RESTRICTS, AT(no_store), 0, 0},
    {"no-cache", FIELD_LIST, AT(no_cache), AT(no_cache_fields), AT(no_cache_list)},
    {"private", FIELD_LIST, AT(is_private), AT(private_fields), AT(private_list)},
    {"public", PERMITS, AT(is_public), 0, 0},
    {"must-revalidate", RESTRICTS, AT(must_revalidate), 0, 0},
    {"proxy-revalidate", RESTRICTS, AT(proxy_revalidate), 0, 0},
    {"must-understand", PERMITS, AT(must_understand), 0, 0},
    {"immutable", PERMITS, AT(immutable), 0, 0},
    {"no-transform", RESTRICTS, AT(no_transform), 0, 0},
    {"only-if-cached", RESTRICTS, AT(only_if_cached), 0, 0},
    {"max-age", SECONDS, AT(max_age), 0, 0},
    {"s-maxage", SECONDS, AT(s_maxage), 0, 0},
    {"min-fresh", SECONDS, AT(min_fresh), 0, 0},
    {"max-stale", SECONDS_OR_ANY, AT(max_stale), AT(max_stale_any), 0},
    {"stale-while-revalidate", SECONDS, AT(stale_while_revalidate), 0, 0},
    {"stale-if-error", SECONDS, AT(stale_if_error), 0, 0},
#undef AT
};

/* What stood behind the '='. */
struct argument {
    bool is_there;
    bool is_bad; /* there, but of no form that a directive takes */
    struct str text;
};

static void set_nothing(struct http_cache_control *out)
{
    *out = (struct http_cache_control){.max_age = HTTP_SECONDS_ABSENT,
                                       .s_maxage = HTTP_SECONDS_ABSENT,
                                       .min_fresh = HTTP_SECONDS_ABSENT,
                                       .max_stale = HTTP_SECONDS_ABSENT,
                                       .stale_while_revalidate = HTTP_SECONDS_ABSENT,
                                       .stale_if_error = HTTP_SECONDS_ABSENT};
}

static const struct directive *directive_of(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(directives); i++) {
        if (str_ieq(name, str_of(directives[i].name)))
            return &directives[i];
    }
    return NULL;
}

static bool *flag_at(struct http_cache_control *out, size_t at)
{
    return (bool *)(void *)((char *)out + at);
}

static int64_t *seconds_at(struct http_cache_control *out, size_t at)
{
    return (int64_t *)(void *)((char *)out + at);
}

static void apply_field_list(const struct directive *directive, const struct argument *argument,
                             struct http_cache_control *out)
{
    bool *is_set = flag_at(out, directive->at), *is_limited = flag_at(out, directive->is_limited);
    struct str *list = (struct str *)(void *)((char *)out + directive->list);

    if (!argument->is_there || argument->is_bad) { /* the whole answer: the stronger claim stays */
        *is_limited = false;
        *list = STR_NONE;
    } else if (!*is_set) {
        *is_limited = true;
        *list = argument->text;
    }
    *is_set = true;
}

/* The first of a repeated directive counts. */
static void apply_seconds(const struct directive *directive, const struct argument *argument,
                          struct http_cache_control *out)
{
    int64_t *seconds = seconds_at(out, directive->at);

    if (*seconds != HTTP_SECONDS_ABSENT)
        return;
    if (directive->kind == SECONDS_OR_ANY && !argument->is_there)
        *flag_at(out, directive->is_limited) = true;
    else if (argument->is_there && !argument->is_bad)
        *seconds = http_delta_seconds(argument->text);
    else
        *seconds = HTTP_SECONDS_UNUSABLE;
}

static void apply(const struct directive *directive, const struct argument *argument,
                  struct http_cache_control *out)
{
    switch (directive->kind) {
    case RESTRICTS:
        *flag_at(out, directive->at) = true;
        break;
    case PERMITS:
        if (!argument->is_there)
            *flag_at(out, directive->at) = true;
        break;
    case SECONDS:
    case SECONDS_OR_ANY:
        apply_seconds(directive, argument, out);
        break;
    case FIELD_LIST:
        apply_field_list(directive, argument, out);
        break;
    }
}

/* ---- the list syntax ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Index behind the closing quote of a string that starts at text[0], or 0: it never ends. */
static size_t end_of_quoted(struct str text)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '"')
            return i + 1;
        if (text.ptr[i] == '\\')
            i++;
    }
    return 0;
}

/* Cuts the argument and what is left of the member. False when a quoted string has no end: nobody
 * can say what it was meant to hold, so the caller reads no further. */
static bool take_argument(struct str *rest, struct argument *argument)
{
    *argument = (struct argument){0};
    if (rest->len > 0 && rest->ptr[0] == '=') {
        argument->is_there = true;
        *rest = str_from(*rest, 1);
        if (rest->len > 0 && rest->ptr[0] == '"') {
            size_t end = end_of_quoted(*rest);
            if (end == 0)
                return false;
            argument->text = str_at(rest->ptr + 1, end - 2);
            *rest = str_from(*rest, end);
        } else {
            size_t end = 0;
            while (end < rest->len && rest->ptr[end] != ',' && !is_blank(rest->ptr[end]))
                end++;
            argument->text = str_at(rest->ptr, end);
            argument->is_bad = end == 0;
            *rest = str_from(*rest, end);
        }
    }
    struct str left = str_at(rest->ptr, str_find(*rest, ','));
    if (str_trim(left).len > 0)
        argument->is_there = argument->is_bad = true; /* "max-age =1", "max-age= 1", "a b" */
    *rest = str_from(*rest, left.len);
    return true;
}

/* False when a quoted string never ends. */
static bool read_line(struct str rest, struct http_cache_control *out)
{
    while (rest.len > 0) {
        struct argument argument;
        size_t end = 0;
        if (rest.ptr[0] == ',' || is_blank(rest.ptr[0])) {
            rest = str_from(rest, 1);
            continue;
        }
        while (end < rest.len && rest.ptr[end] != ',' && rest.ptr[end] != '=' &&
               !is_blank(rest.ptr[end]))
            end++;
        const struct directive *directive = directive_of(str_at(rest.ptr, end));
        rest = str_from(rest, end);
        if (!take_argument(&rest, &argument))
            return false;
        if (directive != NULL)
            apply(directive, &argument, out);
    }
    return true;
}

void http_cache_control_parse(const struct http_fields *fields, bool is_request,
                              struct http_cache_control *out)
{
    bool is_there = false;

    set_nothing(out);
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id != HTTP_CACHE_CONTROL)
            continue;
        is_there = true;
        /* a string without an end could hide anything: an answer is not stored then */
        if (!read_line(fields->at[i].value, out) && !is_request)
            out->no_store = true;
    }
    if (is_request && !is_there && http_fields_has_token(fields, HTTP_PRAGMA, STR("no-cache")))
        out->no_cache = true;
}

/* ---- the dictionary syntax ---- */

static void reset(const struct directive *directive, struct http_cache_control *out)
{
    switch (directive->kind) {
    case SECONDS:
    case SECONDS_OR_ANY:
        *seconds_at(out, directive->at) = HTTP_SECONDS_ABSENT;
        break;
    case FIELD_LIST:
        *flag_at(out, directive->is_limited) = false;
        *flag_at(out, directive->at) = false;
        break;
    case RESTRICTS:
    case PERMITS:
        *flag_at(out, directive->at) = false;
        break;
    }
}

struct targeted {
    struct http_cache_control *out;
    bool is_empty;
};

/* Lifetimes are integers, nothing else; keys are lower case by syntax. In a dictionary the last of
 * a repeated key counts (RFC 9651 §3.2), so what an earlier one set goes first. */
static void read_member(void *arg, const struct http_sf_member *member)
{
    struct targeted *targeted = arg;
    const struct directive *directive = directive_of(member->key);
    struct argument argument = {.is_there = true};

    targeted->is_empty = false;
    if (directive == NULL)
        return;
    bool is_lifetime = directive->kind == SECONDS || directive->kind == SECONDS_OR_ANY;
    reset(directive, targeted->out);
    if (member->kind == HTTP_SF_BOOLEAN) {
        if (!member->is_true)
            return;
        argument.is_there = false;
    } else if (member->kind == HTTP_SF_STRING || member->kind == HTTP_SF_TOKEN) {
        argument.text = member->text;
        argument.is_bad = is_lifetime;
    } else {
        argument.is_bad = true;
    }
    if (is_lifetime && member->kind == HTTP_SF_INTEGER && member->integer >= 0)
        *seconds_at(targeted->out, directive->at) =
            member->integer < HTTP_FOREVER_S ? member->integer : HTTP_FOREVER_S;
    else
        apply(directive, &argument, targeted->out);
}

bool http_targeted_parse(const struct http_fields *fields, struct arena *arena,
                         struct http_cache_control *out)
{
    struct targeted targeted = {out, true};

    set_nothing(out);
    if (http_fields_count_of(fields, HTTP_CDN_CACHE_CONTROL) == 0)
        return false;
    struct str text = http_fields_joined(fields, arena, HTTP_CDN_CACHE_CONTROL);
    if (text.ptr == NULL) { /* no memory to read it: then nothing is stored */
        out->no_store = true;
        return true;
    }
    return http_sf_dictionary(text, read_member, &targeted) && !targeted.is_empty;
}
