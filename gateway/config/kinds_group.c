/* kinds_group.c - settings that hold settings: sections, named things, lists of things.
 *
 * An object of named things (upstreams, tiers) is read over what is there: a name that
 * exists is replaced whole, a new one is added. That is how a file changes one of the
 * built-in tiers. One spare element is kept, so that the environment can add its
 * upstream without moving those that routes already point to.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

#include <stdlib.h>

/* ---- a section inside a section ---- */

static enum read_result section_from_node(struct reader *reader, const struct field *field,
                                          void *base, const struct node *node)
{
    section_read(reader, field->detail, node, member_of(field, base));
    return READ_OK;
}

static bool section_kind_reset(struct reader *reader, const struct field *field, void *base)
{
    return section_reset(reader, field->detail, member_of(field, base));
}

static bool section_is_set(const struct field *field, const void *base)
{
    const struct section *section = field->detail;

    return section->is_set == NULL || section->is_set(member_in(field, base));
}

static void section_print(struct printer *printer, const struct field *field, const void *base)
{
    print_section(printer, field->detail, member_in(field, base));
}

static void section_schema(struct printer *printer, const struct field *field, const void *base)
{
    schema_section(printer, field->detail, member_in(field, base));
}

const struct kind kind_section = {.is_group = true,
                                  .expected = "an object",
                                  .from_node = section_from_node,
                                  .reset = section_kind_reset,
                                  .is_set = section_is_set,
                                  .print = section_print,
                                  .schema = section_schema};

/* ---- arrays of structs ---- */

static uint32_t *count_of(const struct field *field, void *base)
{
    const struct collection *collection = field->detail;

    return (uint32_t *)(void *)((char *)base + collection->count_offset);
}

static struct str *name_of(const struct collection *collection, void *element)
{
    return (struct str *)(void *)((char *)element + collection->name_offset);
}

/* Makes room for `more` elements and the spare one, keeping what is there. */
static bool reserve(struct reader *reader, const struct field *field, void *base, uint32_t more)
{
    const struct collection *collection = field->detail;
    void **array = member_of(field, base);
    uint32_t count = *count_of(field, base);
    char *grown = reader_zero(reader, ((size_t)count + more + 1) * collection->section->size);

    if (grown == NULL)
        return false;
    if (count > 0)
        memcpy(grown, *array, count * collection->section->size);
    *array = grown;
    return true;
}

static void *element_at(const struct field *field, void *base, uint32_t index)
{
    const struct collection *collection = field->detail;
    char **array = member_of(field, base);

    return *array + index * collection->section->size;
}

/* There must be room: reserve(). */
void *collection_add(struct reader *reader, const struct field *field, void *base, struct str name)
{
    const struct collection *collection = field->detail;
    uint32_t *count = count_of(field, base);
    void *element = element_at(field, base, *count);

    if (!section_reset(reader, collection->section, element) ||
        !reader_keep(reader, name, name_of(collection, element)))
        return NULL;
    (*count)++;
    return element;
}

/* The element of that name, emptied; or NULL. */
static void *replaced(struct reader *reader, const struct field *field, void *base, struct str name,
                      uint32_t count)
{
    const struct collection *collection = field->detail;

    for (uint32_t i = 0; i < count; i++) {
        void *element = element_at(field, base, i);
        struct str old_name = *name_of(collection, element);
        if (!str_eq(old_name, name))
            continue;
        memset(element, 0, collection->section->size);
        if (!section_reset(reader, collection->section, element))
            return NULL;
        *name_of(collection, element) = old_name;
        return element;
    }
    return NULL;
}

static bool is_plain_name(struct reader *reader, const struct node *node)
{
    bool is_plain = node->key.len > 0 && node->key.len <= 128;

    for (size_t i = 0; i < node->key.len; i++)
        is_plain = is_plain && (unsigned char)node->key.ptr[i] >= 0x20 && node->key.ptr[i] != 0x7F;
    if (!is_plain)
        reader_fault_in(reader, node, NULL, "is no name, expected 1 to 128 printable characters");
    return is_plain;
}

static enum read_result map_from_node(struct reader *reader, const struct field *field, void *base,
                                      const struct node *node)
{
    const struct collection *collection = field->detail;
    uint32_t before = *count_of(field, base);

    if (node->kind != NODE_OBJECT)
        return READ_WRONG;
    if (!reserve(reader, field, base, node->count))
        return READ_FAULTED;
    for (uint32_t i = 0; i < node->count; i++) {
        struct node *child = &node->children[i];
        child->is_hidden = collection->hides_names;
        if (child->is_repeated || !is_plain_name(reader, child))
            continue; /* repeated is a fault already */
        reader->node = reader->field = child;
        void *element = replaced(reader, field, base, child->key, before);
        if (element == NULL)
            element = collection_add(reader, field, base, child->key);
        if (element == NULL)
            return READ_FAULTED;
        section_read(reader, collection->section, child, element);
    }
    return READ_OK;
}

static enum read_result list_from_node(struct reader *reader, const struct field *field, void *base,
                                       const struct node *node)
{
    const struct collection *collection = field->detail;

    if (node->kind != NODE_LIST)
        return READ_WRONG;
    if (!reserve(reader, field, base, node->count))
        return READ_FAULTED;
    for (uint32_t i = 0; i < node->count; i++) {
        reader->node = reader->field = &node->children[i];
        void *element = collection_add(reader, field, base, STR(""));
        if (element == NULL)
            return READ_FAULTED;
        section_read(reader, collection->section, &node->children[i], element);
    }
    return READ_OK;
}

/* The default of an object of named things is JSON. */
static bool map_reset(struct reader *reader, const struct field *field, void *base)
{
    struct syntax_fault fault = {0};
    struct tree *tree = NULL;
    char *text = NULL;
    bool is_done = false;

    if (!reserve(reader, field, base, 0))
        return false;
    if (field->initial == NULL)
        return true;
    text = strdup(field->initial);
    if (text != NULL)
        tree = tree_new(text, strlen(text), &fault);
    if (tree != NULL)
        is_done = map_from_node(reader, field, base, tree->root) == READ_OK;
    reader->node = reader->field = NULL;
    tree_free(&tree);
    free(text);
    return is_done;
}

/* The name of an element as it is shown; borrowed from it or written to `scratch`. */
static struct str shown_name(const struct collection *collection, const char *element,
                             struct buf *scratch)
{
    struct str name = *(const struct str *)(const void *)(element + collection->name_offset);

    if (!collection->hides_names)
        return name;
    buf_clear(scratch);
    hidden_name(name, scratch);
    return buf_str(scratch);
}

static void group_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct collection *collection = field->detail;
    const char *const *array = member_in(field, base);
    uint32_t count =
        *(const uint32_t *)(const void *)((const char *)base + collection->count_offset);
    bool is_map = field->kind == &kind_map;
    struct buf scratch = buf_new(256);

    print_begin(printer, is_map ? '{' : '[');
    for (uint32_t i = 0; i < count; i++) {
        size_t path_len = printer->path.len;
        const char *element = *array + i * collection->section->size;
        if (is_map) {
            struct str name = shown_name(collection, element, &scratch);
            buf_addf(&printer->path, ".%.*s", STR_ARG(name));
            print_name(printer, name);
        } else {
            buf_addf(&printer->path, "[%" PRIu32 "]", i);
            print_item(printer);
        }
        print_mark(printer);
        print_section(printer, collection->section, element);
        printer->path.len = path_len;
    }
    print_end(printer, is_map ? '}' : ']');
    buf_free(&scratch);
}

static void group_schema(struct printer *printer, const struct field *field, const void *base)
{
    const struct collection *collection = field->detail;
    bool is_map = field->kind == &kind_map;
    void *scratch = reader_zero(printer->reader, collection->section->size);

    (void)base;
    print_name(printer, STR("type"));
    buf_add_json(printer->out, is_map ? STR("object") : STR("array"));
    print_name(printer, is_map ? STR("additionalProperties") : STR("items"));
    print_begin(printer, '{');
    if (scratch != NULL && section_reset(printer->reader, collection->section, scratch))
        schema_section(printer, collection->section, scratch);
    print_end(printer, '}');
}

const struct kind kind_map = {.width = sizeof(void *),
                              .is_group = true,
                              .expected = "an object with a name for each",
                              .from_node = map_from_node,
                              .reset = map_reset,
                              .print = group_print,
                              .schema = group_schema};
const struct kind kind_list = {.width = sizeof(void *),
                               .is_group = true,
                               .expected = "a list of objects",
                               .from_node = list_from_node,
                               .reset = map_reset,
                               .print = group_print,
                               .schema = group_schema};
