/* entry_read.c - what a stored answer says, and how old it is.
 *
 * An entry keeps numbers small and fields packed; here they get the form that the rest of
 * the gateway works with, without memory but for a list of fields. Seconds are whole and
 * end at HTTP_FOREVER_S. Whoever holds the entry calls this, without a lock. Any thread. */
#include "cache/cache_priv.h"

#include <math.h>

enum { KEEP_FOR_VALIDATION_S = 3600, MOST_DOUBLINGS = 3 };
enum { REST_MS = 500, MOST_REST_MS = REST_MS << MOST_DOUBLINGS };

/* ---- reading ---- */

struct cache_meta cache_entry_meta(const struct cache_entry *entry)
{
    return (struct cache_meta){
        .status = entry->status,
        .body = entry_body(entry),
        .initial_age_s = entry->initial_age_s,
        .lifetime_s = entry->lifetime_s,
        .stored_us = entry->stored_us,
        .fetch_us = entry->fetch_us,
        .stale_while_revalidate_s = entry->stale_while_revalidate_s,
        .stale_if_error_s = entry->stale_if_error_s,
        .stale_if_unreachable_s = entry->stale_if_unreachable_s,
        .must_revalidate = entry->must_revalidate,
        .always_revalidate = entry->always_revalidate,
        .source = (enum http_lifetime_source)entry->source,
    };
}

struct str cache_entry_field(const struct cache_entry *entry, enum http_name id)
{
    const char *at = entry_packed(entry);

    for (uint32_t i = 0; i < entry->field_count; i++) {
        struct http_field field;

        at = packed_next(at, &field);
        if (field.id == id)
            return field.value;
    }
    return STR_NONE;
}

static int64_t date_of(const struct cache_entry *entry, uint32_t second, enum http_name field)
{
    if (second == SECOND_NONE)
        return HTTP_NO_TIME;
    if (second != SECOND_IN_FIELD)
        return second;
    return http_date_parse(cache_entry_field(entry, field), clock_wall_us() / 1000000);
}

struct http_validators cache_entry_validators(const struct cache_entry *entry)
{
    return (struct http_validators){
        .etag = entry->has_etag ? cache_entry_field(entry, HTTP_ETAG) : STR_NONE,
        .last_modified_s = date_of(entry, entry->last_modified_s, HTTP_LAST_MODIFIED),
        .date_s = date_of(entry, entry->date_s, HTTP_DATE),
    };
}

bool cache_entry_fields(const struct cache_entry *entry, struct arena *arena,
                        struct http_fields *fields)
{
    uint32_t count = entry->field_count;

    *fields = (struct http_fields){.at = arena_take(arena, count * sizeof(struct http_field)),
                                   .count = count,
                                   .room = count,
                                   .arena = arena};
    if (fields->at == NULL) {
        *fields = (struct http_fields){.arena = arena};
        return count == 0;
    }
    packed_read(entry_packed(entry), fields->at, count);
    return true;
}

/* ---- ages ---- */

int64_t cache_entry_age_s(const struct cache_entry *entry, uint64_t now_us)
{
    uint64_t resident_us = now_us > entry->stored_us ? now_us - entry->stored_us : 0;
    int64_t age_s = entry->initial_age_s + (int64_t)(resident_us / 1000000);

    return age_s < HTTP_FOREVER_S ? age_s : HTTP_FOREVER_S;
}

int64_t cache_entry_ttl_s(const struct cache_entry *entry, uint64_t now_us)
{
    int64_t ttl_s = entry->lifetime_s - cache_entry_age_s(entry, now_us);

    return ttl_s > 0 && cache_entry_is_soft_purged(entry) ? 0 : ttl_s;
}

enum http_use cache_entry_may_use(const struct cache_entry *entry,
                                  const struct http_cache_control *wants, uint64_t now_us)
{
    if (cache_entry_is_soft_purged(entry))
        return HTTP_USE_VALIDATE;
    return http_may_use(wants, cache_entry_age_s(entry, now_us), entry->lifetime_s,
                        entry->must_revalidate, entry->always_revalidate);
}

bool cache_entry_is_due_early(const struct cache_entry *entry, uint64_t now_us, uint64_t draw)
{
    double resident_us = now_us > entry->stored_us ? (double)(now_us - entry->stored_us) : 0;
    double left_us = ((double)entry->lifetime_s - (double)entry->initial_age_s) * 1e6 - resident_us;
    double uniform = ((double)(draw >> 11) + 1) / 9007199254740993.0; /* (0, 1] */

    return -log(uniform) * (double)entry->fetch_us >= left_us;
}

void cache_entry_let_rest(struct cache_entry *entry, enum cache_rest why, uint64_t now_us)
{
    uint8_t fails = atomic_load_explicit(&entry->fails, memory_order_relaxed);

    atomic_store_explicit(&entry->rest_why, (uint8_t)why, memory_order_relaxed);
    atomic_store_explicit(&entry->rest_until_ms,
                          (uint32_t)(now_us / 1000) + ((uint32_t)REST_MS << fails),
                          memory_order_relaxed);
    if (fails < MOST_DOUBLINGS)
        atomic_store_explicit(&entry->fails, (uint8_t)(fails + 1), memory_order_relaxed);
}

enum cache_rest cache_entry_rests(const struct cache_entry *entry, uint64_t now_us)
{
    enum cache_rest why =
        (enum cache_rest)atomic_load_explicit(&entry->rest_why, memory_order_relaxed);
    uint32_t left_ms = atomic_load_explicit(&entry->rest_until_ms, memory_order_relaxed) -
                       (uint32_t)(now_us / 1000);

    /* The clock's lower half comes round after 49 days: then a rest of long ago counts once more,
     * for as long as it was. */
    return left_ms > 0 && left_ms <= MOST_REST_MS ? why : CACHE_NO_REST;
}

bool cache_entry_is_soft_purged(const struct cache_entry *entry)
{
    return atomic_load_explicit(&entry->is_soft_purged, memory_order_relaxed);
}

bool entry_is_dead(const struct cache_entry *entry, uint64_t now_us)
{
    bool can_validate = entry->has_etag || entry->last_modified_s != SECOND_NONE;
    int64_t kept_s = can_validate ? KEEP_FOR_VALIDATION_S : 0;
    int64_t expired_s = cache_entry_age_s(entry, now_us) - entry->lifetime_s;

    if (!entry->must_revalidate) {
        const int64_t windows[] = {entry->stale_while_revalidate_s, entry->stale_if_error_s,
                                   entry->stale_if_unreachable_s};

        for (size_t i = 0; i < COUNT_OF(windows); i++)
            if (windows[i] > kept_s)
                kept_s = windows[i];
    }
    return expired_s >= 0 && expired_s >= kept_s;
}
