/* kinds_window.c - the windows of a limit, by short keys or written out.
 *
 * per_second, per_minute, per_hour, per_day and per_month each make one window of a set;
 * "windows" adds others. They stay in that order: the limiter and X-RateLimit-* show
 * them so. A limit of 0 means no such window, so that a variable can switch one off.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

#define MAX_LIMIT INT64_C(1000000000000)

static struct window_config *window_find(struct window_set *set, struct str name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (str_eq(set->at[i].name, name))
            return &set->at[i];
    }
    return NULL;
}

bool window_put(struct window_set *set, const struct window_config *window)
{
    struct window_config *old = window_find(set, window->name);

    if (old == NULL && set->count == CONFIG_MAX_WINDOWS)
        return false;
    if (old == NULL)
        old = &set->at[set->count++];
    *old = *window;
    return true;
}

void window_drop(struct window_set *set, const char *name)
{
    struct window_config *old = window_find(set, str_of(name));

    if (old == NULL)
        return;
    size_t after = (size_t)(set->at + set->count - (old + 1));
    memmove(old, old + 1, after * sizeof(*old));
    set->count--;
}

/* Does the window come from this rule's key? */
static bool is_of_rule(const struct window_config *window, const struct window_rule *rule)
{
    return str_eq(window->name, str_of(rule->name)) && window->kind == rule->kind &&
           window->period_ms == rule->period_ms;
}

static const struct window_config *window_of_rule(const struct window_set *set,
                                                  const struct window_rule *rule)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (is_of_rule(&set->at[i], rule))
            return &set->at[i];
    }
    return NULL;
}

/* ---- per_second … per_month ---- */

static enum read_result window_from_number(struct reader *reader, const struct field *field,
                                           void *base, uint64_t limit)
{
    const struct window_rule *rule = field->detail;
    struct window_set *set = member_of(field, base);
    struct window_config window = {.name = str_of(rule->name), /* a literal: lives for ever */
                                   .kind = rule->kind,
                                   .limit = limit,
                                   .burst = limit,
                                   .period_ms = rule->period_ms};

    if (limit == 0)
        window_drop(set, rule->name);
    else
        CHECK(window_put(set, &window)); /* there are fewer keys than windows in a set */
    (void)reader;
    return READ_OK;
}

/* The number is read as any other, into a place of its own. */
static const struct field limit_number = {.kind = &kind_number, .least = 0, .most = MAX_LIMIT};

static enum read_result window_from_text(struct reader *reader, const struct field *field,
                                         void *base, struct str text)
{
    uint64_t limit;
    enum read_result result = kind_number.from_text(reader, &limit_number, &limit, text);

    return result == READ_OK ? window_from_number(reader, field, base, limit) : result;
}

static enum read_result window_from_node(struct reader *reader, const struct field *field,
                                         void *base, const struct node *node)
{
    uint64_t limit;
    enum read_result result = kind_number.from_node(reader, &limit_number, &limit, node);

    return result == READ_OK ? window_from_number(reader, field, base, limit) : result;
}

static bool window_is_set(const struct field *field, const void *base)
{
    return window_of_rule(member_in(field, base), field->detail) != NULL;
}

static void window_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct window_config *window = window_of_rule(member_in(field, base), field->detail);

    buf_add_u64(printer->out, window->limit);
}

static void number_schema(struct printer *printer, const struct field *field, const void *base)
{
    kind_number.schema(printer, field, base);
}

const struct kind kind_window = {.width = sizeof(struct window_set),
                                 .expected = "a whole number of requests, 0 for none",
                                 .from_text = window_from_text,
                                 .from_node = window_from_node,
                                 .is_set = window_is_set,
                                 .print = window_print,
                                 .schema = number_schema};

/* ---- burst: the capacity of the per_second bucket ---- */

static const struct field burst_number = {.kind = &kind_number, .least = 1, .most = MAX_LIMIT};

static enum read_result burst_put(struct reader *reader, const struct field *field, void *base,
                                  uint64_t burst)
{
    struct window_config *window = window_find(member_of(field, base), STR("second"));
    const struct node *parent = reader->node != NULL ? reader->node->parent : NULL;

    if (window != NULL) {
        window->burst = burst;
        return READ_OK;
    }
    if (parent != NULL && node_child(parent, STR("per_second")) != NULL)
        return READ_OK; /* switched off by 0: so is its burst */
    reader_fault(reader, "needs per_second, expected both or neither");
    return READ_FAULTED;
}

static enum read_result burst_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    uint64_t burst;
    enum read_result result = kind_number.from_text(reader, &burst_number, &burst, text);

    return result == READ_OK ? burst_put(reader, field, base, burst) : result;
}

static enum read_result burst_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    uint64_t burst;
    enum read_result result = kind_number.from_node(reader, &burst_number, &burst, node);

    return result == READ_OK ? burst_put(reader, field, base, burst) : result;
}

static const struct window_config *bucket_of(const struct field *field, const void *base)
{
    static const struct window_rule second = {"second", WINDOW_BUCKET, 1000};

    return window_of_rule(member_in(field, base), &second);
}

static bool burst_is_set(const struct field *field, const void *base)
{
    return bucket_of(field, base) != NULL;
}

static void burst_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_u64(printer->out, bucket_of(field, base)->burst);
}

const struct kind kind_burst = {.width = sizeof(struct window_set),
                                .expected = "a whole number of requests",
                                .from_text = burst_from_text,
                                .from_node = burst_from_node,
                                .is_set = burst_is_set,
                                .print = burst_print,
                                .schema = number_schema};

/* ---- "windows": written out ---- */

static bool is_window_name(struct str name)
{
    return name.len <= 32 && is_token(name);
}

static const struct text_rule name_rule = {"1 to 32 letters, digits, - or _", is_window_name};
static const struct words window_kinds = {{"bucket", "sliding", "fixed", "strict", "calendar"}};
#define CALENDAR_MONTH INT64_C(2678400000)

static const struct field window_fields[] = {
    FIELD_REQUIRED(&name_rule, "name", kind_text, struct window_config, name, 0, 0,
                   "the window's name, as X-RateLimit-* report it"),
    FIELD("limit", kind_number, struct window_config, limit, NULL, 1, MAX_LIMIT,
          "requests per period"),
    FIELD("per", kind_duration, struct window_config, period_ms, NULL, 1, DAYS(366),
          "the period (calendar: always a month, UTC)"),
    FIELD_WITH(window_kinds, "kind", kind_choice, struct window_config, kind, "sliding", 0, 0,
               "how it counts; strict: never more in any interval"),
    FIELD("burst", kind_number, struct window_config, burst, NULL, 1, MAX_LIMIT,
          "the bucket's capacity (bucket only; absent: the limit)"),
};

static void window_finish(struct reader *reader, const struct node *node, void *base)
{
    struct window_config *window = base;

    if (node_child(node, STR("limit")) == NULL)
        reader_fault_in(reader, node, "limit", "is missing, expected requests per period");
    if (window->kind == WINDOW_CALENDAR && window->period_ms >= 0)
        reader_fault_in(reader, node, "per",
                        "is given, expected none: a calendar window is a month");
    if (window->kind == WINDOW_CALENDAR)
        window->period_ms = CALENDAR_MONTH;
    else if (window->period_ms < 0 && node_child(node, STR("per")) == NULL)
        reader_fault_in(reader, node, "per", "is missing, expected a duration such as \"10s\"");
    if (window->burst == 0)
        window->burst = window->limit;
    else if (window->kind != WINDOW_BUCKET)
        reader_fault_in(reader, node, "burst",
                        "is given, expected it only where kind is \"bucket\"");
}

static const struct section window_section = {SECTION(window_fields, sizeof(struct window_config)),
                                              .finish = window_finish};

static enum read_result windows_from_node(struct reader *reader, const struct field *field,
                                          void *base, const struct node *node)
{
    struct window_set *set = member_of(field, base);
    enum read_result result = READ_OK;

    if (node->kind != NODE_LIST)
        return READ_WRONG;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *child = &node->children[i];
        struct window_config window = {.limit = 0};
        if (!section_reset(reader, &window_section, &window))
            return READ_FAULTED;
        section_read(reader, &window_section, child, &window);
        if (window.name.len > 0 && window_find(set, window.name) != NULL) {
            reader_fault_in(reader, child, "name", "is \"%.*s\", which this limit has already",
                            STR_ARG(window.name));
        } else if (!window_put(set, &window)) {
            reader_fault_in(reader, node, NULL,
                            "has too many windows, expected at most %d for one limit",
                            CONFIG_MAX_WINDOWS);
            result = READ_FAULTED;
            break;
        }
    }
    return result;
}

/* Has a key of its own, and is not listed. */
static bool is_short(const struct window_config *window)
{
    static const struct window_rule rules[] = {
        {"second", WINDOW_BUCKET, SECONDS(1)},      {"minute", WINDOW_SLIDING, MINUTES(1)},
        {"hour", WINDOW_SLIDING, HOURS(1)},         {"day", WINDOW_SLIDING, DAYS(1)},
        {"month", WINDOW_CALENDAR, CALENDAR_MONTH},
    };

    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (is_of_rule(window, &rules[i]))
            return true;
    }
    return false;
}

static bool windows_is_set(const struct field *field, const void *base)
{
    const struct window_set *set = member_in(field, base);

    for (uint32_t i = 0; i < set->count; i++) {
        if (!is_short(&set->at[i]))
            return true;
    }
    return false;
}

static void windows_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct window_set *set = member_in(field, base);
    bool is_first = true;

    buf_add_char(printer->out, '[');
    for (uint32_t i = 0; i < set->count; i++) {
        const struct window_config *window = &set->at[i];
        if (is_short(window))
            continue;
        buf_add_str(printer->out, is_first ? STR("{\"name\": ") : STR(", {\"name\": "));
        is_first = false;
        buf_add_json(printer->out, window->name);
        buf_addf(printer->out, ", \"limit\": %" PRIu64 ", \"kind\": \"%s\"", window->limit,
                 window_kinds.at[window->kind]);
        if (window->kind != WINDOW_CALENDAR) {
            buf_add_str(printer->out, STR(", \"per\": \""));
            duration_write(printer->out, window->period_ms);
            buf_add_char(printer->out, '"');
        }
        if (window->kind == WINDOW_BUCKET)
            buf_addf(printer->out, ", \"burst\": %" PRIu64, window->burst);
        buf_add_char(printer->out, '}');
    }
    buf_add_char(printer->out, ']');
}

static void windows_schema(struct printer *printer, const struct field *field, const void *base)
{
    struct window_config scratch = {.limit = 0};

    (void)field;
    (void)base;
    print_name(printer, STR("type"));
    buf_add_json(printer->out, STR("array"));
    print_name(printer, STR("items"));
    print_begin(printer, '{');
    if (section_reset(printer->reader, &window_section, &scratch))
        schema_section(printer, &window_section, &scratch);
    print_end(printer, '}');
}

const struct kind kind_windows = {
    .width = sizeof(struct window_set),
    .expected =
        "a list of objects such as { \"name\": \"burst\", \"limit\": 10, \"per\": \"10s\" }",
    .from_node = windows_from_node,
    .is_set = windows_is_set,
    .print = windows_print,
    .schema = windows_schema};

/* ---- concurrent: a count that is not printed where there is none ---- */

static enum read_result concurrent_from_text(struct reader *reader, const struct field *field,
                                             void *base, struct str text)
{
    return kind_count.from_text(reader, field, base, text);
}

static enum read_result concurrent_from_node(struct reader *reader, const struct field *field,
                                             void *base, const struct node *node)
{
    return kind_count.from_node(reader, field, base, node);
}

static bool concurrent_is_set(const struct field *field, const void *base)
{
    return *(const uint32_t *)member_in(field, base) > 0;
}

static void concurrent_print(struct printer *printer, const struct field *field, const void *base)
{
    kind_count.print(printer, field, base);
}

static void concurrent_schema(struct printer *printer, const struct field *field, const void *base)
{
    kind_count.schema(printer, field, base);
}

const struct kind kind_concurrent = {.width = sizeof(uint32_t),
                                     .from_text = concurrent_from_text,
                                     .from_node = concurrent_from_node,
                                     .is_set = concurrent_is_set,
                                     .print = concurrent_print,
                                     .schema = concurrent_schema};
