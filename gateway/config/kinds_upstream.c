/* kinds_upstream.c - forms that only upstreams have: what to hash on.
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
