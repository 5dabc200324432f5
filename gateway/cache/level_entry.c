/* level_entry.c - an entry as a frame, and back.
 *
 * What is read goes the way of what is fetched: fields, tags and Vary are taken again from
 * the frame by entry.c, for the request that asks. Only the moment and the purge stamp are
 * another's. Clocks of gateways may differ by seconds; then an age is off by as much, never less
 * than it was when it was written. Any thread. */
#include "cache/level_priv.h"

#define MOST_SKEW_US INT64_C(60000000)
#define MOST_LIFE_MS (INT64_C(30) * 86400 * 1000)

static bool copy_tags(const struct cache_entry *entry, struct arena *arena, struct str_list *tags)
{
    struct str *at = arena_take(arena, entry->tag_count * sizeof(*at) + 1);

    if (at == NULL)
        return false;
    for (uint32_t i = 0; i < entry->tag_count; i++)
        at[i] = cell_text(entry_tags(entry)[i].cell);
    *tags = (struct str_list){at, entry->tag_count};
    return true;
}

bool level_frame_of(const struct cache_entry *entry, const struct cache_place *place,
                    struct arena *arena, struct frame *frame)
{
    const struct cache_meta taken = cache_entry_meta(entry), *meta = &taken;
    uint64_t now_us = clock_mono_us();

    if (meta->status == 206 || meta->always_revalidate || cache_entry_is_soft_purged(entry) ||
        meta->body.len > FRAME_MAX_BODY || cache_entry_ttl_s(entry, now_us) <= 0)
        return false;
    *frame = (struct frame){
        .status = meta->status,
        .must_revalidate = meta->must_revalidate,
        .source = meta->source,
        .created_us = clock_wall_us() - (int64_t)(now_us - meta->stored_us),
        .initial_age_s = meta->initial_age_s,
        .lifetime_s = meta->lifetime_s,
        .stale_while_revalidate_s = meta->stale_while_revalidate_s,
        .stale_if_error_s = meta->stale_if_error_s,
        .stale_if_unreachable_s = meta->stale_if_unreachable_s,
        .date_s = cache_entry_validators(entry).date_s,
        .fetch_us = meta->fetch_us,
        .place = *place,
        .key = entry_key(entry),
        .vary_names = entry_vary_names(entry),
        .vary_key = entry_vary_key(entry),
        .body_bytes = meta->body.len,
        .nonce = random_u64(),
    };
    if (frame_chunks(frame) == 0)
        frame->body = meta->body;
    return cache_entry_fields(entry, arena, &frame->fields) &&
           copy_tags(entry, arena, &frame->tags);
}

static int64_t resident_us(const struct frame *frame, int64_t wall_us)
{
    return wall_us > frame->created_us ? wall_us - frame->created_us : 0;
}

int64_t level_life_ms(const struct frame *frame, int64_t wall_us)
{
    const int64_t windows[] = {frame->stale_while_revalidate_s, frame->stale_if_error_s,
                               frame->stale_if_unreachable_s};
    int64_t life_s = frame->lifetime_s - frame->initial_age_s, longest_s = 0, life_ms;

    for (size_t i = 0; i < COUNT_OF(windows) && !frame->must_revalidate; i++)
        if (windows[i] > longest_s)
            longest_s = windows[i];
    life_ms = (life_s + longest_s) * 1000 - resident_us(frame, wall_us) / 1000;
    return life_ms < MOST_LIFE_MS ? life_ms : MOST_LIFE_MS;
}

/* The frame's tags, and the route's as they are here. */
static bool join_tags(const struct frame *frame, const struct str_list *route, struct arena *arena,
                      struct str_list *tags)
{
    uint32_t more = route != NULL ? route->count : 0;
    struct str *at = arena_take(arena, (frame->tags.count + more) * sizeof(*at) + 1);

    if (at == NULL)
        return false;
    for (uint32_t i = 0; i < frame->tags.count; i++)
        at[i] = frame->tags.at[i];
    for (uint32_t i = 0; i < more; i++)
        at[frame->tags.count + i] = route->at[i];
    *tags = (struct str_list){at, frame->tags.count + more};
    return true;
}

struct cache_entry *level_entry_of(struct cache *cache, const struct frame *frame,
                                   const struct level_question *question,
                                   const struct level_moment *moment, struct arena *arena)
{
    int64_t since_us = resident_us(frame, moment->wall_us);
    struct http_verdict verdict = {
        .may_store = true,
        .why = "stored",
        .lifetime_s = frame->lifetime_s,
        .source = frame->source,
        .initial_age_s = frame->initial_age_s + since_us / 1000000,
        .date_s = frame->date_s,
        .stale_while_revalidate_s = frame->stale_while_revalidate_s,
        .stale_if_error_s = frame->stale_if_error_s,
        .stale_if_unreachable_s = frame->stale_if_unreachable_s,
        .must_revalidate = frame->must_revalidate,
        .always_revalidate = frame->always_revalidate,
    };
    struct str_list tags;
    struct cache_intent intent = {
        .key = question->key,
        .request = question->request,
        .normalize_vary = question->normalize_vary,
        .verdict = &verdict,
        .stamp = moment->stamp,
        .response_us = moment->now_us - (uint64_t)(since_us % 1000000),
        .fetch_us = frame->fetch_us,
        .route = question->route,
        .tags = &tags,
    };
    struct cache_entry *entry;

    if (frame->status == 206 || frame->created_us > moment->wall_us + MOST_SKEW_US ||
        frame->body_bytes > atomic_load(&cache->max_object) ||
        !join_tags(frame, question->tags, arena, &tags))
        return NULL;
    entry = entry_new(cache, frame->status, &frame->fields, &intent,
                      frame->body_bytes <= INSIDE_MOST ? (size_t)frame->body_bytes : 0);
    if (entry != NULL && (!str_eq(entry_vary_names(entry), frame->vary_names) ||
                          !str_eq(entry_vary_key(entry), frame->vary_key)))
        cache_entry_release(&entry);
    return entry;
}
