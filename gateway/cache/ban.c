/* ban.c - patterns that became invalid at a moment, tested when an entry is met.
 *
 * A worker that sees a successful write cannot walk the cache. It adds a ban: the
 * pattern and the purge sequence. An entry remembers the sequence up to which no ban
 * covers it, so a lookup compares two numbers, and patterns are matched once for each
 * entry and ban. The sweep tests all the others; then bans old enough retire, and
 * `floor` stays behind: what was never tested that far counts as covered. Past 1000
 * bans one floor stands for all: rather refetch everything than scan for ever.
 * Any thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

enum { RETIRE_AFTER_US = 60 * 1000 * 1000 };

void ban_init(struct bans *bans)
{
    CHECK(pthread_rwlock_init(&bans->lock, NULL) == 0);
}

void ban_free(struct bans *bans)
{
    for (uint32_t i = 0; i < bans->count; i++)
        free(bans->at[i]);
    bans->count = 0;
}

/* ---- patterns ---- */

struct str glob_spread(struct str glob, struct arena *arena)
{
    if (glob.len > 0 && glob.ptr[0] == '/')
        return arena_copy(arena, glob);
    return arena_printf(arena, "*%.*s*", STR_ARG(glob));
}

bool glob_fits(struct str spread, const struct cache_entry *entry)
{
    return str_glob(spread, str_find(spread, '?') < spread.len ? entry_path_query(entry)
                                                               : entry_path(entry));
}

static bool ban_covers(const struct ban *ban, const struct cache_entry *entry)
{
    return (ban->host.len == 0 || str_ieq(ban->host, entry_host(entry))) &&
           glob_fits(ban->glob, entry);
}

/* ---- adding ---- */

static struct ban *ban_new(struct str host, struct str glob, bool is_soft)
{
    struct ban *ban = malloc(sizeof(*ban) + host.len + glob.len + 2);
    bool is_anchored = glob.len > 0 && glob.ptr[0] == '/';
    char *text;

    if (ban == NULL)
        return NULL;
    text = (char *)(ban + 1);
    *ban = (struct ban){.made_us = clock_mono_us(), .is_soft = is_soft};
    ban->host = str_at(text, host.len);
    ban->glob = str_at(text + host.len, glob.len + (is_anchored ? 0 : 2));
    memset(text, '*', host.len + glob.len + 2); /* the stars that glob_spread() writes */
    if (host.len > 0)
        memcpy(text, host.ptr, host.len);
    if (glob.len > 0)
        memcpy(text + host.len + (is_anchored ? 0 : 1), glob.ptr, glob.len);
    return ban;
}

/* The same pattern again only moves its moment: a burst of writes is one ban. */
static bool ban_again(struct bans *bans, uint64_t hash, const struct ban *like)
{
    for (uint32_t i = 0; i < bans->count; i++) {
        struct ban *ban = bans->at[i];

        if (ban->hash != hash || ban->is_soft != like->is_soft || !str_eq(ban->glob, like->glob) ||
            !str_eq(ban->host, like->host))
            continue;
        ban->seq = like->seq;
        ban->made_us = like->made_us;
        return true;
    }
    return false;
}

static void drop_all(struct bans *bans, uint64_t seq)
{
    ban_free(bans);
    mark_raise(&bans->floor, seq);
}

/* Lock held. */
static uint64_t next_seq(struct cache *cache)
{
    return atomic_fetch_add(&cache->seq, 1) + 1;
}

void ban_add(struct cache *cache, struct str host, struct str glob, bool is_soft)
{
    struct bans *bans = &cache->bans;
    struct ban *ban = ban_new(host, glob, is_soft);
    uint64_t seq;

    if (ban != NULL)
        ban->hash = hash_sip64(&cache->seed, ban->glob);
    pthread_rwlock_wrlock(&bans->lock);
    seq = next_seq(cache);
    if (ban != NULL)
        ban->seq = seq;
    if (ban == NULL || bans->count == MAX_BANS) {
        if (ban == NULL || !ban_again(bans, ban->hash, ban))
            drop_all(bans, seq);
        free(ban);
    } else if (ban_again(bans, ban->hash, ban)) {
        free(ban);
    } else {
        bans->at[bans->count++] = ban;
    }
    mark_raise(&bans->newest, seq);
    pthread_rwlock_unlock(&bans->lock);
}

void ban_everything(struct cache *cache)
{
    uint64_t seq;

    pthread_rwlock_wrlock(&cache->bans.lock);
    seq = next_seq(cache);
    drop_all(&cache->bans, seq);
    mark_raise(&cache->bans.newest, seq);
    pthread_rwlock_unlock(&cache->bans.lock);
}

/* The slot first: whoever interns the tag after our look is refused by it when it stores. */
void ban_tag(struct cache *cache, struct str tag, bool is_soft)
{
    struct tag_cell *cell;
    uint64_t seq;

    pthread_rwlock_wrlock(&cache->bans.lock);
    seq = next_seq(cache);
    mark_raise(&cache->tag_slots[tag_hash_of(cache, tag) % TAG_SLOTS], seq);
    cell = cell_find(cache, tag);
    if (cell != NULL) {
        mark_raise(is_soft ? &cell->soft : &cell->hard, seq);
        cell_release(cache, cell);
    }
    mark_raise(&cache->bans.newest, seq);
    pthread_rwlock_unlock(&cache->bans.lock);
}

/* ---- testing ---- */

static enum ban_verdict tags_test(const struct cache_entry *entry)
{
    enum ban_verdict verdict = BAN_CLEAR;

    for (uint32_t i = 0; i < entry->tag_count; i++) {
        const struct tag_cell *cell = entry_tags(entry)[i].cell;

        if (atomic_load_explicit(&cell->hard, memory_order_relaxed) > entry->stamp)
            return BAN_HARD;
        if (atomic_load_explicit(&cell->soft, memory_order_relaxed) > entry->stamp)
            verdict = BAN_SOFT;
    }
    return verdict;
}

static enum ban_verdict ban_test(struct bans *bans, struct cache_entry *entry, uint64_t checked)
{
    enum ban_verdict verdict = tags_test(entry);

    if (verdict == BAN_HARD || checked < atomic_load(&bans->floor))
        return BAN_HARD;
    for (uint32_t i = 0; i < bans->count; i++) {
        const struct ban *ban = bans->at[i];

        if (ban->seq <= checked || !ban_covers(ban, entry))
            continue;
        if (!ban->is_soft)
            return BAN_HARD;
        verdict = BAN_SOFT;
    }
    return verdict;
}

enum ban_verdict ban_check(struct cache *cache, struct cache_entry *entry)
{
    struct bans *bans = &cache->bans;
    uint64_t checked = atomic_load_explicit(&entry->checked, memory_order_relaxed);
    enum ban_verdict verdict;

    if (checked >= atomic_load_explicit(&bans->newest, memory_order_acquire))
        return BAN_CLEAR;
    pthread_rwlock_rdlock(&bans->lock);
    verdict = ban_test(bans, entry, checked);
    if (verdict == BAN_SOFT)
        atomic_store_explicit(&entry->is_soft_purged, true, memory_order_relaxed);
    if (verdict != BAN_HARD)
        mark_raise(&entry->checked, atomic_load(&bans->newest));
    pthread_rwlock_unlock(&bans->lock);
    return verdict;
}

void ban_retire(struct cache *cache, uint64_t up_to_seq, uint64_t now_us)
{
    struct bans *bans = &cache->bans;
    uint32_t kept = 0;

    pthread_rwlock_wrlock(&bans->lock);
    for (uint32_t i = 0; i < bans->count; i++) {
        struct ban *ban = bans->at[i];

        if (ban->seq <= up_to_seq && now_us > ban->made_us + RETIRE_AFTER_US) {
            mark_raise(&bans->floor, ban->seq);
            free(ban);
        } else {
            bans->at[kept++] = ban;
        }
    }
    bans->count = kept;
    pthread_rwlock_unlock(&bans->lock);
}
