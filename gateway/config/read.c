/* read.c - the one reader of all sections.
 *
 * It walks a table, not the text: for each field of a section it looks for the member
 * of that name, and afterwards for members that no field knows. So fields are read in
 * the order of their table whatever the order in the file, and a later field may rest
 * on an earlier one (a burst on its bucket, a route on the upstreams). Faults never
 * stop it: a person wants all of them at once.
 *
 * On the thread that called config_load(). */
#include "config/config_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATH = 4096, MAX_SHOWN = 60 };

/* ---- faults ---- */

static void put_fault(struct reader *reader, const struct node *node, struct str path,
                      const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void put_fault(struct reader *reader, const struct node *node, struct str path,
                      const char *format, va_list args)
{
    struct fault_place place = {.file = reader->config->source, .offset = SIZE_MAX, .path = path};

    if (node != NULL && reader->tree != NULL) {
        const struct include_file *file = include_of(reader->includes, node);

        place.text = reader->tree->text;
        place.offset = node->mark.value_at;
        if (file != NULL) {
            place.file = file->name;
            place.text = file->tree->text;
            place.file_index = (uint32_t)(file - reader->includes->at) + 1;
        }
    }
    if (reader->variable != NULL) {
        place.file = STR("environment");
        place.path = str_of(reader->variable);
        place.offset = SIZE_MAX;
    }
    faults_put(reader->faults, &place, format, args);
}

static void put_fault_in(struct reader *reader, const struct node *node, const char *member,
                         const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void put_fault_in(struct reader *reader, const struct node *node, const char *member,
                         const char *format, va_list args)
{
    struct buf path = buf_new(MAX_PATH);

    node_path(node, &path);
    if (member != NULL)
        buf_addf(&path, "%s%s", path.len > 0 ? "." : "", member);
    put_fault(reader, node, buf_str(&path), format, args);
    buf_free(&path);
}

void reader_fault(struct reader *reader, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_fault_in(reader, reader->node, NULL, format, args);
    va_end(args);
}

void reader_fault_in(struct reader *reader, const struct node *node, const char *member,
                     const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_fault_in(reader, node, member, format, args);
    va_end(args);
}

void reader_fault_at(struct reader *reader, const char *path, const char *format, ...)
{
    const struct node *node = reader->tree != NULL ? tree_find(reader->tree, str_of(path)) : NULL;
    va_list args;

    if (node != NULL && node->parent == NULL)
        node = NULL;
    va_start(args, format);
    if (node != NULL && include_of(reader->includes, node) != NULL)
        put_fault_in(reader, node, NULL, format, args); /* by its place in its own file */
    else
        put_fault(reader, node, str_of(path), format, args);
    va_end(args);
}

/* ---- memory ---- */

void *reader_zero(struct reader *reader, size_t size)
{
    void *piece = arena_zero(reader->arena, size);

    if (piece == NULL)
        reader_fault(reader, "out of memory");
    return piece;
}

bool reader_keep(struct reader *reader, struct str text, struct str *kept)
{
    *kept = arena_copy(reader->arena, text);
    if (kept->ptr == NULL)
        reader_fault(reader, "out of memory");
    return kept->ptr != NULL;
}

void reader_mark(struct reader *reader, struct str path, struct str variable)
{
    struct str key, name;

    if (!reader_keep(reader, path, &key) || !reader_keep(reader, variable, &name))
        return;
    if (!map_put(reader->snapshot->marks, key, (char *)(uintptr_t)name.ptr))
        reader_fault(reader, "out of memory");
}

static void mark_field(struct reader *reader, struct str variable)
{
    struct buf path = buf_new(MAX_PATH);

    node_path(reader->field, &path);
    reader_mark(reader, buf_str(&path), variable);
    buf_free(&path);
}

/* ---- values ---- */

/* Text from a file or the environment ends in headers, paths and logs: no control characters. */
static bool has_control(const struct reader *reader, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (reader->takes_lines && text.ptr[i] != '\0' && strchr("\r\n\t", text.ptr[i]) != NULL)
            continue;
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            return true;
    }
    return false;
}

bool reader_text(struct reader *reader, const struct node *node, struct str *text,
                 bool *is_variable)
{
    struct substitution result;
    struct fail why = {""};

    reader->node = node;
    if (!substitute(node->text, reader->env, reader->arena, &result, &why)) {
        reader_fault(reader, "%s", why.text);
        return false;
    }
    if (has_control(reader, result.text)) {
        reader_fault(reader, "holds a control character, expected printable text");
        return false;
    }
    if (result.variable.ptr != NULL) {
        if (scan_utf8(result.text) < result.text.len) {
            reader_fault(reader, "the value of %.*s is not UTF-8", STR_ARG(result.variable));
            return false;
        }
        mark_field(reader, result.variable);
    }
    if (is_variable != NULL)
        *is_variable = result.is_variable;
    return reader_keep(reader, result.text, text);
}

static void write_bound(struct buf *out, const struct field *field, int64_t value)
{
    if (field->kind == &kind_duration)
        duration_write(out, value);
    else if (field->kind == &kind_size)
        size_write(out, (uint64_t)value);
    else
        buf_addf(out, "%" PRId64, value);
}

enum read_result reader_range(struct reader *reader, const struct field *field, int64_t value)
{
    struct buf text = buf_new(256);

    if (value >= field->least && value <= field->most)
        return READ_OK;
    write_bound(&text, field, value);
    buf_add(&text, ", expected ", 11);
    write_bound(&text, field, field->least);
    buf_add(&text, " to ", 4);
    write_bound(&text, field, field->most);
    reader_fault(reader, "is %.*s", STR_ARG(text));
    buf_free(&text);
    return READ_FAULTED;
}

static void describe(const struct node *node, char out[MAX_SHOWN + 8])
{
    switch (node->kind) {
    case NODE_NULL:
        snprintf(out, MAX_SHOWN, "null");
        break;
    case NODE_BOOL:
        snprintf(out, MAX_SHOWN, "%s", node->is_true ? "true" : "false");
        break;
    case NODE_NUMBER:
        if (isfinite(node->number))
            snprintf(out, MAX_SHOWN, "%.15g", node->number);
        else
            snprintf(out, MAX_SHOWN, "a number too large to hold");
        break;
    case NODE_STRING:
        if (node->text.len < MAX_SHOWN)
            snprintf(out, MAX_SHOWN + 8, "\"%.*s\"", STR_ARG(node->text));
        else
            snprintf(out, MAX_SHOWN, "a string of %zu bytes", node->text.len);
        break;
    case NODE_LIST:
        snprintf(out, MAX_SHOWN, "a list");
        break;
    case NODE_OBJECT:
        snprintf(out, MAX_SHOWN, "an object");
        break;
    }
}

/* What a field of this kind looks like, for faults. */
static void expectation(const struct field *field, struct buf *out)
{
    if (field->kind == &kind_choice || field->kind == &kind_flag) {
        const struct words *words = field->detail;
        for (size_t i = 0; words->at[i] != NULL; i++) {
            const char *joint = i == 0 ? "" : words->at[i + 1] != NULL ? ", " : " or ";
            buf_addf(out, "%s\"%s\"", joint, words->at[i]);
        }
    } else if ((field->kind == &kind_text || field->kind == &kind_texts) && field->detail != NULL) {
        const struct text_rule *rule = field->detail;
        buf_addf(out, "%s%s", field->kind == &kind_texts ? "a list of which each is " : "",
                 rule->expected);
    } else {
        buf_add_str(out, str_of(field->kind->expected));
    }
    buf_add_char(out, '\0');
}

static void wrong(struct reader *reader, const struct field *field, const char *is)
{
    struct buf expected = buf_new(512);

    expectation(field, &expected);
    reader_fault(reader, "is %s, expected %s", is,
                 expected.ptr != NULL ? expected.ptr : "another value");
    buf_free(&expected);
}

void field_read(struct reader *reader, const struct field *field, const struct node *node,
                void *base)
{
    const struct node *outer = reader->field;
    const struct kind *kind = field->kind;
    enum read_result result = READ_WRONG;
    char shown[MAX_SHOWN + 8];
    bool is_variable = false;

    reader->node = reader->field = node;
    describe(node, shown);
    if (node->kind == NODE_STRING) {
        struct str text;
        reader->takes_lines = kind->takes_lines;
        if (!reader_text(reader, node, &text, &is_variable))
            result = READ_FAULTED;
        else if (kind->from_text != NULL && (kind->takes_text || is_variable))
            result = kind->from_text(reader, field, base, text);
    } else if (kind->from_node != NULL) {
        result = kind->from_node(reader, field, base, node);
    }
    reader->takes_lines = false;
    reader->node = node;
    if (result == READ_WRONG)
        wrong(reader, field, is_variable ? "set by a variable to something else" : shown);
    reader->field = outer;
}

void field_read_text(struct reader *reader, const struct field *field, struct str text, void *base)
{
    char shown[MAX_SHOWN + 8];
    struct node as_node = {.kind = NODE_STRING, .text = text};

    if (scan_utf8(text) < text.len || has_control(reader, text)) {
        reader_fault(reader, "is not printable UTF-8");
        return;
    }
    describe(&as_node, shown);
    CHECK(field->kind->from_text != NULL);
    if (field->kind->from_text(reader, field, base, text) == READ_WRONG)
        wrong(reader, field, shown);
}

/* ---- sections ---- */

const char *nearest_word(struct str wrong_word, const char *const *words, size_t count)
{
    enum { MAX_WORD = 48 };
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    size_t len = wrong_word.len < MAX_WORD ? wrong_word.len : MAX_WORD;

    for (size_t w = 0; w < count; w++) {
        /* Levenshtein, one row; the start of a long word is enough */
        size_t row[MAX_WORD + 1], word_len = strlen(words[w]);
        for (size_t i = 0; i <= len; i++)
            row[i] = i;
        for (size_t j = 1; j <= word_len; j++) {
            size_t diagonal = row[0];
            row[0] = j;
            for (size_t i = 1; i <= len; i++) {
                bool same = ascii_lower(wrong_word.ptr[i - 1]) == ascii_lower(words[w][j - 1]);
                size_t change = diagonal + (same ? 0 : 1);
                size_t less = (row[i] < row[i - 1] ? row[i] : row[i - 1]) + 1;
                diagonal = row[i];
                row[i] = change < less ? change : less;
            }
        }
        if (row[len] < best_distance) {
            best_distance = row[len];
            best = words[w];
        }
    }
    return best;
}

bool section_reset(struct reader *reader, const struct section *section, void *base)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        CHECK(field->kind->width == 0 || field->kind->width == field->width);
        if (field->kind->reset != NULL) {
            if (!field->kind->reset(reader, field, base))
                return false;
        } else if (field->initial != NULL) {
            /* a default that cannot be read is a wrong row in a table */
            enum read_result result =
                field->kind->from_text(reader, field, base, str_of(field->initial));
            CHECK(result != READ_WRONG);
            if (result != READ_OK)
                return false;
        }
    }
    return true;
}

static bool is_known(const struct section *section, struct str name)
{
    for (size_t i = 0; i < section->count; i++) {
        if (str_eq(str_of(section->fields[i].name), name))
            return true;
    }
    return false;
}

static void report_unknown(struct reader *reader, const struct section *section,
                           const struct node *child)
{
    enum { MAX_FIELDS = 40 };
    const char *names[MAX_FIELDS];
    struct node at_key = *child;

    CHECK(section->count <= MAX_FIELDS);
    for (size_t i = 0; i < section->count; i++)
        names[i] = section->fields[i].name;
    at_key.mark.value_at = child->mark.key_at;
    reader_fault_in(reader, &at_key, NULL, "is not a known setting, expected perhaps \"%s\"",
                    nearest_word(child->key, names, section->count));
}

void section_read(struct reader *reader, const struct section *section, const struct node *node,
                  void *base)
{
    if (node->kind != NODE_OBJECT) {
        char shown[MAX_SHOWN + 8];
        describe(node, shown);
        reader_fault_in(reader, node, NULL, "is %s, expected an object", shown);
        return;
    }
    for (size_t i = 0; i < section->count; i++) {
        const struct field *field = &section->fields[i];
        const struct node *child = node_child(node, str_of(field->name));
        if (child != NULL)
            field_read(reader, field, child, base);
        else if (field->is_required)
            reader_fault_in(reader, node, field->name, "is missing, expected %s", field->about);
    }
    for (uint32_t i = 0; i < node->count; i++) {
        if (!is_known(section, node->children[i].key))
            report_unknown(reader, section, &node->children[i]);
    }
    reader->node = node;
    if (section->finish != NULL)
        section->finish(reader, node, base);
}
