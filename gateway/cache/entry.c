/* entry.c - one stored answer: what goes in, its one allocation, its count of holders.
 *
 * The struct, the tags, the text and a small body are one piece of memory, measured
 * first (struct plan), charged, then written. A draft is made with an answer's head,
 * because what the intent points to lives no longer; its body comes after. Once it is
 * in the index nothing of it changes but the atomics, so whoever holds it reads without
 * a lock (entry_read.c). Any thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

enum {
    PLAN_BYTES = 1 << 20 /* for Vary and the most tags: 256 groups of 1 KiB, named twice */
};
/* ---- what goes in ---- */

/* Said anew for every answer, or by whoever sends it. */
static bool field_is_kept(const struct http_field *field)
{
    switch (field->id) {
    case HTTP_CONTENT_LENGTH:
    case HTTP_AGE:
    case HTTP_CONNECTION:
    case HTTP_KEEP_ALIVE:
    case HTTP_PROXY_CONNECTION:
    case HTTP_PROXY_AUTHENTICATE:
    case HTTP_TE:
    case HTTP_TRAILER:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_UPGRADE:
        return false;
    default: /* some eighty others, all kept */
        return true;
    }
}

/* Where an entry's parts come from, measured before the memory is taken. */
struct plan {
    const struct http_fields *fields;
    const struct cache_intent *intent;
    struct str vary_names, vary_key;
    struct http_cache_tags named; /* by the answer itself */
    struct arena *arena;
    uint32_t field_count, tag_count; /* tag_count: places, some of which may stay empty */
    size_t fields_bytes, text_bytes, inside;
    size_t label_at; /* in the key, or behind it */
};

static size_t label_len(const struct cache_key *key)
{
    return key->host.len + key->path.len + (key->query.ptr != NULL ? 1 + key->query.len : 0);
}

/* Does the text go on with this? */
static bool goes_on(struct str *text, struct str with)
{
    if (text->len < with.len || !str_eq(str_at(text->ptr, with.len), with))
        return false;
    *text = str_from(*text, with.len);
    return true;
}

/* The label and the user stand in the key's text, unless the path is not sent as it is matched. */
static bool key_has_label(const struct cache_key *key, size_t at)
{
    struct str text = str_from(key->text, at < key->text.len ? at : key->text.len);

    return goes_on(&text, key->host) && goes_on(&text, key->path) &&
           (key->query.ptr == NULL || (goes_on(&text, STR("?")) && goes_on(&text, key->query))) &&
           goes_on(&text, key->user);
}

static void plan_fields(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->fields->count; i++) {
        const struct http_field *field = &plan->fields->at[i];

        if (!field_is_kept(field))
            continue;
        plan->field_count++;
        plan->fields_bytes += packed_size(field);
    }
}

static void plan_measure(struct plan *plan)
{
    const struct cache_key *key = plan->intent->key;
    const struct str_list *tags = plan->intent->tags;

    plan_fields(plan);
    plan->tag_count = plan->named.count + (tags != NULL ? tags->count : 0);
    for (uint32_t i = 0; i < plan->named.count; i++)
        if (plan->named.at[i].is_group) /* it has two */
            plan->tag_count++;
    if (key->user.len > 0)
        plan->tag_count++;
    plan->label_at = key_url_at(key->text);
    plan->text_bytes = key->text.len + plan->vary_names.len + plan->vary_key.len;
    if (!key_has_label(key, plan->label_at)) {
        plan->label_at = key->text.len;
        plan->text_bytes += label_len(key) + key->user.len;
    }
}

/* Can an entry say all its lengths? A request's head is shorter; what else may come is not kept. */
static bool plan_fits(const struct plan *plan)
{
    const struct cache_key *key = plan->intent->key;

    return plan->text_bytes <= UINT16_MAX && label_len(key) + key->user.len <= UINT16_MAX &&
           plan->field_count <= UINT16_MAX && plan->tag_count <= UINT16_MAX &&
           plan->fields_bytes <= UINT32_MAX && plan->inside <= UINT32_MAX;
}

static char *put(char *to, struct str s)
{
    if (s.len > 0)
        memcpy(to, s.ptr, s.len);
    return to + s.len;
}

static char *put_key(struct cache_entry *entry, const struct plan *plan, char *to)
{
    const struct cache_key *key = plan->intent->key;

    entry->hash = key->hash.lo;
    entry->url_place = url_place_of(key->url_hash);
    entry->key_len = (uint16_t)key->text.len;
    entry->label_at = (uint16_t)plan->label_at;
    entry->host_len = (uint16_t)key->host.len;
    entry->path_len = (uint16_t)key->path.len;
    entry->path_query_len = (uint16_t)(label_len(key) - key->host.len);
    entry->user_len = (uint16_t)key->user.len;
    to = put(to, key->text);
    if (plan->label_at < key->text.len)
        return to;
    to = put(put(to, key->host), key->path);
    if (key->query.ptr != NULL)
        to = put(put(to, STR("?")), key->query);
    return put(to, key->user);
}

static void put_text(struct cache_entry *entry, const struct plan *plan)
{
    char *to = put_key(entry, plan, (char *)(uintptr_t)entry_text(entry));

    entry->vary_names_len = (uint16_t)plan->vary_names.len;
    entry->vary_key_len = (uint16_t)plan->vary_key.len;
    to = put(put(to, plan->vary_names), plan->vary_key);
    entry->field_count = (uint16_t)plan->field_count;
    entry->fields_len = (uint32_t)plan->fields_bytes;
    for (uint32_t i = 0; i < plan->fields->count; i++)
        if (field_is_kept(&plan->fields->at[i]))
            to = packed_add(to, &plan->fields->at[i]);
}

/* The same tag twice would be counted twice by a purge. */
static bool take_tag(struct cache_entry *entry, struct str text)
{
    struct cache *cache = entry_cache(entry);
    struct tag_cell *cell = text.ptr != NULL ? cell_take(cache, text) : NULL;
    struct tag_link *tags = entry_tags(entry);

    if (cell == NULL)
        return false;
    for (uint32_t i = 0; i < entry->tag_count; i++)
        if (tags[i].cell == cell) {
            cell_release(cache, cell);
            return true;
        }
    tags[entry->tag_count++] = (struct tag_link){.entry = entry, .cell = cell};
    return true;
}

/* False: one could not be kept, and a purge would miss the entry. */
static bool take_tags(struct cache_entry *entry, const struct plan *plan)
{
    const struct str_list *tags = plan->intent->tags;
    const struct cache_key *key = plan->intent->key;

    for (uint32_t i = 0; tags != NULL && i < tags->count; i++)
        if (!take_tag(entry, tags->at[i]))
            return false;
    for (uint32_t i = 0; i < plan->named.count; i++) {
        struct str name = plan->named.at[i].name;

        if (!take_tag(entry, name))
            return false;
        if (plan->named.at[i].is_group && !take_tag(entry, cache_group_tag(key, name, plan->arena)))
            return false;
    }
    return key->user.len == 0 ||
           take_tag(entry, arena_printf(plan->arena, USER_TAG_PREFIX "%.*s", STR_ARG(key->user)));
}

/* ---- numbers ---- */

static int32_t small_s(int64_t seconds)
{
    if (seconds > INT32_MAX)
        return INT32_MAX;
    return seconds < INT32_MIN ? INT32_MIN : (int32_t)seconds;
}

/* Before 1970 and after 2106 the field itself is read again. */
static uint32_t small_date(int64_t second)
{
    if (second == HTTP_NO_TIME)
        return SECOND_NONE;
    return second < 0 || second >= SECOND_IN_FIELD ? SECOND_IN_FIELD : (uint32_t)second;
}

static void take_verdict(struct cache_entry *entry, const struct plan *plan)
{
    const struct cache_intent *intent = plan->intent;
    const struct http_verdict *verdict = intent->verdict;
    struct str modified = http_fields_get(plan->fields, HTTP_LAST_MODIFIED);

    entry->initial_age_s = small_s(verdict->initial_age_s);
    entry->lifetime_s = small_s(verdict->lifetime_s);
    entry->stored_us = intent->response_us;
    atomic_init(&entry->used_ms, (uint32_t)(intent->response_us / 1000));
    entry->fetch_us = intent->fetch_us < UINT32_MAX ? (uint32_t)intent->fetch_us : UINT32_MAX;
    entry->stale_while_revalidate_s = small_s(verdict->stale_while_revalidate_s);
    entry->stale_if_error_s = small_s(verdict->stale_if_error_s);
    entry->stale_if_unreachable_s = small_s(verdict->stale_if_unreachable_s);
    entry->must_revalidate = verdict->must_revalidate;
    entry->always_revalidate = verdict->always_revalidate;
    entry->source = (uint8_t)verdict->source;
    entry->has_etag = http_fields_get(plan->fields, HTTP_ETAG).ptr != NULL;
    entry->date_s = small_date(verdict->date_s);
    entry->last_modified_s = small_date(
        modified.ptr != NULL ? http_date_parse(modified, clock_wall_us() / 1000000) : HTTP_NO_TIME);
}

/* ---- making one ---- */

static size_t head_bytes(uint32_t tag_count)
{
    return sizeof(struct cache_entry) + tag_count * sizeof(struct tag_link);
}

/* Zeroed but for text and body, charged, with room for `inside`. */
static struct cache_entry *entry_alloc(struct cache *cache, size_t text, uint32_t tag_count,
                                       size_t inside, uint64_t url_hash)
{
    struct cache_entry *entry = malloc(head_bytes(tag_count) + text + inside);
    size_t cost;

    if (entry == NULL)
        return NULL;
    cost = budget_cost(entry) + INDEX_COST;
    if (cost / CHARGE_UNIT > UINT32_MAX || !budget_take(cache, cost, url_hash)) {
        free(entry);
        return NULL;
    }
    memset(entry, 0, head_bytes(tag_count));
    entry->charge = (uint32_t)(cost / CHARGE_UNIT);
    atomic_init(&entry->refs, 1);
    if (inside > 0) {
        entry->body_kind = BODY_INSIDE;
        entry->inside_len = (uint32_t)inside;
    }
    return entry;
}

static struct cache_entry *entry_build(struct cache *cache, int status, const struct plan *plan)
{
    struct cache_entry *entry =
        entry_alloc(cache, plan->text_bytes + plan->fields_bytes, plan->tag_count, plan->inside,
                    plan->intent->key->url_hash);

    if (entry == NULL)
        return NULL;
    entry->route = route_stats_of(cache, plan->intent->route);
    entry->status = (uint16_t)status;
    entry->tag_room = (uint16_t)plan->tag_count;
    put_text(entry, plan);
    take_verdict(entry, plan);
    entry->stamp = plan->intent->stamp;
    atomic_init(&entry->checked, plan->intent->stamp);
    if (!take_tags(entry, plan))
        cache_entry_release(&entry);
    return entry;
}

struct cache_entry *entry_again(const struct cache_entry *draft, size_t inside)
{
    struct cache *cache = entry_cache(draft);
    size_t text = (size_t)(entry_inside(draft) - entry_text(draft));
    struct cache_entry *entry =
        entry_alloc(cache, text, draft->tag_room, inside, entry_url_hash(draft));

    if (entry == NULL)
        return NULL;
    uint32_t charge = entry->charge;
    CHECK(!draft->is_linked && draft->body_kind == BODY_NONE);
    memcpy(entry, draft, head_bytes(draft->tag_room) + text); /* nobody else changes a draft */
    atomic_init(&entry->refs, 1);
    entry->charge = charge;
    entry->body_kind = BODY_INSIDE;
    entry->inside_len = (uint32_t)inside;
    for (uint32_t i = 0; i < entry->tag_count; i++) {
        struct tag_link *tag = &entry_tags(entry)[i];

        *tag = (struct tag_link){.entry = entry, .cell = cell_hold(cache, tag->cell)};
    }
    return entry;
}

/* False: the answer varies by what no request can name. */
static bool plan_vary(struct plan *plan, struct buf *vary_key)
{
    bool is_star = false;

    if (http_fields_count_of(plan->fields, HTTP_VARY) == 0)
        return true;
    plan->vary_names = http_vary_names(plan->fields, plan->arena, &is_star);
    if (is_star || (plan->vary_names.len > 0 &&
                    !http_vary_key(vary_key, plan->vary_names, plan->intent->request,
                                   plan->intent->normalize_vary, plan->arena)))
        return false;
    plan->vary_key = buf_str(vary_key);
    return true;
}

/* The usual answer has neither, and is stored without. */
static bool needs_arena(const struct plan *plan)
{
    return plan->intent->key->user.len > 0 || http_has_cache_tags(plan->fields) ||
           http_fields_count_of(plan->fields, HTTP_VARY) > 0;
}

struct cache_entry *entry_new(struct cache *cache, int status, const struct http_fields *fields,
                              const struct cache_intent *intent, size_t inside)
{
    struct plan plan = {.fields = fields, .intent = intent, .inside = inside};
    struct buf vary_key = buf_new(MAX_VARY_BYTES);
    struct cache_entry *entry = NULL;

    if (needs_arena(&plan) && (plan.arena = arena_new(1024, PLAN_BYTES)) == NULL)
        return NULL;
    if (plan_vary(&plan, &vary_key) && http_cache_tags(fields, plan.arena, &plan.named)) {
        plan_measure(&plan);
        if (plan_fits(&plan))
            entry = entry_build(cache, status, &plan);
    }
    buf_free(&vary_key);
    arena_free(&plan.arena);
    return entry;
}

/* ---- counts ---- */

struct cache_entry *cache_entry_hold(struct cache_entry *entry)
{
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return entry;
}

void cache_entry_release(struct cache_entry **entry)
{
    struct cache_entry *held = *entry;

    *entry = NULL;
    if (held == NULL || atomic_fetch_sub_explicit(&held->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct cache *cache = entry_cache(held);
    for (uint32_t i = 0; i < held->tag_count; i++)
        cell_release(cache, entry_tags(held)[i].cell);
    entry_drop_body(held);
    budget_give(cache, (size_t)held->charge * CHARGE_UNIT);
    free(held);
}

void entry_release_list(struct cache_entry *list)
{
    while (list != NULL) {
        struct cache_entry *entry = list;

        list = entry->next_key;
        cache_entry_release(&entry);
    }
}

static void count_used(const struct cache_entry *entry)
{
    count_add(&entry->route->cache->used, 1);
    count_add(&entry->route->used, 1);
}

uint64_t cache_entry_count_use(struct cache_entry *entry, uint64_t now_us)
{
    uint32_t now_ms = (uint32_t)(now_us / 1000);
    uint32_t last_ms = atomic_exchange_explicit(&entry->used_ms, now_ms, memory_order_relaxed);

    return (uint64_t)(uint32_t)(now_ms - last_ms) * 1000;
}

void entry_keep_hits(struct cache_entry *entry, const struct cache_entry *old)
{
    uint32_t hits = atomic_load_explicit(&old->hits, memory_order_relaxed);

    atomic_store_explicit(&entry->hits, hits, memory_order_relaxed);
    if (hits > 0)
        count_used(entry);
}

void cache_entry_count_hit(struct cache_entry *entry)
{
    uint8_t frequency = atomic_load_explicit(&entry->frequency, memory_order_relaxed);
    uint32_t hits = atomic_load_explicit(&entry->hits, memory_order_relaxed);

    /* Two threads may lose a hit between load and store; nobody bills by this. */
    if (frequency < 3)
        atomic_store_explicit(&entry->frequency, (uint8_t)(frequency + 1), memory_order_relaxed);
    if (hits == 0)
        count_used(entry);
    if (hits < UINT32_MAX)
        atomic_store_explicit(&entry->hits, hits + 1, memory_order_relaxed);
}
