/* tree.c - cJSON's values joined with the scanner's places.
 *
 * Both walk the text in the same order, so the n-th value of one is the n-th of the
 * other. Children become arrays: cJSON's lists make reading ten thousand routes
 * quadratic. Strings are copied into the tree's arena and cJSON's are freed at once.
 *
 * One thread at a time; the tree does not change once it is made. */
#include "config/tree_priv.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

enum { TREE_BLOCK = 64 * 1024, TREE_MAX_ARENA = 512 * 1024 * 1024 };

struct growth {
    struct arena *arena;
    const struct scan_mark *marks;
    size_t count, next;
};

static bool grow_children(struct growth *growth, struct node *node, const cJSON *item);

static bool grow_text(struct growth *growth, const char *from, struct str *to)
{
    *to = arena_copy(growth->arena, str_of(from));
    return to->ptr != NULL;
}

static bool grow_node(struct growth *growth, struct node *node, const cJSON *item)
{
    CHECK(growth->next < growth->count);
    node->mark = growth->marks[growth->next++];
    if (cJSON_IsBool(item)) {
        node->kind = NODE_BOOL;
        node->is_true = cJSON_IsTrue(item);
    } else if (cJSON_IsNumber(item)) {
        node->kind = NODE_NUMBER;
        node->number = item->valuedouble;
    } else if (cJSON_IsString(item)) {
        node->kind = NODE_STRING;
        return grow_text(growth, item->valuestring, &node->text);
    } else if (cJSON_IsArray(item) || cJSON_IsObject(item)) {
        node->kind = cJSON_IsArray(item) ? NODE_LIST : NODE_OBJECT;
        return grow_children(growth, node, item);
    }
    return true;
}

/* Marks the members whose name came before. A table for large objects only. */
static bool mark_repeated(struct node *children, size_t count)
{
    enum { FEW = 16 };
    struct map *seen = NULL;
    bool is_done = false;

    if (count > FEW && (seen = map_new()) == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; seen == NULL && j < i; j++)
            children[i].is_repeated =
                children[i].is_repeated || str_eq(children[i].key, children[j].key);
        if (seen == NULL)
            continue;
        children[i].is_repeated = map_get(seen, children[i].key) != NULL;
        if (!children[i].is_repeated && !map_put(seen, children[i].key, &children[i]))
            goto done;
    }
    is_done = true;
done:
    map_free(&seen);
    return is_done;
}

static bool grow_children(struct growth *growth, struct node *node, const cJSON *item)
{
    size_t count = 0, i = 0;

    for (const cJSON *child = item->child; child != NULL; child = child->next)
        count++;
    struct node *children = arena_zero(growth->arena, count * sizeof(*children));
    if (children == NULL)
        return false;
    node->children = children;
    node->count = (uint32_t)count;
    for (const cJSON *child = item->child; child != NULL; child = child->next, i++) {
        children[i].parent = node;
        children[i].index = (uint32_t)i;
        if (node->kind == NODE_OBJECT && !grow_text(growth, child->string, &children[i].key))
            return false;
        if (!grow_node(growth, &children[i], child))
            return false;
    }
    return node->kind != NODE_OBJECT || mark_repeated(children, count);
}

static bool tree_grow(struct tree *tree, const cJSON *json, const struct buf *marks)
{
    struct growth growth = {.arena = tree->arena,
                            .marks = (const struct scan_mark *)(const void *)marks->ptr,
                            .count = marks->len / sizeof(struct scan_mark)};
    struct node *root = arena_zero(tree->arena, sizeof(*root));

    tree->root = root;
    return root != NULL && grow_node(&growth, root, json);
}

static void syntax_fail(struct syntax_fault *fault, size_t offset, const char *what)
{
    fault->offset = offset;
    fail_set(&fault->why, "%s", what);
}

struct tree *tree_new(char *text, size_t len, struct syntax_fault *fault)
{
    struct buf marks = buf_new((TREE_MAX_BYTES + 1) * sizeof(struct scan_mark));
    struct tree *tree = NULL, *result = NULL;
    cJSON *json = NULL;
    const char *end = NULL;

    if (!scan_json(text, len, &marks, fault))
        goto done;
    json = cJSON_ParseWithLengthOpts(text, len, &end, 0);
    if (json == NULL) {
        /* what the scanner leaves to cJSON: surrogates without their other half */
        syntax_fail(fault, end != NULL ? (size_t)(end - text) : 0, "not valid JSON");
        goto done;
    }
    tree = calloc(1, sizeof(*tree));
    if (tree != NULL)
        tree->arena = arena_new(TREE_BLOCK, TREE_MAX_ARENA);
    if (tree == NULL || tree->arena == NULL || !tree_grow(tree, json, &marks)) {
        syntax_fail(fault, 0, "out of memory");
        goto done;
    }
    tree->text = str_at(text, len);
    result = tree;
    tree = NULL;
done:
    tree_free(&tree);
    cJSON_Delete(json);
    buf_free(&marks);
    return result;
}

void tree_free(struct tree **tree)
{
    if (tree == NULL || *tree == NULL)
        return;
    arena_free(&(*tree)->arena);
    free(*tree);
    *tree = NULL;
}

const struct node *node_child(const struct node *node, struct str key)
{
    for (uint32_t i = 0; i < node->count; i++) {
        if (node->children[i].key.ptr != NULL && str_eq(node->children[i].key, key))
            return &node->children[i];
    }
    return NULL;
}

void hidden_name(struct str name, struct buf *out)
{
    enum { DIGEST = 64, SHOWN = 8 };

    for (size_t i = 0; i < name.len; i++) {
        if (ascii_hex_value(name.ptr[i]) < 0)
            name.len = 0;
    }
    if (name.len == DIGEST)
        buf_addf(out, "%.*s...", SHOWN, name.ptr);
    else
        buf_add(out, "***", 3);
}

void node_path(const struct node *node, struct buf *out)
{
    if (node == NULL || node->parent == NULL)
        return;
    node_path(node->parent, out);
    if (node->key.ptr == NULL) {
        buf_addf(out, "[%" PRIu32 "]", node->index);
        return;
    }
    if (node->parent->parent != NULL)
        buf_add_char(out, '.');
    if (node->is_hidden)
        hidden_name(node->key, out);
    else
        buf_add_str(out, node->key);
}

/* The child that the start of *path names. A name may hold dots, so the longest fit wins. */
static const struct node *child_on_path(const struct node *node, struct str *path)
{
    const struct node *best = NULL;
    struct str rest = *path;

    if (node->kind == NODE_LIST && rest.len > 0 && rest.ptr[0] == '[') {
        uint64_t index;
        size_t end = str_find(rest, ']');
        if (end == rest.len || !str_to_u64(str_at(rest.ptr + 1, end - 1), &index) ||
            index >= node->count)
            return NULL;
        *path = str_from(rest, end + 1);
        return &node->children[index];
    }
    if (rest.len > 0 && rest.ptr[0] == '.')
        rest = str_from(rest, 1);
    for (uint32_t i = 0; node->kind == NODE_OBJECT && i < node->count; i++) {
        struct str key = node->children[i].key;
        bool ends_there =
            rest.len == key.len ||
            (rest.len > key.len && (rest.ptr[key.len] == '.' || rest.ptr[key.len] == '['));
        if (ends_there && str_starts(rest, key) && (best == NULL || key.len > best->key.len))
            best = &node->children[i];
    }
    if (best != NULL)
        *path = str_from(rest, best->key.len);
    return best;
}

const struct node *tree_find(const struct tree *tree, struct str path)
{
    const struct node *node = tree->root;

    while (path.len > 0) {
        const struct node *child = child_on_path(node, &path);
        if (child == NULL)
            break;
        node = child;
    }
    return node;
}
