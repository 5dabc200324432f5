/* fields.c - the header list: adding, looking up, joining, removing.
 *
 * Every field is looked up by name once, when it is added: from then on names the
 * gateway knows are compared as numbers. The look-up reads the first and the last
 * eight bytes as words, which is the whole name up to 16 bytes, and needs one
 * probe nearly always. Its table is filled from HTTP_KNOWN_FIELDS before main()
 * runs and never written again, so any thread may read it. */
#include "http/fields.h"

#define NAME_SLOTS     256 /* three times the names: probes stay short */
#define NAME_MAX_BYTES 32

struct known_name {
    uint64_t head, tail; /* see name_words() */
    struct str text;
};
static const struct str name_texts[HTTP_NAMES] = {[HTTP_OTHER] = {NULL, 0},
#define X(id, name) [HTTP_##id] = {name, sizeof(name) - 1},
                                                  HTTP_KNOWN_FIELDS(X)
#undef X
};
static struct known_name known_names[HTTP_NAMES];
static uint8_t name_slots[NAME_SLOTS]; /* ids; HTTP_OTHER is a free slot */
_Static_assert(HTTP_NAMES < NAME_SLOTS / 2 && NAME_SLOTS == 256, "ids and slots are bytes");

/* Sets bit 5 of the letters A-Z in eight bytes at once, and of nothing else. */
static inline uint64_t lower_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low = word & (0x7f * ones);
    uint64_t from_a = low + (0x80 - 'A') * ones;
    uint64_t past_z = low + (0x80 - 'Z' - 1) * ones;
    uint64_t is_upper = (from_a ^ past_z) & ~word & (0x80 * ones);

    return word | (is_upper >> 2);
}

/* The first and the last bytes of a name, in lower case; they overlap when it is short. */
static inline void name_words(struct str name, uint64_t *head, uint64_t *tail)
{
    uint64_t first = 0, last = 0;

    if (name.len >= 8) {
        memcpy(&first, name.ptr, 8);
        memcpy(&last, name.ptr + name.len - 8, 8);
    } else if (name.len >= 4) {
        memcpy(&first, name.ptr, 4);
        memcpy(&last, name.ptr + name.len - 4, 4);
    } else if (name.len > 0) {
        first = (unsigned char)name.ptr[0] | (uint64_t)(unsigned char)name.ptr[name.len / 2] << 8;
        last = (unsigned char)name.ptr[name.len - 1];
    }
    *head = lower_word(first);
    *tail = lower_word(last);
}

static inline size_t name_slot(uint64_t head, uint64_t tail, size_t len)
{
    return (size_t)(((head ^ tail << 1) + len) * 0x9e3779b97f4a7c15u >> 56);
}

__attribute__((constructor)) static void fill_names(void)
{
    for (size_t id = HTTP_OTHER + 1; id < HTTP_NAMES; id++) {
        struct known_name *known = &known_names[id];
        size_t slot;

        CHECK(name_texts[id].len <= NAME_MAX_BYTES);
        known->text = name_texts[id];
        name_words(known->text, &known->head, &known->tail);
        slot = name_slot(known->head, known->tail, known->text.len);
        while (name_slots[slot] != HTTP_OTHER)
            slot = (slot + 1) % NAME_SLOTS;
        name_slots[slot] = (uint8_t)id;
    }
}

enum http_name http_name_of(struct str name)
{
    uint64_t head, tail;

    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return HTTP_OTHER;
    name_words(name, &head, &tail);
    for (size_t slot = name_slot(head, tail, name.len); name_slots[slot] != HTTP_OTHER;
         slot = (slot + 1) % NAME_SLOTS) {
        const struct known_name *known = &known_names[name_slots[slot]];

        if (known->head == head && known->tail == tail && known->text.len == name.len &&
            (name.len <= 16 || str_ieq(str_at(known->text.ptr + 8, name.len - 16),
                                       str_at(name.ptr + 8, name.len - 16))))
            return (enum http_name)name_slots[slot];
    }
    return HTTP_OTHER;
}

struct str http_name_text(enum http_name id)
{
    return name_texts[id];
}

/* ---- building a list ---- */

bool http_fields_init(struct http_fields *fields, struct arena *arena, uint32_t room)
{
    *fields = (struct http_fields){.room = room > 0 ? room : 8, .arena = arena};
    fields->at = arena_take(arena, fields->room * sizeof(*fields->at));
    if (fields->at == NULL)
        fields->room = 0;
    return fields->at != NULL;
}

static bool make_room(struct http_fields *fields)
{
    uint32_t room = fields->room > 0 ? fields->room * 2 : 8;
    struct http_field *grown;

    if (fields->arena == NULL || room > UINT32_MAX / 2)
        return false;
    grown = arena_take(fields->arena, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    if (fields->count > 0)
        memcpy(grown, fields->at, fields->count * sizeof(*grown));
    fields->at = grown;
    fields->room = room;
    return true;
}

/* A value's ends hold no blanks, and an empty value is still told from an absent one. */
static inline struct str clean_value(struct str value)
{
    if (value.len == 0)
        return str_at(value.ptr != NULL ? value.ptr : "", 0);
    while (value.len > 0 && (*value.ptr == ' ' || *value.ptr == '\t')) {
        value.ptr++;
        value.len--;
    }
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    return value;
}

static bool add(struct http_fields *fields, enum http_name id, struct str name, struct str value)
{
    if (fields->count == fields->room && !make_room(fields))
        return false;
    fields->at[fields->count++] =
        (struct http_field){.name = name, .value = clean_value(value), .id = id};
    return true;
}

bool http_fields_add(struct http_fields *fields, struct str name, struct str value)
{
    return add(fields, http_name_of(name), name, value);
}

bool http_fields_add_field(struct http_fields *fields, const struct http_field *field)
{
    return add(fields, field->id, field->name, field->value);
}

bool http_fields_add_id(struct http_fields *fields, enum http_name id, struct str value)
{
    CHECK(id != HTTP_OTHER);
    return add(fields, id, name_texts[id], value);
}

bool http_fields_set(struct http_fields *fields, enum http_name id, struct str value)
{
    http_fields_remove(fields, id);
    return http_fields_add_id(fields, id, value);
}

/* ---- looking up ---- */

/* The id, and for names without one the text, say whether two names are the same. */
static inline bool has_name(const struct http_field *field, enum http_name id, struct str name)
{
    return field->id == id && (id != HTTP_OTHER || str_ieq(field->name, name));
}

struct str http_fields_get(const struct http_fields *fields, enum http_name id)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (fields->at[i].id == id)
            return fields->at[i].value;
    return STR_NONE;
}

struct str http_fields_find(const struct http_fields *fields, struct str name)
{
    enum http_name id = http_name_of(name);

    for (uint32_t i = 0; i < fields->count; i++)
        if (has_name(&fields->at[i], id, name))
            return fields->at[i].value;
    return STR_NONE;
}

uint32_t http_fields_count_of(const struct http_fields *fields, enum http_name id)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < fields->count; i++)
        count += fields->at[i].id == id;
    return count;
}

static struct str joined(const struct http_fields *fields, struct arena *arena, enum http_name id,
                         struct str name)
{
    const struct http_field *first = NULL;
    uint32_t count = 0;
    size_t total = 0;
    char *text, *end;

    for (uint32_t i = 0; i < fields->count; i++) {
        if (!has_name(&fields->at[i], id, name))
            continue;
        first = first == NULL ? &fields->at[i] : first;
        total += fields->at[i].value.len + 2;
        count++;
    }
    if (count <= 1)
        return first != NULL ? first->value : STR_NONE;
    text = end = arena_take(arena, total);
    if (text == NULL)
        return STR_NONE;
    for (const struct http_field *field = first; field < fields->at + fields->count; field++) {
        if (!has_name(field, id, name))
            continue;
        if (field != first) {
            *end++ = ',';
            *end++ = ' ';
        }
        memcpy(end, field->value.ptr, field->value.len);
        end += field->value.len;
    }
    return str_at(text, (size_t)(end - text));
}

struct str http_fields_joined(const struct http_fields *fields, struct arena *arena,
                              enum http_name id)
{
    return joined(fields, arena, id, name_texts[id]);
}

struct str http_fields_joined_name(const struct http_fields *fields, struct arena *arena,
                                   struct str name)
{
    return joined(fields, arena, http_name_of(name), name);
}

/* ---- removing ---- */

static uint32_t remove_all(struct http_fields *fields, enum http_name id, struct str name)
{
    uint32_t kept = 0, gone;

    for (uint32_t i = 0; i < fields->count; i++)
        if (!has_name(&fields->at[i], id, name))
            fields->at[kept++] = fields->at[i];
    gone = fields->count - kept;
    fields->count = kept;
    return gone;
}

uint32_t http_fields_remove(struct http_fields *fields, enum http_name id)
{
    CHECK(id != HTTP_OTHER);
    return remove_all(fields, id, name_texts[id]);
}

uint32_t http_fields_remove_name(struct http_fields *fields, struct str name)
{
    return remove_all(fields, http_name_of(name), name);
}

size_t http_fields_bytes(const struct http_fields *fields)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < fields->count; i++)
        bytes += fields->at[i].name.len + 2 + fields->at[i].value.len + 2;
    return bytes;
}

/* ---- comma-separated lists ---- */

/* Index of the comma that ends the first member, or s.len. */
static size_t member_end(struct str s)
{
    bool is_quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && s.ptr[i] == '\\')
            i++;
        else if (!is_quoted && s.ptr[i] == ',')
            return i;
    }
    return s.len;
}

bool http_list_next(struct str *rest, struct str *member)
{
    while (rest->len > 0) {
        size_t end = member_end(*rest);
        struct str text = str_trim(str_at(rest->ptr, end));

        *rest = end < rest->len ? str_at(rest->ptr + end + 1, rest->len - end - 1) : STR_NONE;
        if (text.len > 0) {
            *member = text;
            return true;
        }
    }
    return false;
}

bool http_fields_has_token(const struct http_fields *fields, enum http_name id, struct str token)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        struct str rest = fields->at[i].value, member;

        if (fields->at[i].id != id)
            continue;
        while (http_list_next(&rest, &member))
            if (str_ieq(member, token))
                return true;
    }
    return false;
}
