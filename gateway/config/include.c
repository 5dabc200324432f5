/* include.c - further files of upstreams, routes and tiers.
 *
 * The files are read before anything is, and their trees are put together with the main
 * one: under each of the three names stand the children of all files, in the order of the
 * patterns and of file names. So a route may name an upstream of any file, and the reader
 * knows nothing of files. A node's root says which file it came from, for faults: its
 * parents are those of its own file.
 *
 * On the thread that called config_load(); blocks on the files. */
#include "config/config_priv.h"

#include <glob.h>
#include <stdlib.h>

enum { MAX_FILES = 1000, MAX_PATTERN = 4096 };

static const char *const merged[] = {"tiers", "upstreams", "routes"};

const struct include_file *include_of(const struct include_set *set, const struct node *node)
{
    while (node->parent != NULL)
        node = node->parent;
    for (uint32_t i = 0; set != NULL && i < set->count; i++)
        if (set->at[i].tree != NULL && set->at[i].tree->root == node)
            return &set->at[i];
    return NULL;
}

/* ---- putting together ---- */

static const struct node *child_named(const struct node *root, const char *name)
{
    CHECK(root != NULL);
    return root->kind == NODE_OBJECT ? node_child(root, str_of(name)) : NULL;
}

/* Appends copies of the children of `from`; their own children stay where they are. */
static void append(struct node *to, const struct node *from)
{
    struct node *children = (struct node *)to->children;
    uint32_t before = to->count;

    for (uint32_t i = 0; i < from->count; i++) {
        struct node *copy = &children[to->count++];

        *copy = from->children[i];
        for (uint32_t k = 0; to->kind == NODE_OBJECT && k < before; k++)
            copy->is_repeated = copy->is_repeated || str_eq(children[k].key, copy->key);
    }
}

/* One of the three names over all files. False: out of memory. */
static bool merge_name(struct tree *tree, struct node *root, const struct include_set *set,
                       const char *name)
{
    const struct node *own = child_named(tree->root, name), *first = own;
    size_t count = own != NULL ? own->count : 0;
    struct node joined;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct node *more;

        CHECK(set->at[i].tree != NULL); /* merged before they are closed */
        more = child_named(set->at[i].tree->root, name);
        if (more == NULL)
            continue;
        count += more->count;
        if (first == NULL)
            first = more;
    }
    if (first == NULL)
        return true;
    joined = *first;
    joined.children = arena_zero(tree->arena, (count + 1) * sizeof(struct node));
    joined.count = 0;
    if (joined.children == NULL)
        return false;
    if (own != NULL)
        append(&joined, own);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct node *more = child_named(set->at[i].tree->root, name);

        if (more != NULL && more->kind == joined.kind)
            append(&joined, more);
    }
    for (uint32_t i = 0; i < root->count; i++) {
        if (own != NULL && str_eq(root->children[i].key, str_of(name))) {
            root->children[i] = joined;
            return true;
        }
    }
    root->children[root->count++] = joined;
    return true;
}

bool include_merge(struct tree *tree, const struct include_set *set)
{
    struct node *root;

    if (set->count == 0 || tree->root->kind != NODE_OBJECT)
        return true;
    root = arena_zero(tree->arena, sizeof(*root));
    if (root == NULL)
        return false;
    *root = *tree->root;
    root->children =
        arena_zero(tree->arena, (tree->root->count + COUNT_OF(merged)) * sizeof(struct node));
    if (root->children == NULL)
        return false;
    if (root->count > 0)
        memcpy(root->children, tree->root->children, root->count * sizeof(struct node));
    for (size_t i = 0; i < COUNT_OF(merged); i++)
        if (!merge_name(tree, root, set, merged[i]))
            return false;
    tree->root = root;
    return true;
}

/* ---- reading ---- */

static void fault_of_file(struct reader *reader, const struct include_file *file, size_t offset,
                          const char *format, ...) PRINTF_LIKE(4, 5);

static void fault_of_file(struct reader *reader, const struct include_file *file, size_t offset,
                          const char *format, ...)
{
    struct fault_place place = {.file = file->name,
                                .text = str_at(file->text, file->len),
                                .offset = offset,
                                .file_index = reader->includes->count + 1};
    va_list args;

    va_start(args, format);
    faults_put(reader->faults, &place, format, args);
    va_end(args);
}

/* Only the three names, and the right form of each. */
static void check_names(struct reader *reader, const struct node *root)
{
    for (uint32_t i = 0; i < root->count; i++) {
        struct node at_key = root->children[i];
        bool is_list = str_eq(at_key.key, STR("routes"));

        if (!is_list && !str_eq(at_key.key, STR("upstreams")) &&
            !str_eq(at_key.key, STR("tiers"))) {
            at_key.mark.value_at = at_key.mark.key_at;
            reader_fault_in(
                reader, &at_key, NULL,
                "cannot stand in an included file, expected upstreams, routes or tiers");
        } else if (at_key.kind != (is_list ? NODE_LIST : NODE_OBJECT)) {
            reader_fault_in(reader, &at_key, NULL, "is not %s",
                            is_list ? "a list of objects, expected one"
                                    : "an object, expected one with a name for each");
        }
    }
}

/* False: a fault was said. */
static bool read_one(struct reader *reader, const char *path)
{
    struct include_set *set = reader->includes;
    struct include_file file = {.name = arena_copy(reader->arena, str_of(path))};
    struct syntax_fault fault = {0};
    struct fail why = {""};

    file.text = file_read(path, TREE_MAX_BYTES, &file.len, &why);
    if (file.text == NULL || file.name.ptr == NULL) {
        reader_fault(reader, "%s", why.text[0] != '\0' ? why.text : "out of memory");
        free(file.text);
        return false;
    }
    file.tree = tree_new(file.text, file.len, &fault);
    if (file.tree == NULL || file.tree->root->kind != NODE_OBJECT) {
        fault_of_file(reader, &file, fault.offset, "%s",
                      file.tree == NULL ? fault.why.text : "is no object, expected one");
        tree_free(&file.tree);
        free(file.text);
        return false;
    }
    set->at[set->count++] = file;
    check_names(reader, file.tree->root);
    return true;
}

/* The pattern from the folder of the main file. */
static bool resolve(const struct reader *reader, struct str pattern, char out[MAX_PATTERN])
{
    struct str source = reader->config->source;
    struct buf path = buf_new(MAX_PATTERN - 1);
    bool fits;

    while (source.len > 0 && source.ptr[source.len - 1] != '/')
        source.len--;
    fits = (str_starts(pattern, STR("/")) || buf_add_str(&path, source)) &&
           buf_add_str(&path, pattern) && buf_add_char(&path, '\0');
    if (fits)
        memcpy(out, path.ptr, path.len);
    buf_free(&path);
    return fits;
}

static void read_pattern(struct reader *reader, struct str pattern)
{
    const struct node *node = reader->node;
    char path[MAX_PATTERN];
    glob_t found = {0};

    if (!resolve(reader, pattern, path)) {
        reader_fault(reader, "is longer than a path can be");
        return;
    }
    if (glob(path, 0, NULL, &found) != 0) {
        if (strpbrk(path, "*?[") == NULL) /* a folder may be empty, a name is meant */
            reader_fault(reader, "is \"%.*s\", which cannot be read", STR_ARG(pattern));
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        reader->node = node;
        if (reader->includes->count >= MAX_FILES) {
            reader_fault(reader, "names more than %d files in all", MAX_FILES);
            break;
        }
        if (!read_one(reader, found.gl_pathv[i]))
            reader->is_cut = true;
    }
    globfree(&found);
}

bool include_read(struct reader *reader, struct tree *tree)
{
    const struct node *list = child_named(tree->root, "include");

    if (list == NULL || list->kind != NODE_LIST)
        return true; /* the field's kind says what is wrong */
    if (!reader->has_file) {
        reader_fault_in(reader, list, NULL, "stands in a text that is no file");
        return true;
    }
    reader->includes->at = calloc(MAX_FILES, sizeof(*reader->includes->at));
    if (reader->includes->at == NULL)
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        struct str pattern;

        if (list->children[i].kind == NODE_STRING &&
            reader_text(reader, &list->children[i], &pattern, NULL))
            read_pattern(reader, pattern);
    }
    return include_merge(tree, reader->includes);
}

void include_close(struct include_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        tree_free(&set->at[i].tree);
}

void include_free(struct include_set *set)
{
    include_close(set);
    for (uint32_t i = 0; i < set->count; i++)
        free(set->at[i].text);
    free(set->at);
    *set = (struct include_set){NULL, 0};
}

/* ---- the field ---- */

static enum read_result include_from_node(struct reader *reader, const struct field *field,
                                          void *base, const struct node *node)
{
    (void)reader;
    (void)field;
    (void)base;
    for (uint32_t i = 0; i < node->count; i++)
        if (node->children[i].kind != NODE_STRING)
            return READ_WRONG;
    return node->kind == NODE_LIST ? READ_OK : READ_WRONG;
}

/* What was included is printed in its place. */
static bool include_is_set(const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    return false;
}

static void include_schema(struct printer *printer, const struct field *field, const void *base)
{
    kind_texts.schema(printer, field, base);
}

const struct kind kind_include = {.expected = "a list of files such as [\"conf.d/*.json\"]",
                                  .from_node = include_from_node,
                                  .is_set = include_is_set,
                                  .schema = include_schema};
