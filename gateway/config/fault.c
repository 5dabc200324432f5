/* fault.c - everything that is wrong with a configuration, as lines for a person.
 *
 * A hundred lines are enough to work with: what comes after is counted in one more.
 * Rooms above that judge their own settings know only the path of a field; its place is
 * found by reading the snapshot's text once more, and only when there is a fault.
 *
 * One thread at a time. */
#include "config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_LINES = 100, MAX_LINE = 1024 };

struct line {
    char *text;
    size_t offset, order;
    uint32_t file_index;
};
struct faults {
    struct line lines[MAX_LINES + 1];
    uint32_t count;
    const struct config *located; /* what `tree` was made of */
    struct tree *tree;
    char *text;
    struct include_set includes;
};

struct faults *faults_new(void)
{
    return calloc(1, sizeof(struct faults));
}

static void forget_tree(struct faults *faults)
{
    include_free(&faults->includes);
    tree_free(&faults->tree);
    free(faults->text);
    faults->text = NULL;
}

void faults_free(struct faults **faults)
{
    if (faults == NULL || *faults == NULL)
        return;
    for (uint32_t i = 0; i < (*faults)->count; i++)
        free((*faults)->lines[i].text);
    forget_tree(*faults);
    free(*faults);
    *faults = NULL;
}

uint32_t faults_count(const struct faults *faults)
{
    return faults->count;
}

struct str faults_text(const struct faults *faults, uint32_t index)
{
    return index < faults->count ? str_of(faults->lines[index].text) : STR_NONE;
}

static void write_line(struct buf *out, const struct fault_place *place, const char *message)
{
    buf_add_str(out, place->file);
    if (place->offset != SIZE_MAX) {
        uint32_t line, column;
        scan_place(place->text, place->offset, &line, &column);
        buf_addf(out, ":%" PRIu32 ":%" PRIu32, line, column);
    }
    buf_add(out, ": ", 2);
    if (place->path.len > 0) {
        buf_add_str(out, place->path);
        buf_add(out, ": ", 2);
    }
    buf_add_str(out, str_of(message));
    buf_add_char(out, '\0');
}

void faults_put(struct faults *faults, const struct fault_place *place, const char *format,
                va_list args)
{
    struct buf line = buf_new(SIZE_MAX / 2);
    struct fault_place where = *place;
    char message[MAX_LINE];

    if (faults->count > MAX_LINES)
        return;
    if (vsnprintf(message, sizeof(message), format, args) < 0)
        return;
    if (faults->count == MAX_LINES) {
        where.path = STR_NONE;
        where.offset = SIZE_MAX;
        snprintf(message, sizeof(message), "more faults than these %d, the others are not listed",
                 MAX_LINES);
    }
    write_line(&line, &where, message);
    if (line.is_broken) { /* without memory the fault still counts, with the shortest of texts */
        buf_free(&line);
        CHECK(buf_add(&line, "out of memory", sizeof("out of memory")));
    }
    faults->lines[faults->count] =
        (struct line){line.ptr, where.offset, faults->count, where.file_index};
    faults->count++;
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->offset != SIZE_MAX && y->offset != SIZE_MAX && x->file_index != y->file_index)
        return x->file_index < y->file_index ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void faults_sort(struct faults *faults)
{
    qsort(faults->lines, faults->count, sizeof(faults->lines[0]), compare_lines);
}

/* The included files of a snapshot once more, with trees of their own. */
static bool copy_includes(struct faults *faults, const struct include_set *from)
{
    struct syntax_fault ignored = {0};
    struct include_set *to = &faults->includes;

    to->at = calloc(from->count > 0 ? from->count : 1, sizeof(*to->at));
    for (uint32_t i = 0; to->at != NULL && i < from->count; i++) {
        struct include_file *file = &to->at[i];

        *file = from->at[i];
        file->tree = NULL;
        file->text = malloc(file->len + 1);
        if (file->text == NULL)
            return false;
        to->count++;
        memcpy(file->text, from->at[i].text, file->len + 1);
        file->tree = tree_new(file->text, file->len, &ignored);
        if (file->tree == NULL)
            return false;
    }
    return to->at != NULL;
}

/* The tree of a snapshot's text, kept for the next fault. NULL: no file, no memory. */
static const struct tree *tree_of(struct faults *faults, const struct config *config)
{
    const struct snapshot *snapshot = (const struct snapshot *)(const void *)config;
    struct syntax_fault ignored = {0};

    if (faults->located == config)
        return faults->tree;
    forget_tree(faults);
    faults->located = config;
    if (snapshot->text == NULL)
        return NULL;
    faults->text = malloc(snapshot->text_len + 1);
    if (faults->text == NULL)
        return NULL;
    memcpy(faults->text, snapshot->text, snapshot->text_len + 1);
    faults->tree = tree_new(faults->text, snapshot->text_len, &ignored);
    if (faults->tree != NULL && (!copy_includes(faults, &snapshot->includes) ||
                                 !include_merge(faults->tree, &faults->includes)))
        tree_free(&faults->tree); /* without memory there are faults without places */
    return faults->tree;
}

/* In an included file: its name, and the path there. */
static void name_included(const struct faults *faults, const struct node *node,
                          struct fault_place *place, struct buf *own)
{
    const struct include_file *file = include_of(&faults->includes, node);

    if (file == NULL)
        return;
    node_path(node, own);
    place->file = file->name;
    place->text = file->tree->text;
    place->file_index = (uint32_t)(file - faults->includes.at) + 1;
    if (!own->is_broken)
        place->path = buf_str(own);
}

void faults_add(struct faults *faults, const struct config *config, const char *path,
                const char *format, ...)
{
    struct fault_place place = {.file = config->source, .offset = SIZE_MAX, .path = str_of(path)};
    struct buf own = buf_new(4096);
    const struct tree *tree = tree_of(faults, config);
    va_list args;

    if (tree != NULL) {
        const struct node *node = tree_find(tree, place.path);
        place.text = tree->text;
        if (node != tree->root) /* the root says nothing about where */
            place.offset = node->mark.value_at;
        name_included(faults, node, &place, &own);
    }
    va_start(args, format);
    faults_put(faults, &place, format, args);
    va_end(args);
    buf_free(&own);
}
