/* kinds_text.c - settings that are text, words from a list, or lists of text.
 *
 * Secrets are texts that are never printed. A choice is stored as its enum's value,
 * which is its place in the row's words; a flag is a choice of two that lies in a bool.
 * From the environment a list is separated by commas.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

static enum read_result text_from_text(struct reader *reader, const struct field *field, void *base,
                                       struct str text)
{
    const struct text_rule *rule = field->detail;

    if (rule != NULL && !rule->is_right(text))
        return READ_WRONG;
    return reader_keep(reader, text, member_of(field, base)) ? READ_OK : READ_FAULTED;
}

static void text_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_json(printer->out, *(const struct str *)member_in(field, base));
}

static bool text_reset(struct reader *reader, const struct field *field, void *base)
{
    struct str initial = field->initial != NULL ? str_of(field->initial) : STR("");

    return reader_keep(reader, initial, member_of(field, base));
}

static void text_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, ".*");
}

const struct kind kind_text = {.width = sizeof(struct str),
                               .takes_text = true,
                               .expected = "text in quotes",
                               .from_text = text_from_text,
                               .reset = text_reset,
                               .print = text_print,
                               .schema = text_schema};

const struct kind kind_lines = {.width = sizeof(struct str),
                                .takes_text = true,
                                .takes_lines = true,
                                .expected = "text in quotes",
                                .from_text = text_from_text,
                                .reset = text_reset,
                                .print = text_print,
                                .schema = text_schema};

static void secret_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct str *secret = member_in(field, base);

    buf_add_json(printer->out, secret->len > 0 ? STR("***") : STR(""));
}

const struct kind kind_secret = {.width = sizeof(struct str),
                                 .takes_text = true,
                                 .expected = "text in quotes",
                                 .from_text = text_from_text,
                                 .reset = text_reset,
                                 .print = secret_print,
                                 .schema = text_schema};

/* ---- one of several words ---- */

/* Place of `text` among the words, or -1. */
static int word_index(const struct field *field, struct str text)
{
    const struct words *words = field->detail;

    for (int i = 0; words->at[i] != NULL; i++) {
        if (str_eq(text, str_of(words->at[i])))
            return i;
    }
    return -1;
}

static enum read_result choice_from_text(struct reader *reader, const struct field *field,
                                         void *base, struct str text)
{
    int index = word_index(field, text);

    (void)reader;
    if (index < 0)
        return READ_WRONG;
    if (field->kind == &kind_flag)
        *(bool *)member_of(field, base) = index == 1;
    else
        *(uint32_t *)member_of(field, base) = (uint32_t)index;
    return READ_OK;
}

static void choice_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct words *words = field->detail;
    const void *member = member_in(field, base);
    uint32_t index = field->kind == &kind_flag ? *(const bool *)member : *(const uint32_t *)member;

    buf_add_json(printer->out, str_of(words->at[index]));
}

static void choice_schema(struct printer *printer, const struct field *field, const void *base)
{
    const struct words *words = field->detail;

    (void)base;
    print_name(printer, STR("enum"));
    buf_add_char(printer->out, '[');
    for (int i = 0; words->at[i] != NULL; i++) {
        buf_add_str(printer->out, i > 0 ? STR(", ") : STR(""));
        buf_add_json(printer->out, str_of(words->at[i]));
    }
    buf_add_char(printer->out, ']');
}

const struct kind kind_choice = {.width = sizeof(uint32_t),
                                 .takes_text = true,
                                 .from_text = choice_from_text,
                                 .print = choice_print,
                                 .schema = choice_schema};
const struct kind kind_flag = {.width = sizeof(bool),
                               .takes_text = true,
                               .from_text = choice_from_text,
                               .print = choice_print,
                               .schema = choice_schema};

/* ---- lists of text ---- */

static bool texts_new(struct reader *reader, size_t count, struct str_list *list)
{
    list->count = 0;
    list->at = reader_zero(reader, count * sizeof(*list->at));
    return list->at != NULL;
}

static enum read_result texts_add(struct reader *reader, const struct field *field,
                                  struct str_list *list, struct str text)
{
    const struct text_rule *rule = field->detail;

    if (text.len == 0 || (rule != NULL && !rule->is_right(text))) {
        reader_fault(reader, "is \"%.*s\", expected %s", text.len < 60 ? (int)text.len : 60,
                     text.ptr != NULL ? text.ptr : "",
                     rule != NULL ? rule->expected : "text that is not empty");
        return READ_FAULTED;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (str_eq(list->at[i], text)) {
            reader_fault(reader, "\"%.*s\" stands twice in the list", STR_ARG(text));
            return READ_FAULTED;
        }
    }
    return reader_keep(reader, text, &list->at[list->count++]) ? READ_OK : READ_FAULTED;
}

static enum read_result texts_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    struct str rest = text, part;
    struct str_list list;
    size_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    if (!texts_new(reader, count, &list))
        return READ_FAULTED;
    while (text.len > 0 && str_split(&rest, ',', &part)) {
        if (texts_add(reader, field, &list, str_trim(part)) != READ_OK)
            return READ_FAULTED;
    }
    *(struct str_list *)member_of(field, base) = list;
    return READ_OK;
}

static enum read_result texts_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    enum read_result result = READ_OK;
    struct str_list list;

    if (node->kind != NODE_LIST)
        return READ_WRONG;
    if (!texts_new(reader, node->count, &list))
        return READ_FAULTED;
    for (uint32_t i = 0; i < node->count; i++) {
        struct str text;
        reader->node = &node->children[i];
        if (node->children[i].kind != NODE_STRING) {
            reader_fault(reader, "is not text, expected text in quotes");
            result = READ_FAULTED;
        } else if (!reader_text(reader, &node->children[i], &text, NULL) ||
                   texts_add(reader, field, &list, text) != READ_OK) {
            result = READ_FAULTED;
        }
    }
    *(struct str_list *)member_of(field, base) = list;
    return result;
}

static void texts_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct str_list *list = member_in(field, base);

    buf_add_char(printer->out, '[');
    for (uint32_t i = 0; i < list->count; i++) {
        buf_add_str(printer->out, i > 0 ? STR(", ") : STR(""));
        buf_add_json(printer->out, list->at[i]);
    }
    buf_add_char(printer->out, ']');
}

static void texts_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, "array", NULL);
    print_name(printer, STR("items"));
    buf_add_str(printer->out, STR("{\"type\": \"string\", \"minLength\": 1}"));
}

const struct kind kind_texts = {.width = sizeof(struct str_list),
                                .expected = "a list of texts",
                                .from_text = texts_from_text,
                                .from_node = texts_from_node,
                                .print = texts_print,
                                .schema = texts_schema};
