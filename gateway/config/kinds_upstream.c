/* kinds_upstream.c - forms that only upstreams have: what to hash on, a list of statuses.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

/* ---- hash_on: client, path, header:NAME, cookie:NAME ---- */

static const struct {
    const char *word; /* with a colon: a name follows */
    enum hash_kind kind;
} hash_words[] = {{"client", HASH_CLIENT},
                  {"path", HASH_PATH},
                  {"header:", HASH_HEADER},
                  {"cookie:", HASH_COOKIE}};

static enum read_result hash_from_text(struct reader *reader, const struct field *field, void *base,
                                       struct str text)
{
    struct upstream_config *upstream = base;

    (void)field;
    for (size_t i = 0; i < COUNT_OF(hash_words); i++) {
        struct str word = str_of(hash_words[i].word), rest;

        if (!str_starts(text, word))
            continue;
        rest = str_from(text, word.len);
        if (word.ptr[word.len - 1] == ':' ? !is_token(rest) : rest.len > 0)
            return READ_WRONG;
        upstream->hash_on = hash_words[i].kind;
        return reader_keep(reader, rest, &upstream->hash_name) ? READ_OK : READ_FAULTED;
    }
    return READ_WRONG;
}

static void hash_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct upstream_config *upstream = base;

    (void)field;
    buf_addf(printer->out, "\"%s%.*s\"", hash_words[upstream->hash_on].word,
             STR_ARG(upstream->hash_name));
}

static void hash_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, "(client|path|(header|cookie):.+)");
}

const struct kind kind_hash_on = {.takes_text = true,
                                  .expected = "\"client\", \"path\", \"header:NAME\" or "
                                              "\"cookie:NAME\"",
                                  .from_text = hash_from_text,
                                  .print = hash_print,
                                  .schema = hash_schema};

/* ---- health.expect: a list of statuses ---- */

static enum read_result statuses_add(struct reader *reader, const struct field *field,
                                     struct upstream_config *upstream, double number)
{
    if (upstream->health.expect_count == CONFIG_MAX_STATUSES) {
        reader_fault(reader, "has more than %d statuses", CONFIG_MAX_STATUSES);
        return READ_FAULTED;
    }
    if (!(number >= (double)field->least && number <= (double)field->most) ||
        number != (double)(int)number)
        return READ_WRONG;
    upstream->health.expect[upstream->health.expect_count++] = (int)number;
    return READ_OK;
}

static enum read_result statuses_from_text(struct reader *reader, const struct field *field,
                                           void *base, struct str text)
{
    struct upstream_config *upstream = base;
    uint64_t number;

    upstream->health.expect_count = 0;
    if (!str_to_u64(text, &number))
        return READ_WRONG;
    return statuses_add(reader, field, upstream, (double)number);
}

static enum read_result statuses_from_node(struct reader *reader, const struct field *field,
                                           void *base, const struct node *node)
{
    struct upstream_config *upstream = base;
    enum read_result result = READ_OK;

    if (node->kind != NODE_LIST || node->count == 0)
        return READ_WRONG;
    upstream->health.expect_count = 0;
    for (uint32_t i = 0; i < node->count && result == READ_OK; i++) {
        const struct node *one = &node->children[i];

        result = one->kind == NODE_NUMBER ? statuses_add(reader, field, upstream, one->number)
                                          : READ_WRONG;
    }
    return result;
}

static void statuses_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct upstream_config *upstream = base;

    (void)field;
    buf_add_char(printer->out, '[');
    for (uint32_t i = 0; i < upstream->health.expect_count; i++)
        buf_addf(printer->out, "%s%d", i > 0 ? ", " : "", upstream->health.expect[i]);
    buf_add_char(printer->out, ']');
}

static void statuses_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "array", NULL);
    print_name(printer, STR("items"));
    buf_addf(printer->out,
             "{\"type\": \"integer\", \"minimum\": %" PRId64 ", \"maximum\": %" PRId64 "}",
             field->least, field->most);
}

const struct kind kind_statuses = {.expected = "a list of statuses such as [200, 204]",
                                   .from_text = statuses_from_text,
                                   .from_node = statuses_from_node,
                                   .print = statuses_print,
                                   .schema = statuses_schema};
