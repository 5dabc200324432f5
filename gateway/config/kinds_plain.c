/* kinds_plain.c - settings that are one number or one truth.
 *
 * Counts and sizes keep their whole value: JSON numbers are doubles, so what is not
 * whole or above 2^53 is refused instead of rounded. Text forms serve defaults and the
 * environment, where 1 and 0 are truths too. `least` and `most` of a row are in the
 * unit of its member (milliseconds, bytes).
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

#include <math.h>

static bool whole_number(const struct node *node, uint64_t *value)
{
    if (node->kind != NODE_NUMBER || !(node->number >= 0) || node->number >= 9007199254740992.0 ||
        floor(node->number) != node->number)
        return false;
    *value = (uint64_t)node->number;
    return true;
}

static void schema_bounds(struct printer *printer, const struct field *field, int64_t unit)
{
    print_name(printer, STR("minimum"));
    buf_addf(printer->out, "%.15g", (double)field->least / (double)unit);
    print_name(printer, STR("maximum"));
    buf_addf(printer->out, "%.15g", (double)field->most / (double)unit);
}

/* ---- true and false ---- */

static enum read_result bool_from_text(struct reader *reader, const struct field *field, void *base,
                                       struct str text)
{
    bool is_true = str_ieq(text, STR("true")) || str_eq(text, STR("1"));

    (void)reader;
    if (!is_true && !str_ieq(text, STR("false")) && !str_eq(text, STR("0")))
        return READ_WRONG;
    *(bool *)member_of(field, base) = is_true;
    return READ_OK;
}

static enum read_result bool_from_node(struct reader *reader, const struct field *field, void *base,
                                       const struct node *node)
{
    (void)reader;
    if (node->kind != NODE_BOOL)
        return READ_WRONG;
    *(bool *)member_of(field, base) = node->is_true;
    return READ_OK;
}

static void bool_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_str(printer->out, *(const bool *)member_in(field, base) ? STR("true") : STR("false"));
}

static void bool_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, "boolean", NULL);
}

const struct kind kind_bool = {.width = sizeof(bool),
                               .expected = "true or false",
                               .from_text = bool_from_text,
                               .from_node = bool_from_node,
                               .print = bool_print,
                               .schema = bool_schema};

/* ---- whole numbers ---- */

static enum read_result count_put(struct reader *reader, const struct field *field, void *base,
                                  uint64_t value)
{
    enum read_result result =
        reader_range(reader, field, value > INT64_MAX ? INT64_MAX : (int64_t)value);

    if (result != READ_OK)
        return result;
    if (field->kind->width == sizeof(uint32_t))
        *(uint32_t *)member_of(field, base) = (uint32_t)value; /* tables keep `most` below 2^32 */
    else
        *(uint64_t *)member_of(field, base) = value;
    return READ_OK;
}

static enum read_result count_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    uint64_t value;

    if (!str_to_u64(text, &value))
        return READ_WRONG;
    return count_put(reader, field, base, value);
}

static enum read_result count_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    uint64_t value;

    if (!whole_number(node, &value))
        return READ_WRONG;
    return count_put(reader, field, base, value);
}

static void count_print(struct printer *printer, const struct field *field, const void *base)
{
    const void *member = member_in(field, base);

    buf_add_u64(printer->out, field->kind->width == sizeof(uint32_t) ? *(const uint32_t *)member
                                                                     : *(const uint64_t *)member);
}

static void count_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "integer", NULL);
    schema_bounds(printer, field, 1);
}

const struct kind kind_count = {.width = sizeof(uint32_t),
                                .expected = "a whole number",
                                .from_text = count_from_text,
                                .from_node = count_from_node,
                                .print = count_print,
                                .schema = count_schema};
const struct kind kind_number = {.width = sizeof(uint64_t),
                                 .expected = "a whole number",
                                 .from_text = count_from_text,
                                 .from_node = count_from_node,
                                 .print = count_print,
                                 .schema = count_schema};

/* ---- shares of one ---- */

static enum read_result share_put(struct reader *reader, const struct field *field, void *base,
                                  double value)
{
    if (value < (double)field->least || value > (double)field->most) {
        reader_fault(reader, "is %.15g, expected %" PRId64 " to %" PRId64, value, field->least,
                     field->most);
        return READ_FAULTED;
    }
    *(double *)member_of(field, base) = value;
    return READ_OK;
}

static enum read_result share_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    double value;

    if (!decimal_parse(text, &value))
        return READ_WRONG;
    return share_put(reader, field, base, value);
}

static enum read_result share_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    if (node->kind != NODE_NUMBER || !isfinite(node->number))
        return READ_WRONG;
    return share_put(reader, field, base, node->number);
}

static void share_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_addf(printer->out, "%.15g", *(const double *)member_in(field, base));
}

static void share_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "number", NULL);
    schema_bounds(printer, field, 1);
}

const struct kind kind_share = {.width = sizeof(double),
                                .expected = "a number such as 0.2",
                                .from_text = share_from_text,
                                .from_node = share_from_node,
                                .print = share_print,
                                .schema = share_schema};

/* ---- durations: -1 says that nothing was set ---- */

static enum read_result duration_put(struct reader *reader, const struct field *field, void *base,
                                     int64_t ms)
{
    enum read_result result = reader_range(reader, field, ms);

    if (result == READ_OK)
        *(int64_t *)member_of(field, base) = ms;
    return result;
}

static enum read_result duration_from_text(struct reader *reader, const struct field *field,
                                           void *base, struct str text)
{
    int64_t ms;

    if (!duration_parse(text, &ms))
        return READ_WRONG;
    return duration_put(reader, field, base, ms);
}

static enum read_result duration_from_node(struct reader *reader, const struct field *field,
                                           void *base, const struct node *node)
{
    double ms = round(node->number * 1000);

    if (node->kind != NODE_NUMBER || !(fabs(ms) < 9007199254740992.0))
        return READ_WRONG;
    return duration_put(reader, field, base, (int64_t)ms);
}

static bool duration_reset(struct reader *reader, const struct field *field, void *base)
{
    if (field->initial != NULL)
        return duration_from_text(reader, field, base, str_of(field->initial)) == READ_OK;
    *(int64_t *)member_of(field, base) = -1;
    return true;
}

static bool duration_is_set(const struct field *field, const void *base)
{
    return *(const int64_t *)member_in(field, base) >= 0;
}

static void duration_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_char(printer->out, '"');
    duration_write(printer->out, *(const int64_t *)member_in(field, base));
    buf_add_char(printer->out, '"');
}

static void duration_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "number", "[0-9]+([.][0-9]+)?(ms|s|m|h|d)?");
    schema_bounds(printer, field, 1000);
}

const struct kind kind_duration = {
    .width = sizeof(int64_t),
    .takes_text = true,
    .expected = "a duration such as \"250ms\", \"5s\", \"5m\", \"1h\" or a number of seconds",
    .from_text = duration_from_text,
    .from_node = duration_from_node,
    .reset = duration_reset,
    .is_set = duration_is_set,
    .print = duration_print,
    .schema = duration_schema};

/* ---- sizes ---- */

static enum read_result size_put(struct reader *reader, const struct field *field, void *base,
                                 uint64_t bytes)
{
    enum read_result result = reader_range(reader, field, (int64_t)bytes);

    if (result == READ_OK)
        *(uint64_t *)member_of(field, base) = bytes;
    return result;
}

static enum read_result size_from_text(struct reader *reader, const struct field *field, void *base,
                                       struct str text)
{
    uint64_t bytes;

    if (!size_parse(text, &bytes))
        return READ_WRONG;
    return size_put(reader, field, base, bytes);
}

static enum read_result size_from_node(struct reader *reader, const struct field *field, void *base,
                                       const struct node *node)
{
    uint64_t bytes;

    if (!whole_number(node, &bytes))
        return READ_WRONG;
    return size_put(reader, field, base, bytes);
}

static void size_print(struct printer *printer, const struct field *field, const void *base)
{
    buf_add_char(printer->out, '"');
    size_write(printer->out, *(const uint64_t *)member_in(field, base));
    buf_add_char(printer->out, '"');
}

static void size_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)base;
    schema_text(printer, "integer", "[0-9]+([.][0-9]+)?(B|KiB|MiB|GiB)?");
    schema_bounds(printer, field, 1);
}

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "size_t members are read as uint64_t");
const struct kind kind_size = {
    .width = sizeof(uint64_t),
    .takes_text = true,
    .expected = "a size such as \"64KiB\", \"10MiB\", \"1GiB\" or a number of bytes",
    .from_text = size_from_text,
    .from_node = size_from_node,
    .print = size_print,
    .schema = size_schema};
