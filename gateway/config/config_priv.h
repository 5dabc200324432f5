/* config_priv.h - how a setting is described, read, printed and explained.
 *
 * A field is a row: name, kind, place in its struct, default, bounds, what it does. A
 * kind knows one form of value: how to read it from JSON and from plain text (defaults
 * and the environment are plain text), how to print it and how JSON Schema says it. A
 * section is a table of fields. One reader, one printer and one schema writer walk the
 * tables, so a new setting is one new row.
 * The reader belongs to one call of config_load(); tables are constant. */
#ifndef GATEWAY_CONFIG_PRIV_H
#define GATEWAY_CONFIG_PRIV_H
#include "config/config.h"
#include "config/tree_priv.h"

#include <stdatomic.h>

struct reader;
struct printer;
struct field;

/* ---- include.c ---- */
struct include_file {
    struct str name; /* the snapshot's */
    char *text;      /* owned */
    size_t len;
    struct tree *tree; /* NULL once it is read */
};
struct include_set {
    struct include_file *at;
    uint32_t count;
};
struct tree;
/* Reads the files that "include" of the main tree names, and joins their trees with it. Faults are
 * said. False: out of memory. */
bool include_read(struct reader *reader, struct tree *tree) MUST_USE;
bool include_merge(struct tree *tree, const struct include_set *set) MUST_USE;
/* The file that a node came from; NULL: the main one. */
const struct include_file *include_of(const struct include_set *set, const struct node *node);
void include_close(struct include_set *set); /* the trees; names and texts stay */
void include_free(struct include_set *set);

/* ---- snapshot.c: what config_load() gives, with what only this room sees ---- */
struct snapshot {
    struct config config; /* first: the door hands out its address */
    atomic_uint references;
    struct arena *arena;
    struct map *marks;           /* path -> name of the environment variable that it came from */
    struct include_set includes; /* texts, as `text` */
    char *text; /* the file, comments blanked: places for faults_add(); NULL without a file */
    size_t text_len;
};
/* With the defaults and one reference; `reader` reads into it. NULL: out of memory. */
struct snapshot *snapshot_new(struct reader *reader, struct str source) MUST_USE;
/* config_load() for a text in memory, under `name`; text is changed (comments). */
struct config *config_load_text(const char *name, char *text, size_t len, char *const *env,
                                struct faults *faults) MUST_USE;

/* ---- fault.c ---- */
/* One line `FILE:LINE:COL: path: message`; offset SIZE_MAX: without a place; path empty: without.
 */
struct fault_place {
    struct str file, text;
    size_t offset;
    struct str path;
    uint32_t file_index; /* 0: the main one; for the order of lines */
};
void faults_put(struct faults *faults, const struct fault_place *place, const char *format,
                va_list args) __attribute__((format(printf, 3, 0)));
void faults_sort(struct faults *faults); /* by place, those without one last */

/* ---- tables ---- */
enum read_result {
    READ_OK,
    READ_WRONG,  /* the reader says what was expected */
    READ_FAULTED /* the kind has said it */
};
struct kind {
    size_t width;         /* of the member, to catch a row with the wrong kind; 0: any */
    bool takes_text;      /* a string in the file is a right form, not only "${NAME}" */
    bool is_group;        /* holds settings of its own */
    bool takes_lines;     /* a string may have line ends and tabs */
    const char *expected; /* "a duration such as …"; NULL: from the field */
    enum read_result (*from_text)(struct reader *reader, const struct field *field, void *base,
                                  struct str text);
    enum read_result (*from_node)(struct reader *reader, const struct field *field, void *base,
                                  const struct node *node);
    bool (*reset)(struct reader *reader, const struct field *field,
                  void *base); /* NULL: field->initial */
    bool (*is_set)(const struct field *field,
                   const void *base); /* NULL: always; else not printed */
    void (*print)(struct printer *printer, const struct field *field, const void *base);
    void (*schema)(struct printer *printer, const struct field *field, const void *base);
};
struct field {
    const char *name;
    const struct kind *kind;
    size_t offset, width;
    const char *initial; /* as it would stand in the environment; NULL: none */
    int64_t least, most;
    const char *about;
    const void *detail; /* what the kind needs to know */
    bool is_required;
};
struct section {
    const struct field *fields;
    size_t count;
    size_t size; /* of the struct; 0: the fields lie in their parent's */
    void (*finish)(struct reader *reader, const struct node *node,
                   void *base);       /* after reading; may be NULL */
    bool (*is_set)(const void *base); /* NULL: always */
};
/* What FIELD_GROUP rows point to for an object of named structs, or a list of them. */
struct collection {
    const struct section *section;
    size_t count_offset;                   /* uint32_t, in the same struct as the array */
    size_t name_offset;                    /* struct str, in the element */
    bool hides_names;                      /* names are digests of credentials: printed shortened */
    bool (*is_short)(const void *element); /* kind_either: the string form says it all */
};
/* Words in the order of an enum's values; ended by NULL. A flag has two. */
struct words {
    const char *at[8];
};
/* What a text must be; NULL detail: anything. */
struct text_rule {
    const char *expected;
    bool (*is_right)(struct str text);
};

#define FIELD_BASE(n, k, type, member, ini, lo, hi, what)                                          \
    .name = n, .kind = &k, .offset = offsetof(type, member), .width = sizeof(((type *)0)->member), \
    .initial = ini, .least = lo, .most = hi, .about = what
#define FIELD(n, k, type, member, ini, lo, hi, what)                                               \
    {                                                                                              \
        FIELD_BASE(n, k, type, member, ini, lo, hi, what)                                          \
    }
#define FIELD_WITH(d, n, k, type, member, ini, lo, hi, what)                                       \
    {                                                                                              \
        FIELD_BASE(n, k, type, member, ini, lo, hi, what), .detail = &d                            \
    }
#define FIELD_REQUIRED(d, n, k, type, member, lo, hi, what)                                        \
    {                                                                                              \
        FIELD_BASE(n, k, type, member, NULL, lo, hi, what), .detail = d, .is_required = true       \
    }
/* Settings under a name of their own that lie in the parent's struct. */
#define FIELD_NESTED(n, s, what)                                                                   \
    {                                                                                              \
        .name = n, .kind = &kind_section, .about = what, .detail = &s                              \
    }
#define SECTION(table, bytes) .fields = table, .count = COUNT_OF(table), .size = bytes

#define SECONDS(n) ((int64_t)(n)*1000)
#define MINUTES(n) (SECONDS(n) * 60)
#define HOURS(n)   (MINUTES(n) * 60)
#define DAYS(n)    (HOURS(n) * 24)
#define KIB(n)     ((int64_t)(n)*1024)
#define MIB(n)     (KIB(n) * 1024)
#define GIB(n)     (MIB(n) * 1024)
enum { MAX_PORT = 65535 };

/* kinds_plain.c */
extern const struct kind kind_bool, kind_count, kind_number, kind_share, kind_duration, kind_size;
/* kinds_text.c */
extern const struct kind kind_text, kind_lines, kind_secret, kind_choice, kind_flag, kind_texts;
/* kinds_group.c: objects of settings, objects of named things, lists of things */
extern const struct kind kind_section, kind_map, kind_list;
/* kinds_either.c: a struct, or a list of them, that may be written as one string, which is the
 * first field of its section */
extern const struct kind kind_either, kind_eithers;
/* kinds_net.c */
extern const struct kind kind_address, kind_url, kind_cidrs;
/* kinds_window.c */
extern const struct kind kind_window, kind_burst, kind_windows, kind_concurrent;
/* kinds_once.c, kinds_route.c: forms that one setting has */
extern const struct kind kind_workers, kind_store, kind_sources, kind_expires, kind_negative,
    kind_host, kind_retry_on;
/* kinds_upstream.c */
extern const struct kind kind_hash_on, kind_statuses;
extern const struct kind kind_reference, kind_per_user, kind_query, kind_scope;
/* kinds_answer.c */
extern const struct kind kind_pairs; /* its rule judges the names */
extern const struct kind kind_service;
extern const struct kind kind_include;
/* kinds_net.c: "http://host[:port]" and the like; false with the reason in `wrong`. Borrows. */
bool target_parse(struct str text, struct target_config *target, const char **wrong);

extern const struct section root_section, server_section, admin_section, store_section,
    identity_section, tier_section, limits_section, cache_section, upstream_section, route_section,
    log_section, resources_section, trace_section, system_health_section;
extern const struct collection tier_collection, upstream_collection, route_collection;

/* What kind_window reads: a window that has a key of its own. */
struct window_rule {
    const char *name;
    enum window_kind kind;
    int64_t period_ms;
};

/* ---- read.c: the reader ---- */
struct reader {
    struct snapshot *snapshot;
    struct config *config;
    struct arena *arena; /* the snapshot's */
    struct faults *faults;
    char *const *env;
    const struct tree *tree;      /* NULL while defaults or the environment are read */
    const struct node *node;      /* what is read: where faults point */
    const struct node *field;     /* the nearest setting: what a mark names */
    const char *variable;         /* the environment variable that is read, for faults */
    struct include_set *includes; /* the snapshot's */
    bool has_file;                /* the text came from a file: others may be named from there */
    bool is_cut;                  /* a file could not be read: what refers to it is no fault */
    bool takes_lines;             /* the text that is read may have several */
    struct map *upstreams;        /* name -> upstream, made when the first route asks */
};
/* Defaults for all fields of a section at `base` (zeroed before). */
bool section_reset(struct reader *reader, const struct section *section, void *base) MUST_USE;
/* Reads the object `node` over what is at `base`; faults are said. */
void section_read(struct reader *reader, const struct section *section, const struct node *node,
                  void *base);
void field_read(struct reader *reader, const struct field *field, const struct node *node,
                void *base);
/* The same from text outside the file. Says a fault. */
void field_read_text(struct reader *reader, const struct field *field, struct str text, void *base);
/* A string node after substitution, copied into the snapshot; false when a fault was said.
 * *is_variable (may be NULL): it was "${NAME}" and nothing else. */
bool reader_text(struct reader *reader, const struct node *node, struct str *text,
                 bool *is_variable) MUST_USE;
/* A copy in the snapshot; out of memory is a fault. */
bool reader_keep(struct reader *reader, struct str text, struct str *kept) MUST_USE;
void *reader_zero(struct reader *reader, size_t size) MUST_USE;
/* At reader->node, or the variable. */
void reader_fault(struct reader *reader, const char *format, ...) PRINTF_LIKE(2, 3);
/* At a member of `node` that may be missing; member NULL: at the node. */
void reader_fault_in(struct reader *reader, const struct node *node, const char *member,
                     const char *format, ...) PRINTF_LIKE(4, 5);
/* At a path in the file, or without a place. */
void reader_fault_at(struct reader *reader, const char *path, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Notes that the setting at `path` came from a variable. */
void reader_mark(struct reader *reader, struct str path, struct str variable);
enum read_result reader_range(struct reader *reader, const struct field *field, int64_t value);
const char *nearest_word(struct str wrong, const char *const *words, size_t count);

static inline void *member_of(const struct field *field, void *base)
{
    return (char *)base + field->offset;
}
static inline const void *member_in(const struct field *field, const void *base)
{
    return (const char *)base + field->offset;
}

/* substitute.c: ${NAME} and ${NAME:-default}. */
struct substitution {
    struct str text;     /* of the arena, or the source itself */
    struct str variable; /* the last one that was set; ptr NULL: none */
    bool is_variable;    /* the source is one ${…} and nothing else */
};
bool substitute(struct str source, char *const *env, struct arena *arena,
                struct substitution *result, struct fail *why) MUST_USE;
struct str env_get(char *const *env, struct str name); /* ptr NULL: not set */

/* kinds_group.c: a new element at the end, defaults set, named; NULL: fault said. */
void *collection_add(struct reader *reader, const struct field *field, void *base,
                     struct str name) MUST_USE;
/* env.c */
void env_before_file(struct reader *reader); /* what routes of the file may refer to */
void env_after_file(struct reader *reader);
/* check.c: what no single setting can see */
void check_references(struct reader *reader);
/* cores.c */
uint32_t cores_usable(void);
/* words that kinds share: units.c */
bool size_parse(struct str text, uint64_t *bytes) MUST_USE;
bool decimal_parse(struct str text, double *value) MUST_USE;
void duration_write(struct buf *out, int64_t ms);
void size_write(struct buf *out, uint64_t bytes);
void time_write(struct buf *out, int64_t seconds);
bool is_token(struct str text); /* RFC 9110 §5.6.2 */
/* kinds_window.c: false when the set is full */
bool window_put(struct window_set *set, const struct window_config *window);
void window_drop(struct window_set *set, const char *name);

/* ---- print.c ---- */
struct printer {
    struct buf *out;
    struct buf path;
    const struct map *marks; /* NULL: no comments */
    const char *comment;     /* waits for the end of its line */
    struct reader *reader;   /* schema.c: gives scratch elements */
    uint32_t depth;
    bool is_first;
};
void print_begin(struct printer *printer, char bracket);
void print_end(struct printer *printer, char bracket);
void print_name(struct printer *printer,
                struct str name); /* of the next member; print_item() in a list */
void print_item(struct printer *printer);
void print_mark(
    struct printer *printer); /* the comment of the value that comes now, by printer->path */
void print_field(struct printer *printer, const struct field *field, const void *base);
void print_section(struct printer *printer, const struct section *section, const void *base);
/* schema.c */
void schema_section(struct printer *printer, const struct section *section, const void *base);
void schema_text(struct printer *printer, const char *type, const char *pattern); /* or "${NAME}" */

#endif
