/* kinds_either.c - structs that have a short form: "host:port" or { "address": … }.
 *
 * The string is read as the first field of the struct's section, so both forms share
 * one parser and one fault. A list of them may come from the environment, separated by
 * commas.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

static void either_read(struct reader *reader, const struct collection *collection,
                        const struct node *node, void *element)
{
    const struct section *section = collection->section;

    if (node->kind != NODE_STRING) {
        section_read(reader, section, node, element);
        return;
    }
    field_read(reader, &section->fields[0], node, element);
}

static enum read_result either_from_text(struct reader *reader, const struct field *field,
                                         void *base, struct str text)
{
    const struct collection *collection = field->detail;
    const struct field *first = &collection->section->fields[0];

    return first->kind->from_text(reader, first, member_of(field, base), text);
}

static enum read_result either_from_node(struct reader *reader, const struct field *field,
                                         void *base, const struct node *node)
{
    if (node->kind != NODE_OBJECT)
        return READ_WRONG;
    either_read(reader, field->detail, node, member_of(field, base));
    return READ_OK;
}

static bool either_reset(struct reader *reader, const struct field *field, void *base)
{
    const struct collection *collection = field->detail;

    if (!section_reset(reader, collection->section, member_of(field, base)))
        return false;
    return field->initial == NULL ||
           either_from_text(reader, field, base, str_of(field->initial)) == READ_OK;
}

static void element_print(struct printer *printer, const struct collection *collection,
                          const void *element)
{
    const struct field *first = &collection->section->fields[0];

    if (collection->is_short(element))
        first->kind->print(printer, first, element);
    else
        print_section(printer, collection->section, element);
}

static void either_print(struct printer *printer, const struct field *field, const void *base)
{
    element_print(printer, field->detail, member_in(field, base));
}

static void element_schema(struct printer *printer, const struct collection *collection)
{
    void *scratch = reader_zero(printer->reader, collection->section->size);

    if (scratch == NULL || !section_reset(printer->reader, collection->section, scratch))
        return;
    print_name(printer, STR("anyOf"));
    print_begin(printer, '[');
    print_item(printer);
    buf_add_str(printer->out, STR("{\"type\": \"string\"}"));
    print_item(printer);
    print_begin(printer, '{');
    schema_section(printer, collection->section, scratch);
    print_end(printer, '}');
    print_end(printer, ']');
}

static void either_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    element_schema(printer, field->detail);
}

const struct kind kind_either = {.takes_text = true,
                                 .expected = "text in quotes or an object",
                                 .from_text = either_from_text,
                                 .from_node = either_from_node,
                                 .reset = either_reset,
                                 .print = either_print,
                                 .schema = either_schema};

/* ---- lists ---- */

static uint32_t *count_of(const struct field *field, void *base)
{
    const struct collection *collection = field->detail;

    return (uint32_t *)(void *)((char *)base + collection->count_offset);
}

/* An array of `count` elements with their defaults. */
static char *eithers_new(struct reader *reader, const struct collection *collection, size_t count)
{
    size_t size = collection->section->size;
    char *array = reader_zero(reader, (count > 0 ? count : 1) * size);

    for (size_t i = 0; array != NULL && i < count; i++) {
        if (!section_reset(reader, collection->section, array + i * size))
            return NULL;
    }
    return array;
}

static enum read_result eithers_from_text(struct reader *reader, const struct field *field,
                                          void *base, struct str text)
{
    const struct collection *collection = field->detail;
    const struct field *first = &collection->section->fields[0];
    struct str rest = text, part;
    uint32_t count = 0, most = 1;

    for (size_t i = 0; i < text.len; i++)
        most += text.ptr[i] == ',';
    char *array = eithers_new(reader, collection, most);
    if (array == NULL)
        return READ_FAULTED;
    while (text.len > 0 && str_split(&rest, ',', &part)) {
        void *element = array + count * collection->section->size;
        enum read_result result = first->kind->from_text(reader, first, element, str_trim(part));
        if (result == READ_WRONG)
            reader_fault(reader, "is \"%.*s\", expected %s", STR_ARG(part), first->kind->expected);
        if (result != READ_OK)
            return READ_FAULTED;
        count++;
    }
    *(char **)member_of(field, base) = array;
    *count_of(field, base) = count;
    return READ_OK;
}

static enum read_result eithers_from_node(struct reader *reader, const struct field *field,
                                          void *base, const struct node *node)
{
    const struct collection *collection = field->detail;

    if (node->kind != NODE_LIST)
        return READ_WRONG;
    if (node->count == 0) {
        reader_fault(reader, "is an empty list, expected at least one");
        return READ_FAULTED;
    }
    char *array = eithers_new(reader, collection, node->count);
    if (array == NULL)
        return READ_FAULTED;
    *(char **)member_of(field, base) = array;
    *count_of(field, base) = node->count;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *child = &node->children[i];
        if (child->kind == NODE_STRING || child->kind == NODE_OBJECT)
            either_read(reader, collection, child, array + i * collection->section->size);
        else
            reader_fault_in(reader, child, NULL, "is neither text nor an object, expected %s",
                            collection->section->fields[0].kind->expected);
    }
    return READ_OK;
}

static void eithers_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct collection *collection = field->detail;
    const char *const *array = member_in(field, base);
    uint32_t count =
        *(const uint32_t *)(const void *)((const char *)base + collection->count_offset);

    print_begin(printer, '[');
    for (uint32_t i = 0; i < count; i++) {
        size_t path_len = printer->path.len;
        buf_addf(&printer->path, "[%" PRIu32 "]", i);
        print_item(printer);
        print_mark(printer);
        element_print(printer, collection, *array + i * collection->section->size);
        printer->path.len = path_len;
    }
    print_end(printer, ']');
}

static void eithers_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "array", NULL);
    print_name(printer, STR("items"));
    print_begin(printer, '{');
    element_schema(printer, field->detail);
    print_end(printer, '}');
}

const struct kind kind_eithers = {.width = sizeof(void *),
                                  .is_group = true,
                                  .expected = "a list of texts or objects",
                                  .from_text = eithers_from_text,
                                  .from_node = eithers_from_node,
                                  .print = eithers_print,
                                  .schema = eithers_schema};
