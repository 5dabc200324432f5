/* entry.c - one stored answer: its block, its body, its ages.
 *
 * All of an entry but the body is one piece of memory: the struct, the tags, the
 * field list and the text they point into. The body is a counted block of its own,
 * so that an entry freshened by a 304 shares it and a fill's block becomes it
 * without a copy. After entry_set_body() nothing of it changes but the atomics, so
 * whoever holds it reads without a lock. Any thread. */
#include "cache/cache_priv.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>

enum {
    MALLOC_HEAD = sizeof(size_t),
    KEEP_FOR_VALIDATION_S = 3600,
    MOST_DOUBLINGS = 3,
    PLAN_BYTES = 1 << 20 /* for Vary and the most tags: 256 groups of 1 KiB, named twice */
};
#define REST_US ((uint64_t)500000)

/* ---- bodies ---- */

struct block *block_new(struct cache *cache, size_t size, uint64_t url_hash)
{
    size_t want = sizeof(struct block) + size, charged;
    struct block *block;

    if (size > atomic_load_explicit(&cache->limit, memory_order_relaxed))
        return NULL;
    block = malloc(want);
    if (block == NULL)
        return NULL;
    charged = malloc_usable_size(block) + MALLOC_HEAD;
    if (!budget_take(cache, charged, url_hash)) {
        free(block);
        return NULL;
    }
    atomic_init(&block->refs, 1);
    atomic_init(&block->codings, NULL);
    block->cache = cache;
    block->charged = charged;
    block->size = size;
    return block;
}

struct block *block_hold(struct block *block)
{
    if (block != NULL)
        atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

void block_release(struct block **block)
{
    struct block *held = *block;

    *block = NULL;
    if (held == NULL || atomic_fetch_sub_explicit(&held->refs, 1, memory_order_acq_rel) != 1)
        return;
    codings_free(held);
    budget_give(held->cache, held->charged);
    free(held);
}

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
    size_t text_bytes;
};

static void plan_measure(struct plan *plan)
{
    const struct cache_key *key = plan->intent->key;
    const struct str_list *tags = plan->intent->tags;

    for (uint32_t i = 0; i < plan->fields->count; i++) {
        const struct http_field *field = &plan->fields->at[i];

        if (!field_is_kept(field))
            continue;
        plan->field_count++;
        plan->text_bytes += field->name.len + field->value.len;
    }
    plan->tag_count = plan->named.count + (tags != NULL ? tags->count : 0);
    for (uint32_t i = 0; i < plan->named.count; i++)
        if (plan->named.at[i].is_group) /* it has two */
            plan->tag_count++;
    if (key->user.len > 0)
        plan->tag_count++;
    plan->text_bytes += key->text.len + key->host.len + key->path.len + 1 + key->query.len +
                        key->user.len + plan->vary_names.len + plan->vary_key.len;
}

/* The next piece of the text, copied; *at moves on. */
static struct str taken(char **at, struct str s)
{
    struct str copy = str_at(*at, s.len);

    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static void take_fields(struct cache_entry *entry, const struct plan *plan, struct http_field *to,
                        char **at)
{
    entry->meta.fields = (struct http_fields){.at = to, .room = 0, .arena = NULL};
    for (uint32_t i = 0; i < plan->fields->count; i++) {
        const struct http_field *field = &plan->fields->at[i];

        if (!field_is_kept(field))
            continue;
        to->id = field->id;
        to->name = taken(at, field->name);
        to->value = taken(at, field->value);
        to++;
        entry->meta.fields.count++;
    }
}

static void take_key(struct cache_entry *entry, const struct cache_key *key, char **at)
{
    const char *label = *at;

    entry->host = taken(at, key->host);
    entry->path = taken(at, key->path);
    entry->path_query = entry->path;
    if (key->query.ptr != NULL) {
        taken(at, STR("?"));
        entry->path_query.len += 1 + taken(at, key->query).len;
    }
    entry->label = str_at(label, (size_t)(*at - label));
    entry->key = taken(at, key->text);
    entry->hash = key->hash;
    entry->url_hash = key->url_hash;
}

/* The same tag twice would be counted twice by a purge. */
static bool take_tag(struct cache_entry *entry, struct str text)
{
    struct tag_cell *cell = text.ptr != NULL ? cell_take(entry->cache, text) : NULL;

    if (cell == NULL)
        return false;
    for (uint32_t i = 0; i < entry->tag_count; i++)
        if (entry->tags[i].cell == cell) {
            cell_release(entry->cache, cell);
            return true;
        }
    entry->tags[entry->tag_count++] = (struct tag_link){.entry = entry, .cell = cell};
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

static void take_verdict(struct cache_entry *entry, const struct cache_intent *intent)
{
    const struct http_verdict *verdict = intent->verdict;
    struct cache_meta *meta = &entry->meta;

    meta->initial_age_s = verdict->initial_age_s;
    meta->lifetime_s = verdict->lifetime_s;
    meta->stored_us = intent->response_us;
    meta->fetch_us = intent->fetch_us;
    meta->stale_while_revalidate_s = verdict->stale_while_revalidate_s;
    meta->stale_if_error_s = verdict->stale_if_error_s;
    meta->stale_if_unreachable_s = verdict->stale_if_unreachable_s;
    meta->must_revalidate = verdict->must_revalidate;
    meta->always_revalidate = verdict->always_revalidate;
    meta->why = verdict->why;
    meta->source = verdict->source;
    meta->validators.etag = http_fields_get(&meta->fields, HTTP_ETAG);
    meta->validators.date_s = verdict->date_s;
    meta->validators.last_modified_s = http_date_parse(
        http_fields_get(&meta->fields, HTTP_LAST_MODIFIED), clock_wall_us() / 1000000);
}

/* Memory for all of the plan, charged. */
static struct cache_entry *entry_alloc(struct cache *cache, const struct plan *plan)
{
    size_t want = sizeof(struct cache_entry) + plan->tag_count * sizeof(struct tag_link) +
                  plan->field_count * sizeof(struct http_field) + plan->text_bytes;
    struct cache_entry *entry = malloc(want);

    if (entry == NULL)
        return NULL;
    memset(entry, 0, sizeof(*entry));
    entry->charged = malloc_usable_size(entry) + MALLOC_HEAD + INDEX_COST;
    entry->cache = cache;
    atomic_init(&entry->refs, 1);
    if (!budget_take(cache, entry->charged, plan->intent->key->url_hash)) {
        free(entry);
        return NULL;
    }
    return entry;
}

static struct cache_entry *entry_build(struct cache *cache, int status, const struct plan *plan)
{
    struct cache_entry *entry = entry_alloc(cache, plan);
    struct http_field *fields;
    char *at;

    if (entry == NULL)
        return NULL;
    entry->tags = (struct tag_link *)(entry + 1);
    fields = (struct http_field *)(entry->tags + plan->tag_count);
    at = (char *)(fields + plan->field_count);
    entry->meta.status = status;
    take_fields(entry, plan, fields, &at);
    take_key(entry, plan->intent->key, &at);
    entry->user = taken(&at, plan->intent->key->user);
    entry->vary_names = taken(&at, plan->vary_names);
    entry->vary_key = taken(&at, plan->vary_key);
    take_verdict(entry, plan->intent);
    entry->stamp = plan->intent->stamp;
    atomic_init(&entry->checked, plan->intent->stamp);
    entry->route = route_stats_of(cache, plan->intent->route);
    entry->meta.body = STR("");
    if (!take_tags(entry, plan))
        cache_entry_release(&entry);
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
                              const struct cache_intent *intent)
{
    struct plan plan = {.fields = fields, .intent = intent};
    struct buf vary_key = buf_new(MAX_VARY_BYTES);
    struct cache_entry *entry = NULL;

    if (needs_arena(&plan) && (plan.arena = arena_new(1024, PLAN_BYTES)) == NULL)
        return NULL;
    if (plan_vary(&plan, &vary_key) && http_cache_tags(fields, plan.arena, &plan.named)) {
        plan_measure(&plan);
        entry = entry_build(cache, status, &plan);
    }
    buf_free(&vary_key);
    arena_free(&plan.arena);
    return entry;
}

void entry_set_body(struct cache_entry *entry, struct block *body, size_t len)
{
    entry->body = body;
    entry->meta.body = body != NULL ? str_at(body->bytes, len) : STR("");
    entry->coded_bytes = body != NULL ? codings_size(body) : 0;
}

size_t entry_size(const struct cache_entry *entry)
{
    return entry->charged + (entry->body != NULL ? entry->body->charged : 0) + entry->coded_bytes;
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
    for (uint32_t i = 0; i < held->tag_count; i++)
        cell_release(held->cache, held->tags[i].cell);
    block_release(&held->body);
    budget_give(held->cache, held->charged);
    free(held);
}

void entry_release_list(struct cache_entry *list)
{
    while (list != NULL) {
        struct cache_entry *entry = list;

        list = entry->older;
        cache_entry_release(&entry);
    }
}

void cache_entry_count_hit(struct cache_entry *entry)
{
    uint8_t frequency = atomic_load_explicit(&entry->frequency, memory_order_relaxed);
    uint32_t hits = atomic_load_explicit(&entry->hits, memory_order_relaxed);

    /* Two threads may lose a hit between load and store; nobody bills by this. */
    if (frequency < 3)
        atomic_store_explicit(&entry->frequency, (uint8_t)(frequency + 1), memory_order_relaxed);
    if (hits < UINT32_MAX)
        atomic_store_explicit(&entry->hits, hits + 1, memory_order_relaxed);
}

/* ---- ages ---- */

const struct cache_meta *cache_entry_meta(const struct cache_entry *entry)
{
    return &entry->meta;
}

int64_t cache_entry_age_s(const struct cache_entry *entry, uint64_t now_us)
{
    uint64_t resident_us = now_us > entry->meta.stored_us ? now_us - entry->meta.stored_us : 0;
    int64_t age_s = entry->meta.initial_age_s + (int64_t)(resident_us / 1000000);

    return age_s < HTTP_FOREVER_S ? age_s : HTTP_FOREVER_S;
}

int64_t cache_entry_ttl_s(const struct cache_entry *entry, uint64_t now_us)
{
    int64_t ttl_s = entry->meta.lifetime_s - cache_entry_age_s(entry, now_us);

    return ttl_s > 0 && cache_entry_is_soft_purged(entry) ? 0 : ttl_s;
}

bool cache_entry_is_due_early(const struct cache_entry *entry, uint64_t now_us, uint64_t draw)
{
    const struct cache_meta *meta = &entry->meta;
    double resident_us = now_us > meta->stored_us ? (double)(now_us - meta->stored_us) : 0;
    double left_us = (double)(meta->lifetime_s - meta->initial_age_s) * 1e6 - resident_us;
    double uniform = ((double)(draw >> 11) + 1) / 9007199254740993.0; /* (0, 1] */

    return -log(uniform) * (double)meta->fetch_us >= left_us;
}

void cache_entry_let_rest(struct cache_entry *entry, enum cache_rest why, uint64_t now_us)
{
    uint8_t fails = atomic_load_explicit(&entry->fails, memory_order_relaxed);

    atomic_store_explicit(&entry->rest_why, (uint8_t)why, memory_order_relaxed);
    atomic_store_explicit(&entry->rest_until_us, now_us + (REST_US << fails), memory_order_relaxed);
    if (fails < MOST_DOUBLINGS)
        atomic_store_explicit(&entry->fails, (uint8_t)(fails + 1), memory_order_relaxed);
}

enum cache_rest cache_entry_rests(const struct cache_entry *entry, uint64_t now_us)
{
    if (now_us >= atomic_load_explicit(&entry->rest_until_us, memory_order_relaxed))
        return CACHE_NO_REST;
    return (enum cache_rest)atomic_load_explicit(&entry->rest_why, memory_order_relaxed);
}

bool cache_entry_is_soft_purged(const struct cache_entry *entry)
{
    return atomic_load_explicit(&entry->is_soft_purged, memory_order_relaxed);
}

bool entry_is_dead(const struct cache_entry *entry, uint64_t now_us)
{
    const struct cache_meta *meta = &entry->meta;
    bool can_validate =
        meta->validators.etag.ptr != NULL || meta->validators.last_modified_s != HTTP_NO_TIME;
    int64_t kept_s = can_validate ? KEEP_FOR_VALIDATION_S : 0;
    int64_t expired_s = cache_entry_age_s(entry, now_us) - meta->lifetime_s;

    if (!meta->must_revalidate) {
        const int64_t windows[] = {meta->stale_while_revalidate_s, meta->stale_if_error_s,
                                   meta->stale_if_unreachable_s};

        for (size_t i = 0; i < COUNT_OF(windows); i++)
            if (windows[i] > kept_s)
                kept_s = windows[i];
    }
    return expired_s >= 0 && expired_s >= kept_s;
}
