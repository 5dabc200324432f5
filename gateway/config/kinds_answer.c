/* kinds_answer.c - forms that routes have beyond their upstream: header fields by name,
 * the URL of a service.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

enum { MAX_PAIRS = 64, MAX_VALUE = 4096 };

/* ---- { "Name": "value" } ---- */

static bool is_field_value(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.ptr[i] < 0x20 && text.ptr[i] != '\t') || text.ptr[i] == 0x7F)
            return false;
    return text.len <= MAX_VALUE;
}

/* One member. False: a fault was said. */
static bool pair_read(struct reader *reader, const struct text_rule *rule, const struct node *node,
                      struct text_pair *pair)
{
    if (!rule->is_right(node->key)) {
        reader_fault_in(reader, node, NULL, "cannot be set here, expected %s", rule->expected);
        return false;
    }
    if (node->kind != NODE_STRING) {
        reader_fault_in(reader, node, NULL, "is not text, expected text in quotes");
        return false;
    }
    if (!reader_keep(reader, node->key, &pair->name) ||
        !reader_text(reader, node, &pair->value, NULL))
        return false;
    if (!is_field_value(pair->value)) {
        reader_fault_in(reader, node, NULL,
                        "is no value of a header field, expected one line of "
                        "at most 4096 bytes");
        return false;
    }
    pair->value = str_trim(pair->value);
    return true;
}

static enum read_result pairs_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    struct pair_list *list = member_of(field, base);
    enum read_result result = READ_OK;

    if (node->kind != NODE_OBJECT)
        return READ_WRONG;
    if (node->count > MAX_PAIRS) {
        reader_fault(reader, "has %" PRIu32 " names, expected at most %d", node->count, MAX_PAIRS);
        return READ_FAULTED;
    }
    *list = (struct pair_list){.at = reader_zero(reader, (node->count + 1) * sizeof(*list->at))};
    if (list->at == NULL)
        return READ_FAULTED;
    for (uint32_t i = 0; i < node->count; i++) {
        if (pair_read(reader, field->detail, &node->children[i], &list->at[list->count]))
            list->count++;
        else
            result = READ_FAULTED;
    }
    return result;
}

/* Does a field of this name usually carry what others must not read? Too many are better than one
 * too few: they are masked where the configuration is shown. */
static bool is_credential(struct str name)
{
    static const char *const words[] = {"auth", "cookie", "credential", "key",
                                        "pass", "secret", "session",    "token"};
    char folded[128];
    size_t len = name.len < sizeof(folded) ? name.len : sizeof(folded);

    for (size_t i = 0; i < len; i++)
        folded[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] + 'a' - 'A')
                                                             : name.ptr[i];
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_has(str_at(folded, len), str_of(words[i])))
            return true;
    return false;
}

static void pairs_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct pair_list *list = member_in(field, base);

    print_begin(printer, '{');
    for (uint32_t i = 0; i < list->count; i++) {
        print_name(printer, list->at[i].name);
        buf_add_json(printer->out,
                     is_credential(list->at[i].name) ? STR("***") : list->at[i].value);
    }
    print_end(printer, '}');
}

static void pairs_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    print_name(printer, STR("type"));
    buf_add_json(printer->out, STR("object"));
    print_name(printer, STR("additionalProperties"));
    buf_add_str(printer->out, STR("{\"type\": \"string\"}"));
}

const struct kind kind_pairs = {.width = sizeof(struct pair_list),
                                .is_group = true,
                                .expected = "an object of names and texts",
                                .from_node = pairs_from_node,
                                .print = pairs_print,
                                .schema = pairs_schema};

/* ---- a service that is asked: "http://host[:port]/path" ---- */

static enum read_result service_from_text(struct reader *reader, const struct field *field,
                                          void *base, struct str text)
{
    struct service_config *service = member_of(field, base);
    struct target_config target;
    const char *why;
    size_t scheme = str_starts(text, STR("https://")) ? 8 : 7;
    size_t slash = scheme + str_find(str_from(text, scheme), '/');

    *service = (struct service_config){.url = STR("")};
    if (text.len == 0)
        return READ_OK;
    if (!reader_keep(reader, text, &service->url))
        return READ_FAULTED;
    text = service->url;
    if (str_starts(text, STR("unix:")))
        return READ_WRONG;
    if (!target_parse(str_at(text.ptr, slash < text.len ? slash : text.len), &target, &why)) {
        reader_fault(reader, "is no service: %s, and a path if it has one", why);
        return READ_FAULTED;
    }
    service->is_https = target.is_https;
    service->port = target.port;
    service->path = slash < text.len ? str_from(text, slash) : STR("/");
    for (size_t i = 0; i < service->path.len; i++)
        if (service->path.ptr[i] <= ' ' || (unsigned char)service->path.ptr[i] >= 0x7F ||
            service->path.ptr[i] == '#')
            return READ_WRONG;
    return reader_keep(reader, target.host, &service->host) ? READ_OK : READ_FAULTED;
}

static void service_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_json(printer->out, ((const struct service_config *)member_in(field, base))->url);
}

static void service_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, "^(https?://.*)?$");
}

const struct kind kind_service = {.width = sizeof(struct service_config),
                                  .takes_text = true,
                                  .expected = "a URL such as \"http://127.0.0.1:9000/check\"",
                                  .from_text = service_from_text,
                                  .print = service_print,
                                  .schema = service_schema};
