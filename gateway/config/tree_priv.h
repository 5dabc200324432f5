/* tree_priv.h - a configuration text as nodes that know where they stand.
 *
 * cJSON builds the values, but it keeps no positions and is lenient where a person
 * would want to be told (library facts §5). So the scanner judges the text strictly
 * first and notes the offset of each value in document order; the tree is then cJSON's
 * values with those offsets, in arrays instead of linked lists.
 * One thread at a time. */
#ifndef GATEWAY_CONFIG_TREE_PRIV_H
#define GATEWAY_CONFIG_TREE_PRIV_H
#include "base/base.h"

enum { TREE_MAX_DEPTH = 32, TREE_MAX_BYTES = 4 * 1024 * 1024 };

struct syntax_fault {
    size_t offset;
    struct fail why;
};

/* ---- scan.c ---- */
/* Where one value stands: in an object its key too, else both are the same. */
struct scan_mark {
    uint32_t key_at, value_at;
};
/* Blanks comments in text[0..len) and judges the rest as RFC 8259 JSON; text[len] is NUL.
 * Appends a struct scan_mark for each value, in document order. */
bool scan_json(char *text, size_t len, struct buf *marks, struct syntax_fault *fault) MUST_USE;
/* Offset of the first byte that is not UTF-8 (RFC 3629), or text.len. */
size_t scan_utf8(struct str text);
/* Line and column (in characters), both from 1. */
void scan_place(struct str text, size_t offset, uint32_t *line, uint32_t *column);

/* ---- tree.c ---- */
enum node_kind { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_LIST, NODE_OBJECT };
struct node {
    const struct node *parent; /* NULL: the root */
    struct str key;            /* in an object; ptr NULL in a list */
    uint32_t index;            /* place among its siblings */
    struct scan_mark mark;
    enum node_kind kind;
    bool is_repeated; /* an earlier sibling has the same key */
    bool is_hidden;   /* its key is a credential's digest, or a credential by mistake */
    bool is_true;
    double number;
    struct str text;
    struct node *children;
    uint32_t count;
};
struct tree {
    struct arena *arena;
    const struct node *root;
    struct str text; /* borrowed: for places */
};
/* Borrows `text` (comments in it are blanked) as long as the tree lives. NULL with the fault. */
struct tree *tree_new(char *text, size_t len, struct syntax_fault *fault) MUST_USE;
void tree_free(struct tree **tree);
const struct node *node_child(const struct node *node,
                              struct str key); /* the first of that name, or NULL */
/* Appends "routes[3].match.path"; nothing for the root. */
void node_path(const struct node *node, struct buf *out);
/* How a hidden name is shown: the start of a digest, nothing of anything else. */
void hidden_name(struct str name, struct buf *out);
/* The node at such a path, or the deepest one on the way that is there. */
const struct node *tree_find(const struct tree *tree, struct str path);

#endif
