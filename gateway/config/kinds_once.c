/* kinds_once.c - forms that exactly one setting has.
 *
 * Each is small and says itself what it expects; a form that a second setting wants
 * moves to a file of its own.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

static void string_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, ".*");
}

/* ---- server.workers: "auto" or a number ---- */

static enum read_result workers_from_text(struct reader *reader, const struct field *field,
                                          void *base, struct str text)
{
    if (str_eq(text, STR("auto"))) {
        uint32_t cores = cores_usable();
        *(uint32_t *)member_of(field, base) = cores < field->most ? cores : (uint32_t)field->most;
        return READ_OK;
    }
    return kind_count.from_text(reader, field, base, text);
}

static enum read_result workers_from_node(struct reader *reader, const struct field *field,
                                          void *base, const struct node *node)
{
    return kind_count.from_node(reader, field, base, node);
}

static void workers_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_u64(printer->out, *(const uint32_t *)member_in(field, base));
}

static void workers_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "integer", "auto");
    print_name(printer, STR("minimum"));
    buf_addf(printer->out, "%" PRId64, field->least);
    print_name(printer, STR("maximum"));
    buf_addf(printer->out, "%" PRId64, field->most);
}

const struct kind kind_workers = {.width = sizeof(uint32_t),
                                  .takes_text = true,
                                  .expected = "\"auto\" or a whole number",
                                  .from_text = workers_from_text,
                                  .from_node = workers_from_node,
                                  .print = workers_print,
                                  .schema = workers_schema};

/* ---- store.url: printed without what stands before the @ ---- */

static enum read_result store_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    if (!str_eq(text, STR("memory:")) && !str_starts(text, STR("redis"))) {
        reader_fault(reader, "is no store, expected \"memory:\", \"redis://host:6379/0\", "
                             "\"redis+sentinel://h1,h2/master\" or \"redis+cluster://h1,h2\"");
        return READ_FAULTED;
    }
    return reader_keep(reader, text, member_of(field, base)) ? READ_OK : READ_FAULTED;
}

/* The last @ before the path: a password may hold one. */
static struct str after_secret(struct str text, size_t *scheme)
{
    size_t end, at;

    *scheme = 0;
    while (*scheme + 3 <= text.len && memcmp(text.ptr + *scheme, "://", 3) != 0)
        ++*scheme;
    *scheme += 3;
    if (*scheme >= text.len)
        return STR_NONE;
    end = *scheme + str_find(str_from(text, *scheme), '/');
    for (at = end; at > *scheme && text.ptr[at - 1] != '@'; at--)
        ;
    /* without a path an @ further on belongs to a password with a / in it */
    while (end < text.len && at == *scheme) {
        size_t more = str_find(str_from(text, end), '@');

        if (end + more >= text.len)
            break;
        at = end + more + 1;
        end = at;
    }
    return at > *scheme ? str_from(text, at) : STR_NONE;
}

struct str store_url(const struct config *config, enum store_role role)
{
    struct str own = config->store.role_urls[role];

    return role == STORE_MAIN || own.len == 0 || str_eq(own, STR("memory:")) ? config->store.url
                                                                             : own;
}

const char *store_role_name(enum store_role role)
{
    static const char *const names[STORE_ROLES] = {"",      "limit", "cache", "revoked",
                                                   "usage", "jobs",  "images"};

    return names[role];
}

bool store_url_write_masked(struct str url, struct buf *out)
{
    size_t scheme;
    struct str rest = after_secret(url, &scheme);

    if (rest.ptr == NULL)
        return buf_add_str(out, url);
    return buf_add(out, url.ptr, scheme) && buf_add(out, "***@", 4) && buf_add_str(out, rest);
}

static void store_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct str *url = member_in(field, base);
    struct buf masked = buf_new(64 * 1024);

    (void)store_url_write_masked(*url, &masked);
    buf_add_json(printer->out, buf_str(&masked));
    buf_free(&masked);
}

static void store_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, "^(memory:$|redis)");
}

const struct kind kind_store = {.width = sizeof(struct str),
                                .takes_text = true,
                                .expected = "\"memory:\" or a Redis URL",
                                .from_text = store_from_text,
                                .print = store_print,
                                .schema = store_schema};

/* ---- identity.sources: an ordered list of kinds of credentials ---- */

static const char *const source_names[] = {"jwt", "api_key", "basic", "ip"};

/* COUNT_OF(source_names): none of them. */
static enum identity_source source_named(struct str text)
{
    size_t i = 0;

    while (i < COUNT_OF(source_names) && !str_eq(text, str_of(source_names[i])))
        i++;
    return (enum identity_source)i;
}

static bool is_source(struct str text)
{
    return (size_t)source_named(text) < COUNT_OF(source_names);
}

static const struct text_rule source_rule = {"\"jwt\", \"api_key\", \"basic\" or \"ip\"",
                                             is_source};
static const struct field source_texts = {.kind = &kind_texts, .detail = &source_rule};

static enum read_result sources_put(struct reader *reader, void *base, const struct str_list *texts)
{
    struct identity_config *identity = base;

    if (texts->count == 0) {
        reader_fault(reader, "is an empty list, expected at least one of \"jwt\", \"api_key\" "
                             "and \"ip\"");
        return READ_FAULTED;
    }
    identity->source_count = 0;
    for (uint32_t i = 0; i < texts->count && i < COUNT_OF(identity->sources); i++)
        identity->sources[identity->source_count++] = source_named(texts->at[i]);
    return READ_OK;
}

static enum read_result sources_from_text(struct reader *reader, const struct field *field,
                                          void *base, struct str text)
{
    struct str_list texts;
    enum read_result result = kind_texts.from_text(reader, &source_texts, &texts, text);

    (void)field;
    return result == READ_OK ? sources_put(reader, base, &texts) : result;
}

static enum read_result sources_from_node(struct reader *reader, const struct field *field,
                                          void *base, const struct node *node)
{
    struct str_list texts;
    enum read_result result = kind_texts.from_node(reader, &source_texts, &texts, node);

    (void)field;
    return result == READ_OK ? sources_put(reader, base, &texts) : result;
}

static void sources_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct identity_config *identity = base;

    (void)field;
    buf_add_char(printer->out, '[');
    for (uint32_t i = 0; i < identity->source_count; i++)
        buf_addf(printer->out, "%s\"%s\"", i > 0 ? ", " : "", source_names[identity->sources[i]]);
    buf_add_char(printer->out, ']');
}

static void sources_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, "array", NULL);
    print_name(printer, STR("items"));
    buf_add_str(printer->out, STR("{\"enum\": [\"jwt\", \"api_key\", \"basic\", \"ip\"]}"));
}

const struct kind kind_sources = {.expected =
                                      "a list of \"jwt\", \"api_key\", \"basic\" and \"ip\"",
                                  .from_text = sources_from_text,
                                  .from_node = sources_from_node,
                                  .print = sources_print,
                                  .schema = sources_schema};

/* ---- when a key expires ---- */

static enum read_result expires_from_text(struct reader *reader, const struct field *field,
                                          void *base, struct str text)
{
    (void)reader;
    return time_parse(text, member_of(field, base)) ? READ_OK : READ_WRONG;
}

static bool expires_reset(struct reader *reader, const struct field *field, void *base)
{
    (void)reader;
    *(int64_t *)member_of(field, base) = INT64_MAX;
    return true;
}

static bool expires_is_set(const struct field *field, const void *base)
{
    return *(const int64_t *)member_in(field, base) != INT64_MAX;
}

static void expires_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_char(printer->out, '"');
    time_write(printer->out, *(const int64_t *)member_in(field, base));
    buf_add_char(printer->out, '"');
}

const struct kind kind_expires = {.width = sizeof(int64_t),
                                  .takes_text = true,
                                  .expected =
                                      "a moment such as \"2027-01-01T00:00:00Z\" (RFC 3339)",
                                  .from_text = expires_from_text,
                                  .reset = expires_reset,
                                  .is_set = expires_is_set,
                                  .print = expires_print,
                                  .schema = string_schema};

/* ---- cache.negative_ttl: { "404": "10s" } ---- */

static const struct field negative_duration = {
    .kind = &kind_duration, .least = 0, .most = DAYS(365)};

static enum read_result negative_from_node(struct reader *reader, const struct field *field,
                                           void *base, const struct node *node)
{
    struct cache_config *cache = base;

    (void)field;
    if (node->kind != NODE_OBJECT)
        return READ_WRONG;
    cache->negative_count = 0;
    cache->negative = reader_zero(reader, (node->count + 1) * sizeof(*cache->negative));
    if (cache->negative == NULL)
        return READ_FAULTED;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *child = &node->children[i];
        uint64_t status;
        int64_t ttl_ms = 0;
        if (child->key.len != 3 || !str_to_u64(child->key, &status) || status < 200 ||
            status > 599 || status == 206 || status == 304) {
            reader_fault_in(
                reader, child, NULL,
                "is no status that can be kept, expected 200 to 599 but not 206 or 304");
            continue;
        }
        field_read(reader, &negative_duration, child, &ttl_ms);
        cache->negative[cache->negative_count++] = (struct negative_ttl){(int)status, ttl_ms};
    }
    return READ_OK;
}

static void negative_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct cache_config *cache = base;

    (void)field;
    buf_add_char(printer->out, '{');
    for (uint32_t i = 0; i < cache->negative_count; i++) {
        buf_addf(printer->out, "%s\"%d\": \"", i > 0 ? ", " : "", cache->negative[i].status);
        duration_write(printer->out, cache->negative[i].ttl_ms);
        buf_add_char(printer->out, '"');
    }
    buf_add_char(printer->out, '}');
}

static void negative_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    print_name(printer, STR("type"));
    buf_add_json(printer->out, STR("object"));
    print_name(printer, STR("patternProperties"));
    buf_add_str(printer->out, STR("{\"^[2-5][0-9][0-9]$\": {\"type\": [\"number\", \"string\"]}}"));
    print_name(printer, STR("additionalProperties"));
    buf_add_str(printer->out, STR("false"));
}

const struct kind kind_negative = {.expected = "an object such as { \"404\": \"10s\" }",
                                   .from_node = negative_from_node,
                                   .print = negative_print,
                                   .schema = negative_schema};

/* ---- upstream.host: client, target, or a name ---- */

static enum read_result host_from_text(struct reader *reader, const struct field *field, void *base,
                                       struct str text)
{
    struct upstream_config *upstream = base;

    (void)field;
    upstream->host_name = STR("");
    upstream->host = HOST_NAME;
    if (str_eq(text, STR("client")))
        upstream->host = HOST_CLIENT;
    else if (str_eq(text, STR("target")))
        upstream->host = HOST_TARGET;
    if (upstream->host != HOST_NAME)
        return READ_OK;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) &&
            (c == '\0' || strchr(".-_:[]", c) == NULL))
            return READ_WRONG;
    }
    if (text.len == 0)
        return READ_WRONG;
    return reader_keep(reader, text, &upstream->host_name) ? READ_OK : READ_FAULTED;
}

static void host_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct upstream_config *upstream = base;

    (void)field;
    switch (upstream->host) {
    case HOST_CLIENT:
        buf_add_json(printer->out, STR("client"));
        break;
    case HOST_TARGET:
        buf_add_json(printer->out, STR("target"));
        break;
    case HOST_NAME:
        buf_add_json(printer->out, upstream->host_name);
        break;
    }
}

const struct kind kind_host = {.takes_text = true,
                               .expected = "\"client\", \"target\" or a host name",
                               .from_text = host_from_text,
                               .print = host_print,
                               .schema = string_schema};

/* ---- upstream.retry.on: words as bits ---- */

static const char *const retry_names[] = {"connect", "reset", "timeout", "500",
                                          "502",     "503",   "504"};

static bool is_retry_word(struct str text)
{
    for (size_t i = 0; i < COUNT_OF(retry_names); i++) {
        if (str_eq(text, str_of(retry_names[i])))
            return true;
    }
    return false;
}

static const struct text_rule retry_rule = {
    "connect, reset, timeout, 500, 502, 503 or 504, in quotes", is_retry_word};
static const struct field retry_texts = {.kind = &kind_texts, .detail = &retry_rule};

static void retry_put(uint32_t *bits, const struct str_list *texts)
{
    *bits = 0;
    for (uint32_t i = 0; i < texts->count; i++) {
        for (uint32_t word = 0; word < COUNT_OF(retry_names); word++)
            *bits |= str_eq(texts->at[i], str_of(retry_names[word])) ? 1u << word : 0;
    }
}

static enum read_result retry_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    struct str_list texts;
    enum read_result result = kind_texts.from_text(reader, &retry_texts, &texts, text);

    if (result == READ_OK)
        retry_put(member_of(field, base), &texts);
    return result;
}

static enum read_result retry_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    struct str_list texts;
    enum read_result result = kind_texts.from_node(reader, &retry_texts, &texts, node);

    if (result == READ_OK)
        retry_put(member_of(field, base), &texts);
    return result;
}

static void retry_print(struct printer *printer, const struct field *field, const void *base)
{
    uint32_t bits = *(const uint32_t *)member_in(field, base);
    bool is_first = true;

    buf_add_char(printer->out, '[');
    for (uint32_t word = 0; word < COUNT_OF(retry_names); word++) {
        if ((bits & 1u << word) == 0)
            continue;
        buf_addf(printer->out, "%s\"%s\"", is_first ? "" : ", ", retry_names[word]);
        is_first = false;
    }
    buf_add_char(printer->out, ']');
}

static void retry_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, "array", NULL);
    print_name(printer, STR("items"));
    buf_add_str(printer->out, STR("{\"enum\": [\"connect\", \"reset\", \"timeout\", \"500\", "
                                  "\"502\", \"503\", \"504\"]}"));
}

const struct kind kind_retry_on = {.width = sizeof(uint32_t),
                                   .expected = "a list such as [\"connect\", \"503\"]",
                                   .from_text = retry_from_text,
                                   .from_node = retry_from_node,
                                   .print = retry_print,
                                   .schema = retry_schema};
