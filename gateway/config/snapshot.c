/* snapshot.c - from a file and the environment to a checked, counted configuration.
 *
 * The order: defaults, what the environment adds for routes to refer to, the file, the
 * environment's overrides, checks across settings. A syntax fault ends the reading; all
 * other faults are gathered. Only a snapshot without any fault leaves this file.
 *
 * Loading blocks on the file and may run on any thread; a finished snapshot never
 * changes, only its count of references does. */
#include "config/config_priv.h"

#include <stdlib.h>

enum { ARENA_BLOCK = 64 * 1024, ARENA_MAX = 512 * 1024 * 1024 };

static void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    map_free(&snapshot->marks);
    include_free(&snapshot->includes);
    arena_free(&snapshot->arena);
    free(snapshot->text);
    free(snapshot);
}

struct snapshot *snapshot_new(struct reader *reader, struct str source)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    if (snapshot == NULL)
        return NULL;
    atomic_init(&snapshot->references, 1);
    snapshot->arena = arena_new(ARENA_BLOCK, ARENA_MAX);
    snapshot->marks = map_new();
    if (snapshot->arena == NULL || snapshot->marks == NULL)
        goto failed;
    snapshot->config.source = arena_copy(snapshot->arena, source);
    reader->snapshot = snapshot;
    reader->includes = &snapshot->includes;
    reader->config = &snapshot->config;
    reader->arena = snapshot->arena;
    if (snapshot->config.source.ptr == NULL ||
        !section_reset(reader, &root_section, &snapshot->config))
        goto failed;
    return snapshot;
failed:
    snapshot_free(snapshot);
    return NULL;
}

static void report_repeated(struct reader *reader, const struct node *node)
{
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *child = &node->children[i];
        if (child->is_repeated) {
            struct node at_key = *child;
            at_key.mark.value_at = child->mark.key_at;
            reader_fault_in(reader, &at_key, NULL,
                            "stands here a second time, expected each name once");
        }
        report_repeated(reader, child);
    }
}

static void put_plain(struct faults *faults, const struct fault_place *place, const char *format,
                      ...) PRINTF_LIKE(3, 4);

static void put_plain(struct faults *faults, const struct fault_place *place, const char *format,
                      ...)
{
    va_list args;

    va_start(args, format);
    faults_put(faults, place, format, args);
    va_end(args);
}

/* Reads a text over the defaults. False: a syntax fault, in it or in an included file, which is
 * said. */
static bool read_file_text(struct reader *reader, char *text, size_t len, struct tree **tree)
{
    struct syntax_fault fault = {0};

    *tree = tree_new(text, len, &fault);
    if (*tree == NULL) {
        struct fault_place place = {
            .file = reader->config->source, .text = str_at(text, len), .offset = fault.offset};
        put_plain(reader->faults, &place, "%s", fault.why.text);
        return false;
    }
    reader->tree = *tree;
    if (!include_read(reader, *tree))
        reader_fault_at(reader, "", "out of memory");
    if (reader->is_cut)
        return false;
    section_read(reader, &root_section, (*tree)->root, reader->config);
    report_repeated(reader,
                    (*tree)->root); /* after reading: that is when names are known to be secret */
    return true;
}

static struct config *load(const char *name, char *text, size_t len, bool is_file, char *const *env,
                           struct faults *faults)
{
    uint32_t faults_before = faults_count(faults);
    struct reader reader = {.faults = faults, .env = env, .has_file = is_file};
    struct snapshot *snapshot = snapshot_new(&reader, str_of(name));
    struct tree *tree = NULL;

    if (snapshot == NULL) {
        struct fault_place place = {.file = str_of(name), .offset = SIZE_MAX};
        put_plain(faults, &place, "out of memory");
        return NULL;
    }
    env_before_file(&reader);
    if (text == NULL || read_file_text(&reader, text, len, &tree)) {
        env_after_file(&reader);
        check_references(&reader);
    }
    map_free(&reader.upstreams);
    include_close(&snapshot->includes);
    tree_free(&tree);
    if (faults_count(faults) > faults_before) {
        faults_sort(faults);
        snapshot_free(snapshot);
        return NULL;
    }
    return &snapshot->config;
}

static struct config *load_text(const char *name, char *text, size_t len, bool is_file,
                                char *const *env, struct faults *faults)
{
    struct config *config = load(name, text, len, is_file, env, faults);

    if (config != NULL) {
        struct snapshot *snapshot = (struct snapshot *)(void *)config;
        snapshot->text = malloc(len + 1); /* without it faults_add() only lacks places */
        snapshot->text_len = len;
        if (snapshot->text != NULL)
            memcpy(snapshot->text, text, len + 1);
    }
    return config;
}

struct config *config_load_text(const char *name, char *text, size_t len, char *const *env,
                                struct faults *faults)
{
    return load_text(name, text, len, false, env, faults);
}

struct config *config_load(const char *file, char *const *env, struct faults *faults)
{
    struct fail why = {""};
    size_t len = 0;

    if (file == NULL)
        return load("built-in defaults", NULL, 0, false, env, faults);
    char *text = file_read(file, TREE_MAX_BYTES, &len, &why);
    if (text == NULL) {
        /* the reason starts with the file's name already */
        struct str reason = str_from(str_of(why.text), strlen(file) + 2);
        struct fault_place place = {.file = str_of(file), .offset = SIZE_MAX};
        put_plain(faults, &place, "%.*s", STR_ARG(reason));
        return NULL;
    }
    struct config *config = load_text(file, text, len, true, env, faults);
    free(text);
    return config;
}

struct config *config_hold(struct config *config)
{
    struct snapshot *snapshot = (struct snapshot *)(void *)config;

    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return config;
}

void config_release(struct config **config)
{
    if (config == NULL || *config == NULL)
        return;
    struct snapshot *snapshot = (struct snapshot *)(void *)*config;
    *config = NULL;
    if (atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) == 1)
        snapshot_free(snapshot);
}

const struct tier_config *config_tier(const struct config *config, struct str name)
{
    for (uint32_t i = 0; i < config->tier_count; i++) {
        if (str_eq(config->tiers[i].name, name))
            return &config->tiers[i];
    }
    return NULL;
}
