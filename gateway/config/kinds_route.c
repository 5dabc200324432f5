/* kinds_route.c - forms that only routes have: a reference, three-valued per_user, key.query.
 *
 * Upstreams are read before routes, so a reference becomes a pointer at once. The names
 * are looked up through a table: ten thousand routes may name a thousand upstreams.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

#include <stdlib.h>

/* ---- route.upstream ---- */

static bool know_upstreams(struct reader *reader)
{
    struct config *config = reader->config;

    if (reader->upstreams != NULL)
        return true;
    reader->upstreams = map_new();
    for (uint32_t i = 0; reader->upstreams != NULL && i < config->upstream_count; i++) {
        if (!map_put(reader->upstreams, config->upstreams[i].name, &config->upstreams[i]))
            return false;
    }
    return reader->upstreams != NULL;
}

static void report_missing(struct reader *reader, struct str name)
{
    enum { MOST_NAMES = 200 };
    const struct config *config = reader->config;
    const char *names[MOST_NAMES];
    size_t count = 0;

    for (; count < config->upstream_count && count < MOST_NAMES; count++)
        names[count] = config->upstreams[count].name.ptr;
    if (count == 0)
        reader_fault(reader, "is \"%.*s\", but there are no upstreams: expected it in upstreams",
                     STR_ARG(name));
    else
        reader_fault(reader, "is \"%.*s\", which is not in upstreams, expected perhaps \"%s\"",
                     STR_ARG(name), nearest_word(name, names, count));
}

static enum read_result reference_from_text(struct reader *reader, const struct field *field,
                                            void *base, struct str text)
{
    const struct upstream_config **upstream = member_of(field, base);

    if (text.len == 0 && field->initial != NULL) { /* one that may be missing */
        *upstream = NULL;
        return READ_OK;
    }
    if (!know_upstreams(reader)) {
        reader_fault(reader, "out of memory");
        return READ_FAULTED;
    }
    *upstream = map_get(reader->upstreams, text);
    if (*upstream != NULL)
        return READ_OK;
    report_missing(reader, text);
    return READ_FAULTED;
}

static bool reference_is_set(const struct field *field, const void *base)
{
    return *(const struct upstream_config *const *)member_in(field, base) != NULL;
}

static void reference_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct upstream_config *const *upstream = member_in(field, base);

    buf_add_json(printer->out, *upstream != NULL ? (*upstream)->name : STR(""));
}

static void reference_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, ".*");
}

const struct kind kind_reference = {.width = sizeof(void *),
                                    .takes_text = true,
                                    .expected = "the name of an upstream",
                                    .from_text = reference_from_text,
                                    .is_set = reference_is_set,
                                    .print = reference_print,
                                    .schema = reference_schema};

/* ---- cache.per_user: true and false mean something, and so does absence ---- */

static enum read_result per_user_from_text(struct reader *reader, const struct field *field,
                                           void *base, struct str text)
{
    bool value;
    const struct field as_bool = {.kind = &kind_bool};
    enum read_result result = kind_bool.from_text(reader, &as_bool, &value, text);

    if (result == READ_OK)
        *(enum per_user_kind *)member_of(field, base) = value ? PER_USER_TRUE : PER_USER_FALSE;
    return result;
}

static enum read_result per_user_from_node(struct reader *reader, const struct field *field,
                                           void *base, const struct node *node)
{
    (void)reader;
    if (node->kind != NODE_BOOL)
        return READ_WRONG;
    *(enum per_user_kind *)member_of(field, base) = node->is_true ? PER_USER_TRUE : PER_USER_FALSE;
    return READ_OK;
}

static bool per_user_is_set(const struct field *field, const void *base)
{
    return *(const enum per_user_kind *)member_in(field, base) != PER_USER_ABSENT;
}

static void per_user_print(struct printer *printer, const struct field *field, const void *base)
{
    bool is_true = *(const enum per_user_kind *)member_in(field, base) == PER_USER_TRUE;

    buf_add_str(printer->out, is_true ? STR("true") : STR("false"));
}

static void per_user_schema(struct printer *printer, const struct field *field, const void *base)
{
    kind_bool.schema(printer, field, base);
}

const struct kind kind_per_user = {.width = sizeof(enum per_user_kind),
                                   .expected = "true or false",
                                   .from_text = per_user_from_text,
                                   .from_node = per_user_from_node,
                                   .is_set = per_user_is_set,
                                   .print = per_user_print,
                                   .schema = per_user_schema};

/* ---- cache.key.query: a word, or the names that count ---- */

static const char *const query_words[] = {"all", "sorted", "none"};

static enum read_result query_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    struct route_config *route = base;

    (void)reader;
    (void)field;
    for (uint32_t i = 0; i < COUNT_OF(query_words); i++) {
        if (str_eq(text, str_of(query_words[i]))) {
            route->cache.query = (enum key_query)i; /* the words stand in the enum's order */
            return READ_OK;
        }
    }
    return READ_WRONG;
}

static enum read_result query_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    static const struct field names = {.kind = &kind_texts};
    struct route_config *route = base;
    enum read_result result = kind_texts.from_node(reader, &names, &route->cache.query_names, node);

    (void)field;
    if (result == READ_OK)
        route->cache.query = KEY_QUERY_LISTED;
    return result;
}

static void query_print(struct printer *printer, const struct field *field, const void *base)
{
    static const struct field names = {.kind = &kind_texts};
    const struct route_config *route = base;

    (void)field;
    if (route->cache.query == KEY_QUERY_LISTED)
        kind_texts.print(printer, &names, &route->cache.query_names);
    else
        buf_add_json(printer->out, str_of(query_words[route->cache.query]));
}

static void query_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    print_name(printer, STR("anyOf"));
    buf_add_str(printer->out, STR("[{\"enum\": [\"all\", \"sorted\", \"none\"]}, "
                                  "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}]"));
}

const struct kind kind_query = {.takes_text = true,
                                .expected = "\"all\", \"sorted\", \"none\" or a list of names",
                                .from_text = query_from_text,
                                .from_node = query_from_node,
                                .print = query_print,
                                .schema = query_schema};

/* ---- limit.scope: a word, or the field whose values are told apart ---- */

static const char *const scope_words[] = {
    [SCOPE_CLIENT] = "client", [SCOPE_IP] = "ip", [SCOPE_ROUTE] = "route"};

static enum read_result scope_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    static const struct str prefix = {"header:", 7};
    struct route_config *route = base;
    struct str name = str_starts(text, prefix) ? str_from(text, prefix.len) : STR_NONE;

    (void)field;
    route->limit.scope_header = STR("");
    for (uint32_t i = 0; i < COUNT_OF(scope_words); i++) {
        if (str_eq(text, str_of(scope_words[i]))) {
            route->limit.scope = (enum limit_scope)i;
            return READ_OK;
        }
    }
    if (!is_token(name) || name.len > 128)
        return READ_WRONG;
    route->limit.scope = SCOPE_HEADER;
    return reader_keep(reader, name, &route->limit.scope_header) ? READ_OK : READ_FAULTED;
}

static void scope_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct route_config *route = base;

    (void)field;
    if (route->limit.scope == SCOPE_HEADER)
        buf_addf(printer->out, "\"header:%.*s\"", STR_ARG(route->limit.scope_header));
    else
        buf_add_json(printer->out, str_of(scope_words[route->limit.scope]));
}

static void scope_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, "client|ip|route|header:.+");
}

const struct kind kind_scope = {.takes_text = true,
                                .expected = "\"client\", \"ip\", \"route\" or \"header:NAME\"",
                                .from_text = scope_from_text,
                                .print = scope_print,
                                .schema = scope_schema};
