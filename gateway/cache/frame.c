/* frame.c - entries to bytes and back.
 *
 * The fixed part is written field by field at the offsets below, so no compiler's padding
 * and no byte order of a machine gets in. Reading believes nothing: every length is held
 * against what is there, names and values against what a header may hold, times against the
 * ceilings of http/. The checksum is no signature: whoever can write to the store can
 * write answers, as with any shared cache. Pure functions; any thread. */
#include "cache/frame_priv.h"

#define MAGIC       UINT32_C(0x31465747) /* "GWF1" */
#define CHUNK_MAGIC UINT32_C(0x31435747) /* "GWC1" */
enum {
    VERSION = 1,
    KIND_ANSWER = 1,
    KIND_RULE = 2,
    FLAG_MUST_REVALIDATE = 1,
    FLAG_ALWAYS_REVALIDATE = 2,
    SUMMED_FROM = 16,
    FIXED_BYTES = 152,
    CHUNK_BYTES = 24
};

static const struct hash_key sum_key = {
    {UINT64_C(0x6761746577617931), UINT64_C(0x6672616d65733031)}};

uint64_t frame_sum(struct str bytes)
{
    return hash_sip64(&sum_key, str_from(bytes, SUMMED_FROM));
}

/* ---- writing ---- */

static void put(char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (char)(value >> (8 * i) & 0xff);
}

static bool add_u32(struct buf *out, size_t value)
{
    char bytes[4];

    put(bytes, value, 4);
    return buf_add(out, bytes, sizeof(bytes));
}

static bool add_fields(struct buf *out, const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if (!add_u32(out, field->name.len) || !add_u32(out, field->value.len) ||
            !buf_add_str(out, field->name) || !buf_add_str(out, field->value))
            return false;
    }
    return true;
}

static bool add_tags(struct buf *out, const struct str_list *tags)
{
    for (uint32_t i = 0; i < tags->count; i++)
        if (!add_u32(out, tags->at[i].len) || !buf_add_str(out, tags->at[i]))
            return false;
    return true;
}

static void put_fixed(char *at, const struct frame *frame, size_t fields_bytes, size_t tags_bytes)
{
    uint32_t flags = (uint32_t)(frame->must_revalidate ? FLAG_MUST_REVALIDATE : 0) |
                     (uint32_t)(frame->always_revalidate ? FLAG_ALWAYS_REVALIDATE : 0) |
                     (uint32_t)frame->source << 8;

    put(at, MAGIC, 4);
    put(at + 4, VERSION, 2);
    put(at + 6, frame->is_rule ? KIND_RULE : KIND_ANSWER, 2);
    put(at + 16, (uint64_t)frame->status, 4);
    put(at + 20, flags, 4);
    put(at + 24, (uint64_t)frame->created_us, 8);
    put(at + 32, (uint64_t)frame->initial_age_s, 8);
    put(at + 40, (uint64_t)frame->lifetime_s, 8);
    put(at + 48, (uint64_t)frame->stale_while_revalidate_s, 8);
    put(at + 56, (uint64_t)frame->stale_if_error_s, 8);
    put(at + 64, (uint64_t)frame->stale_if_unreachable_s, 8);
    put(at + 72, (uint64_t)frame->date_s, 8);
    put(at + 80, frame->fetch_us, 8);
    put(at + 88, frame->place.ms, 8);
    put(at + 96, frame->place.number, 8);
    put(at + 104, frame->body_bytes, 8);
    put(at + 112, frame->nonce, 8);
    put(at + 120, frame->key.len, 4);
    put(at + 124, frame->vary_names.len, 4);
    put(at + 128, frame->vary_key.len, 4);
    put(at + 132, frame->fields.count, 4);
    put(at + 136, fields_bytes, 4);
    put(at + 140, frame->tags.count, 4);
    put(at + 144, tags_bytes, 4);
    put(at + 148, frame->body.len, 4);
}

bool frame_write(const struct frame *frame, struct buf *out)
{
    static const char blank[FIXED_BYTES];
    size_t start = out->len, fields_at, tags_at, tags_end;

    if (frame->fields.count > FRAME_MAX_FIELDS || frame->tags.count > FRAME_MAX_TAGS ||
        frame->body.len > FRAME_CHUNK || frame->body_bytes > FRAME_MAX_BODY)
        return false;
    if (!buf_add(out, blank, sizeof(blank)) || !buf_add_str(out, frame->key) ||
        !buf_add_str(out, frame->vary_names) || !buf_add_str(out, frame->vary_key))
        return false;
    fields_at = out->len;
    if (!add_fields(out, &frame->fields))
        return false;
    tags_at = out->len;
    if (!add_tags(out, &frame->tags))
        return false;
    tags_end = out->len;
    if (!buf_add_str(out, frame->body))
        return false;
    put_fixed(out->ptr + start, frame, tags_at - fields_at, tags_end - tags_at);
    put(out->ptr + start + FRAME_SUM_AT, frame_sum(str_from(buf_str(out), start)), 8);
    return true;
}

/* ---- reading ---- */

static uint64_t get(const char *from, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)from[i] << (8 * i);
    return value;
}

/* The next `len` bytes of *rest. */
static bool cut(struct str *rest, size_t len, struct str *part)
{
    if (len > rest->len)
        return false;
    *part = str_at(rest->ptr, len);
    *rest = str_at(rest->ptr + len, rest->len - len);
    return true;
}

static bool cut_u32(struct str *rest, size_t *value)
{
    struct str bytes;

    if (!cut(rest, 4, &bytes))
        return false;
    *value = (size_t)get(bytes.ptr, 4);
    return true;
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == ':')
            return false;
    return name.len > 0;
}

static bool is_value(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0')
            return false;
    return true;
}

static bool read_fields(struct str bytes, uint32_t count, struct arena *arena,
                        struct http_fields *fields)
{
    size_t name_bytes, value_bytes;
    struct str name, value;

    if (!http_fields_init(fields, arena, count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!cut_u32(&bytes, &name_bytes) || !cut_u32(&bytes, &value_bytes) ||
            !cut(&bytes, name_bytes, &name) || !cut(&bytes, value_bytes, &value) ||
            !is_name(name) || !is_value(value) || !http_fields_add(fields, name, value))
            return false;
    return bytes.len == 0;
}

static bool read_tags(struct str bytes, uint32_t count, struct arena *arena, struct str_list *tags)
{
    struct str *at = arena_take(arena, count * sizeof(*at) + 1);
    size_t len;

    if (at == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!cut_u32(&bytes, &len) || !cut(&bytes, len, &at[i]))
            return false;
    *tags = (struct str_list){at, count};
    return bytes.len == 0;
}

static int64_t seconds(const char *from)
{
    uint64_t value = get(from, 8);

    return value > (uint64_t)HTTP_FOREVER_S ? HTTP_FOREVER_S : (int64_t)value;
}

/* False: a number that no writer sends. */
static bool read_numbers(const char *at, struct frame *frame)
{
    uint64_t flags = get(at + 20, 4), kind = get(at + 6, 2), source = flags >> 8;

    frame->is_rule = kind == KIND_RULE;
    frame->status = (int)(get(at + 16, 4) & 0xffff);
    frame->must_revalidate = (flags & FLAG_MUST_REVALIDATE) != 0;
    frame->always_revalidate = (flags & FLAG_ALWAYS_REVALIDATE) != 0;
    frame->created_us = (int64_t)(get(at + 24, 8) & INT64_MAX);
    frame->initial_age_s = seconds(at + 32);
    frame->lifetime_s = seconds(at + 40);
    frame->stale_while_revalidate_s = seconds(at + 48);
    frame->stale_if_error_s = seconds(at + 56);
    frame->stale_if_unreachable_s = seconds(at + 64);
    frame->date_s = (int64_t)get(at + 72, 8);
    frame->fetch_us = get(at + 80, 8);
    frame->place = (struct cache_place){get(at + 88, 8), get(at + 96, 8)};
    frame->body_bytes = get(at + 104, 8);
    frame->nonce = get(at + 112, 8);
    if (source > HTTP_LIFETIME_DEFAULT)
        return false;
    frame->source = (enum http_lifetime_source)source;
    return frame->is_rule || (kind == KIND_ANSWER && frame->status >= 200 && frame->status < 600);
}

static bool read_parts(struct str bytes, struct arena *arena, struct frame *frame)
{
    const char *at = bytes.ptr;
    uint64_t field_count = get(at + 132, 4), tag_count = get(at + 140, 4);
    struct str rest = str_from(bytes, FIXED_BYTES), fields, tags;

    if (field_count > FRAME_MAX_FIELDS || tag_count > FRAME_MAX_TAGS ||
        !cut(&rest, get(at + 120, 4), &frame->key) ||
        !cut(&rest, get(at + 124, 4), &frame->vary_names) ||
        !cut(&rest, get(at + 128, 4), &frame->vary_key) || !cut(&rest, get(at + 136, 4), &fields) ||
        !cut(&rest, get(at + 144, 4), &tags) || !cut(&rest, get(at + 148, 4), &frame->body) ||
        rest.len > 0)
        return false;
    if (!read_fields(fields, (uint32_t)field_count, arena, &frame->fields) ||
        !read_tags(tags, (uint32_t)tag_count, arena, &frame->tags))
        return false;
    if (frame->is_rule)
        return frame->vary_names.len > 0 && frame->body.len == 0 && frame->body_bytes == 0;
    if (frame->body_bytes <= FRAME_CHUNK)
        return frame->body.len == frame->body_bytes;
    return frame->body.len == 0 && frame->body_bytes <= FRAME_MAX_BODY;
}

enum frame_fault frame_read(struct str bytes, struct arena *arena, struct frame *frame)
{
    *frame = (struct frame){0};
    if (bytes.len < 8 || get(bytes.ptr, 4) != MAGIC)
        return FRAME_DAMAGED;
    if (get(bytes.ptr + 4, 2) != VERSION)
        return FRAME_OTHER_VERSION;
    if (bytes.len < FIXED_BYTES || bytes.len > FRAME_MAX_BYTES ||
        get(bytes.ptr + FRAME_SUM_AT, 8) != frame_sum(bytes))
        return FRAME_DAMAGED;
    return read_numbers(bytes.ptr, frame) && read_parts(bytes, arena, frame) ? FRAME_SOUND
                                                                             : FRAME_DAMAGED;
}

/* ---- chunks ---- */

uint32_t frame_chunks(const struct frame *frame)
{
    if (frame->body_bytes <= FRAME_CHUNK)
        return 0;
    return (uint32_t)((frame->body_bytes + FRAME_CHUNK - 1) / FRAME_CHUNK);
}

static uint64_t chunk_sum(uint64_t nonce, uint32_t index, struct str piece)
{
    struct hash_key key = {{sum_key.k[0] ^ nonce, sum_key.k[1] ^ index}};

    return hash_sip64(&key, piece);
}

bool frame_write_chunk(uint64_t nonce, uint32_t index, struct str piece, struct buf *out)
{
    char head[CHUNK_BYTES];

    put(head, CHUNK_MAGIC, 4);
    put(head + 4, index, 4);
    put(head + 8, nonce, 8);
    put(head + 16, chunk_sum(nonce, index, piece), 8);
    return buf_add(out, head, sizeof(head)) && buf_add_str(out, piece);
}

bool frame_read_chunk(struct str bytes, const struct frame *frame, uint32_t index,
                      struct str *piece)
{
    uint64_t at = (uint64_t)index * FRAME_CHUNK, most;

    if (at >= frame->body_bytes)
        return false;
    most = frame->body_bytes - at < FRAME_CHUNK ? frame->body_bytes - at : FRAME_CHUNK;
    if (bytes.len != CHUNK_BYTES + most || get(bytes.ptr, 4) != CHUNK_MAGIC ||
        get(bytes.ptr + 4, 4) != index || get(bytes.ptr + 8, 8) != frame->nonce)
        return false;
    *piece = str_from(bytes, CHUNK_BYTES);
    return get(bytes.ptr + 16, 8) == chunk_sum(frame->nonce, index, *piece);
}
