/* cache_priv.h - what the files of cache/ know of each other.
 *
 * The index is 64 shards, chosen by the hash of path and query. A shard's mutex
 * guards its tables, its queues and every field of an entry that stands under
 * "shard lock" below; the rest of an entry never changes, or is atomic. No thread
 * holds two locks of the index at once, and entries are freed with none held.
 *
 * Budget: what is allocated is charged first (budget_take) and given back when it
 * is freed, not when it leaves the index: an evicted body that is still being sent
 * is memory too. */
#ifndef GATEWAY_CACHE_PRIV_H
#define GATEWAY_CACHE_PRIV_H
#include "cache/cache.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SHARDS = 64,
    MAX_VARIANTS = 16,
    CELL_SHARDS = 64,
    MAX_CELLS = 1 << 20, /* tags in use */
    MAX_BANS = 1000,
    MAX_ROUTES = 4096,      /* names that are counted apart */
    MAX_VARY_BYTES = 16384, /* longer selecting values are not stored */
    FLIGHT_SHARDS = 64,
    FLIGHT_BUCKETS = 64,
    ASIDE_SLOTS = 64,  /* each flight shard */
    URL_SLOTS = 65536, /* latest purge of the URLs that hash there */
    TAG_SLOTS = 4096,  /* the same of tags */
    /* An entry's share of the tables, charged with it: at most 2 pointers by key and 1 by URL (a
     * table has doubled just now), and one slot of the ghost. */
    INDEX_COST = 32,
    CHARGE_UNIT = 8,         /* of what an entry remembers to be charged */
    INSIDE_MOST = 64 * 1024, /* bodies up to this size lie in the entry itself */
    LARGE_BYTES = 64 * 1024  /* larger ones come into a full cache at the second request */
};

struct codings; /* a body in content codings: coded.c */

/* A counted, charged body that lies in no entry: a large one. Shared by an entry, its freshened
 * successor and readers. */
struct block {
    atomic_uint refs;
    struct cache *cache;
    _Atomic(struct codings *) codings; /* NULL: none */
    size_t charged, size;
    char bytes[];
};

/* One name's counters; never freed before the cache. */
struct route_stats {
    struct cache *cache;
    _Atomic(struct route_stats *) next;
    _Atomic uint64_t entries, bytes, evictions, stores, invalidations, premature, used;
    size_t name_len;
    char name[];
};

/* One tag, shared by the entries that carry it. */
struct tag_cell {
    struct tag_cell *next;       /* lock of its shard */
    uint32_t refs;               /* the same */
    _Atomic uint64_t hard, soft; /* sequence of the last purge of each kind; 0: none */
    uint64_t hash;
    size_t charged, len;
    char text[];
};
struct cell_shard {
    pthread_mutex_t lock;
    struct tag_cell **buckets;
    uint32_t bucket_count, count; /* bucket_count: a power of two, or 0 */
};

/* An entry's place in the chain of one tag bucket. */
struct tag_link {
    struct tag_link *next, **back; /* shard lock; back NULL: not linked */
    struct cache_entry *entry;     /* NULL: the bookmark of somebody who walks the chain */
    struct tag_cell *cell;         /* held */
};

enum queue_kind { QUEUE_SMALL, QUEUE_MAIN };
enum body_kind { BODY_NONE, BODY_INSIDE, BODY_BLOCK, BODY_OF_ENTRY };
enum { SECOND_NONE = UINT32_MAX, SECOND_IN_FIELD = UINT32_MAX - 1 }; /* of a date */

/* One allocation: this, tag_room tag links, the text, the body when it is inside. The text is the
 * key; the label and the user where the key does not hold them; Vary names and values; packed
 * fields (packed.c). What can be computed from the text, or is the same for all, is not here: a
 * cache of small answers is mostly this struct. */
struct cache_entry {
    /* shard lock */
    struct cache_entry *next_key; /* the bucket's next: the older variants of the key first */
    struct cache_entry *url_next, **url_back;
    struct cache_entry *queue_newer, *queue_older;

    uint64_t hash;            /* lower half of the key's */
    uint64_t stamp;           /* purge sequence at the fetch's start */
    _Atomic uint64_t checked; /* bans and marks up to this sequence do not cover it */
    uint64_t stored_us;
    struct route_stats *route;
    union {
        _Atomic(struct codings *) codings; /* BODY_INSIDE */
        struct block *block;               /* BODY_BLOCK: held */
        struct cache_entry *owner;         /* BODY_OF_ENTRY: held; its body is inside */
    } body;

    atomic_uint refs, hits;
    _Atomic uint32_t used_ms;        /* last look-up; lower half of the monotonic clock */
    _Atomic uint32_t rest_until_ms;  /* no refresh before; lower half of the monotonic clock */
    _Atomic uint8_t rest_why, fails; /* enum cache_rest; refreshes that failed in a row */
    _Atomic uint8_t frequency;       /* 0..3, for eviction */
    atomic_bool is_soft_purged;

    uint32_t inside_len, fields_len;
    uint32_t charge;    /* of this allocation and its place in the tables, in CHARGE_UNITs */
    uint32_t url_place; /* upper 6 and lower 26 bits of the URL's hash: shard, bucket, slot */
    uint32_t coded;     /* shard lock: of the body's coded copies, as counted, in CHARGE_UNITs */
    uint32_t fetch_us;
    uint32_t date_s, last_modified_s; /* or SECOND_* */
    int32_t initial_age_s, lifetime_s;
    int32_t stale_while_revalidate_s, stale_if_error_s, stale_if_unreachable_s;
    uint16_t status, field_count, tag_count, tag_room;
    /* of the text; path_query: the path and, when longer, '?' and the query */
    uint16_t key_len, label_at, host_len, path_len, path_query_len, user_len;
    uint16_t vary_names_len, vary_key_len;
    uint8_t body_kind : 2, must_revalidate : 1, always_revalidate : 1, has_etag : 1;
    uint8_t source; /* enum http_lifetime_source */
    /* shard lock */
    uint8_t is_linked : 1, has_older : 1; /* has_older: next_key is a variant of this key */
    uint8_t queue;                        /* enum queue_kind */
};
_Static_assert(sizeof(struct cache_entry) == 192, "each byte is paid for by every entry");
_Static_assert(_Alignof(struct tag_link) <= 8, "tag links follow the struct");

struct queue {
    struct cache_entry *newest, *oldest;
    uint64_t bytes;
    uint32_t count;
};

/* Fingerprints of keys that left, with the moment on a clock of departures. */
struct ghost {
    struct ghost_slot {
        uint32_t fingerprint, at;
    } * slots;
    uint32_t room, clock; /* room: a power of two, or 0 */
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct cache_entry **keys; /* by key hash: 2 * buckets */
    struct cache_entry **urls; /* by url hash: buckets */
    struct tag_link **tags;
    uint32_t buckets, tag_buckets; /* powers of two, or 0 */
    uint32_t entries, tag_links;
    uint32_t walkers; /* the tables keep their size while somebody walks */
    uint64_t bytes;
    struct queue queues[2];
    struct ghost ghost;
};

struct ban {
    uint64_t seq, made_us, hash;
    bool is_soft;
    struct str host, glob; /* behind the struct */
};
struct bans {
    pthread_rwlock_t lock;
    struct ban *at[MAX_BANS];
    uint32_t count;
    _Atomic uint64_t
        newest;             /* of bans and marks of tags: entries checked up to here need no look */
    _Atomic uint64_t floor; /* entries checked less far than this are gone */
};

struct flight_shard {
    pthread_mutex_t lock;
    struct flight *buckets[FLIGHT_BUCKETS];
    struct aside {
        struct hash128 hash;
        uint64_t until_us;
    } asides[ASIDE_SLOTS];
};

/* ---- history.c ---- */
enum {
    HISTORY_EVENTS = 8192, /* purges of all gateways whose places are known */
    HISTORY_TICKETS = 8192 /* own ones that are on their way into the stream */
};
struct purge_event {
    struct cache_place at;
    uint64_t before; /* our purge number before it was applied, and before all that follow */
};
struct purge_ticket {
    uint64_t before;
    bool is_back;
};
struct history {
    pthread_mutex_t lock;
    struct cache_place base, heard, live_from; /* what came after base is known */
    bool is_base_known;                        /* what came at base, too */
    bool is_heard;
    uint64_t heard_us, ticket_floor;
    uint64_t next_ticket, oldest_ticket; /* oldest: still out, or next */
    uint32_t event_first, event_count;
    struct purge_event events[HISTORY_EVENTS];
    struct purge_ticket tickets[HISTORY_TICKETS];
};

struct fill_home;

/* near.c */
struct near;
uint64_t near_count(struct cache *cache);

struct cache {
    struct hash_key seed;
    _Atomic uint64_t limit, max_object, charged;
    _Atomic uint64_t seq;        /* of purges */
    _Atomic bool has_parts;      /* has there ever been one? */
    _Atomic uint64_t newest_tag; /* purged by a walk; the others are among the bans */
    _Atomic uint64_t evictions, stores, invalidations, collapsed, premature, used;
    atomic_uint next_victim, makings; /* makings: of coded copies, now */
    struct bans bans;
    _Atomic uint64_t url_slots[URL_SLOTS], tag_slots[TAG_SLOTS];
    _Atomic uint32_t cell_count;
    uint32_t cell_limit;
    struct cell_shard cells[CELL_SHARDS];
    _Atomic(struct route_stats *) routes;
    struct route_stats *nameless; /* of names that are too many to be counted apart */
    pthread_mutex_t routes_lock;  /* appending */
    _Atomic(struct fill_home *) homes;
    pthread_mutex_t homes_lock; /* appending */
    pthread_mutex_t sweep_lock;
    uint32_t sweep_shard, sweep_bucket;
    uint64_t sweep_began_seq;
    struct history history;
    pthread_mutex_t near_lock;
    struct near *near; /* NULL: no picture yet */
    struct shard shards[SHARDS];
    struct flight_shard flights[FLIGHT_SHARDS];
};

/* A mark only rises. */
static inline void mark_raise(_Atomic uint64_t *mark, uint64_t seq)
{
    uint64_t now = atomic_load(mark);

    while (now < seq && !atomic_compare_exchange_weak(mark, &now, seq))
        continue;
}

/* ---- an entry's parts ---- */
static inline struct tag_link *entry_tags(const struct cache_entry *entry)
{
    return (struct tag_link *)(uintptr_t)(entry + 1);
}
static inline const char *entry_text(const struct cache_entry *entry)
{
    return (const char *)(entry_tags(entry) + entry->tag_room);
}
static inline struct str entry_key(const struct cache_entry *entry)
{
    return str_at(entry_text(entry), entry->key_len);
}
static inline struct str entry_host(const struct cache_entry *entry)
{
    return str_at(entry_text(entry) + entry->label_at, entry->host_len);
}
static inline struct str entry_path(const struct cache_entry *entry)
{
    return str_at(entry_text(entry) + entry->label_at + entry->host_len, entry->path_len);
}
static inline struct str entry_path_query(const struct cache_entry *entry)
{
    return str_at(entry_text(entry) + entry->label_at + entry->host_len, entry->path_query_len);
}
static inline size_t entry_label_len(const struct cache_entry *entry)
{
    return (size_t)entry->host_len + entry->path_query_len;
}
static inline struct str entry_user(const struct cache_entry *entry)
{
    return str_at(entry_text(entry) + entry->label_at + entry_label_len(entry), entry->user_len);
}
static inline struct str entry_vary_names(const struct cache_entry *entry)
{
    bool is_apart = entry->label_at == entry->key_len;
    size_t at = entry->key_len + (is_apart ? entry_label_len(entry) + entry->user_len : 0);

    return str_at(entry_text(entry) + at, entry->vary_names_len);
}
static inline struct str entry_vary_key(const struct cache_entry *entry)
{
    struct str names = entry_vary_names(entry);

    return str_at(names.ptr + names.len, entry->vary_key_len);
}
static inline const char *entry_packed(const struct cache_entry *entry)
{
    struct str values = entry_vary_key(entry);

    return values.ptr + values.len;
}
static inline char *entry_inside(const struct cache_entry *entry)
{
    return (char *)(uintptr_t)(entry_packed(entry) + entry->fields_len);
}
static inline struct cache *entry_cache(const struct cache_entry *entry)
{
    return entry->route->cache;
}
static inline struct cache_entry *entry_older(const struct cache_entry *entry)
{
    return entry->has_older ? entry->next_key : NULL;
}

/* Of a URL's hash an entry keeps what places are made of: the shard's bits and the lower ones. */
enum { PLACE_LOW_BITS = 26 };
static inline uint32_t url_place_of(uint64_t url_hash)
{
    return (uint32_t)(url_hash >> 58) << PLACE_LOW_BITS |
           (uint32_t)(url_hash & ((UINT32_C(1) << PLACE_LOW_BITS) - 1));
}
static inline uint64_t entry_url_hash(const struct cache_entry *entry)
{
    return (uint64_t)(entry->url_place >> PLACE_LOW_BITS) << 58 |
           (entry->url_place & ((UINT32_C(1) << PLACE_LOW_BITS) - 1));
}
static inline struct shard *shard_of_entry(const struct cache_entry *entry)
{
    return &entry_cache(entry)->shards[entry->url_place >> PLACE_LOW_BITS];
}

/* ---- packed.c ---- */
size_t packed_size(const struct http_field *field);
char *packed_add(char *to, const struct http_field *field); /* behind its last byte */
const char *packed_next(const char *at, struct http_field *field);
void packed_read(const char *at, struct http_field *to, uint32_t count);

/* ---- key.c ---- */
size_t key_url_at(struct str text); /* where the URL stands in a key, or in the key of a part */
uint64_t url_hash_of(const struct cache *cache, struct str path, struct str query);
uint64_t tag_hash_of(const struct cache *cache, struct str tag);
/* "user:<user>" is a tag like any other. */
#define USER_TAG_PREFIX "user:"
/* A cache group's tag begins with a byte that no field value and no parameter holds. */
#define GROUP_TAG_MARK '\1'

/* ---- evict.c: budget and queues ---- */
/* Charges bytes, evicting for them (first where `url_hash` lives). False: no room can be made. No
 * lock may be held. */
bool budget_take(struct cache *cache, size_t bytes, uint64_t url_hash) MUST_USE;
void budget_give(struct cache *cache, size_t bytes);
/* May a body of so many bytes come in? A large one into a full cache only when its key is known:
 * here, or gone lately; else it is from now on. */
bool budget_admits(struct cache *cache, uint64_t url_hash, uint64_t key_hash,
                   uint64_t bytes) MUST_USE;
size_t budget_cost(void *memory); /* of what malloc() gave, to be charged; whole CHARGE_UNITs */
void budget_shrink(struct cache *cache); /* evicts until the limit holds */
/* Shard lock. A key that left lately goes to the main queue at once. */
void queue_add(struct shard *shard, struct cache_entry *entry, const struct cache_entry *replaced);
void queue_remove(struct shard *shard, struct cache_entry *entry);

/* ---- cell.c ---- */
void cells_init(struct cache *cache);
void cells_free(struct cache *cache); /* when no entry is left */
/* The tag's cell, held; made when it is not known. NULL: no memory, no budget, too many tags. No
 * lock may be held. */
struct tag_cell *cell_take(struct cache *cache, struct str text) MUST_USE;
struct tag_cell *cell_find(struct cache *cache, struct str text) MUST_USE; /* held; NULL: unknown */
struct tag_cell *cell_hold(struct cache *cache, struct tag_cell *cell);
void cell_release(struct cache *cache, struct tag_cell *cell);
static inline struct str cell_text(const struct tag_cell *cell)
{
    return str_at(cell->text, cell->len);
}

/* ---- body.c ---- */
struct block *block_new(struct cache *cache, size_t size, uint64_t url_hash) MUST_USE;
struct block *block_hold(struct block *block);
void block_release(struct block **block);
struct str entry_body(const struct cache_entry *entry);
void entry_set_block(struct cache_entry *entry, struct block *body); /* takes the reference */
void entry_share_body(struct cache_entry *entry, struct cache_entry *with); /* holds it */
void entry_drop_body(struct cache_entry *entry);                            /* with the entry */
/* Where its copies in content codings hang; NULL: it has no body. */
_Atomic(struct codings *) *entry_codings(struct cache_entry *entry);
/* A 304 has confirmed `old`: its hits are the new one's. */
void entry_keep_hits(struct cache_entry *entry, const struct cache_entry *old);
size_t entry_size(const struct cache_entry *entry); /* its own block, the body and its copies */

/* ---- entry.c ---- */
/* A draft: everything but the body, for which there is room when it is to lie inside. NULL: no
 * memory, no budget, or longer than an entry can say. */
struct cache_entry *entry_new(struct cache *cache, int status, const struct http_fields *fields,
                              const struct cache_intent *intent, size_t inside) MUST_USE;
/* The same with room for a body whose length is known now. */
struct cache_entry *entry_again(const struct cache_entry *draft, size_t inside) MUST_USE;
/* Expired, past every stale window, and too old to be worth validating. */
bool entry_is_dead(const struct cache_entry *entry, uint64_t now_us);
void entry_release_list(struct cache_entry *list); /* linked by `next_key` */

/* ---- coded.c ---- */
/* Charged for the copies that are there. */
size_t codings_size(_Atomic(struct codings *) *place);
void codings_free(struct cache *cache, _Atomic(struct codings *) *place); /* with the body */

/* ---- index.c ---- */
struct shard *shard_of(struct cache *cache, uint64_t url_hash);
/* Puts a whole entry in its place, unless a purge covers it. `instead_of` (may be NULL) must still
 * be there. */
bool index_insert(struct cache *cache, struct cache_entry *entry,
                  const struct cache_entry *instead_of) MUST_USE;
/* The same; *replaced says what it took the place of. */
bool index_replace(struct cache *cache, struct cache_entry *entry,
                   const struct cache_entry *instead_of, struct cache_replaced *replaced) MUST_USE;
/* Shard lock. Takes it out of everything and pushes it on *victims (its reference with it). */
void index_unlink(struct shard *shard, struct cache_entry *entry, struct cache_entry **victims);
/* Shard lock. A link into the chain at `place`, and out again. */
void tag_link_at(struct tag_link **place, struct tag_link *tag);
void tag_unlink(struct tag_link *tag);
void index_drop(
    struct cache *cache,
    struct cache_entry *entry); /* takes the lock; invalidated; fine when it left already */

/* Shard lock. Is anything stored under a key of this hash? */
bool index_knows(const struct shard *shard, uint64_t hash);

/* ---- flight.c ---- */
bool flight_is_followed(struct cache *cache, const struct cache_key *key); /* somebody waits */

/* ---- ban.c ---- */
enum ban_verdict { BAN_CLEAR, BAN_SOFT, BAN_HARD };
void ban_init(struct bans *bans);
void ban_free(struct bans *bans);
/* These draw the purge's number and put it in force under one lock: a number that was passed by a
 * later one before it was in force would never be looked at. */
void ban_add(struct cache *cache, struct str host, struct str glob, bool is_soft);
void ban_everything(struct cache *cache);
void ban_tag(struct cache *cache, struct str tag, bool is_soft);
/* Marks the entry as checked, and soft-purged where that is the verdict. */
enum ban_verdict ban_check(struct cache *cache, struct cache_entry *entry);
void ban_retire(struct cache *cache, uint64_t up_to_seq, uint64_t now_us);
/* A glob as people write it: without a leading '/' it may stand anywhere. Copied; ptr NULL: out of
 * memory. */
struct str glob_spread(struct str glob, struct arena *arena);
bool glob_fits(struct str spread, const struct cache_entry *entry);

/* ---- purge.c ---- */
bool purge_covers(const struct cache *cache,
                  const struct cache_entry *entry); /* one that came after its stamp */

/* ---- history.c ---- */
void history_init(struct history *history);
/* The stamp that an answer has here whose fetch began when its gateway was at `at`. False: unknown,
 * it must not be used. */
bool history_stamp(struct cache *cache, const struct cache_place *at, uint64_t now_us,
                   uint64_t *stamp) MUST_USE;

/* ---- counts.c ---- */
/* The nameless one when no more can be kept. */
struct route_stats *route_stats_of(struct cache *cache, struct str name);
/* False: no memory. */
bool route_stats_init(struct cache *cache) MUST_USE;
void route_stats_free(struct cache *cache);
void count_add(_Atomic uint64_t *counter, uint64_t n);
void count_take(_Atomic uint64_t *counter, uint64_t n);

/* ---- fill_home.c ---- */
void fill_homes_free(struct cache *cache);

/* ---- list.c ---- */
struct str entry_label(const struct cache_entry *entry,
                       struct arena *arena); /* "host/path?query [user] {variant}" */

#endif
