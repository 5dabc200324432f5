/* cache.h - do we have it: keys, entries, eviction, collapse, fills, purge.
 *
 * One cache a process, shared by all workers; shards with short critical sections.
 * Entries are immutable and counted: a body is sent straight from the entry, with no lock
 * held. Every byte (keys, fields, index) is charged to the budget. Any thread, unless said. */
#ifndef GATEWAY_CACHE_H
#define GATEWAY_CACHE_H
#include "base/base.h"
#include "codec/codec.h"
#include "config/config.h"
#include "http/http.h"
#include "image/image.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct cache;
struct cache *cache_new(uint64_t memory_bytes, uint64_t max_object_bytes,
                        const struct hash_key *seed) MUST_USE;
/* After the fills have ended and the loops have stopped. Entries still held elsewhere stay readable
 * (and the cache's own memory with them). */
void cache_free(struct cache **cache);
void cache_resize(struct cache *cache, uint64_t memory_bytes, uint64_t max_object_bytes);

/* ---- keys ---- */
/* What an answer is stored under. `url` names the resource (for purge and invalidation); `text` is
 * the whole primary key: url, the caller of a per-user entry, the configured key headers. Lengths
 * are prefixed: no two inputs collide. */
struct cache_key {
    struct str text; /* arena */
    struct hash128 hash;
    struct str url; /* "host" + target as it is sent upstream, after the key's query rules; arena */
    struct str host, path, query; /* host in lower case; path normalised: what globs and tags match;
                                     query as in url, ptr NULL: none */
    struct str user;              /* tag of the per-user entry ("key:acme"), or empty */
    uint64_t url_hash; /* of path and query: every host, scheme, user and variant of one URL lives
                          in one shard */
};
struct cache_key_parts {
    bool is_tls;
    struct str host;                   /* as the client sent it, checked, without default port */
    uint16_t port;                     /* 0: the default one */
    struct str target;                 /* as it is sent upstream */
    struct str path;                   /* the client's normalised path */
    struct str user;                   /* empty: shared */
    struct str split;                  /* the upstream of a route that has several, or empty */
    struct str body;                   /* method, and what of the body makes the key, or empty */
    const struct route_config *route;  /* key rules */
    const struct http_fields *request; /* for key headers */
};
bool cache_key_build(const struct cache *cache, const struct cache_key_parts *parts,
                     struct arena *arena, struct cache_key *key) MUST_USE;

/* ---- entries ---- */
struct cache_entry; /* counted */
struct cache_meta {
    int status;
    struct str body; /* in one piece, in memory that the entry holds */
    int64_t initial_age_s, lifetime_s;
    uint64_t
        stored_us; /* monotonic moment of the head's arrival: age = initial_age + (now - stored) */
    uint64_t fetch_us; /* from the request to the head: what a refresh costs */
    int64_t stale_while_revalidate_s, stale_if_error_s, stale_if_unreachable_s;
    bool must_revalidate, always_revalidate;
    enum http_lifetime_source source;
};
struct cache_meta cache_entry_meta(const struct cache_entry *entry);
/* The first such field's value, or STR_NONE. This and what follows: slices into the entry, and
 * without Content-Length, hop-by-hop fields and Age, which are not kept. */
struct str cache_entry_field(const struct cache_entry *entry, enum http_name id);
struct http_validators cache_entry_validators(const struct cache_entry *entry);
/* All of them, in order, as a list in the arena. False: out of memory. */
bool cache_entry_fields(const struct cache_entry *entry, struct arena *arena,
                        struct http_fields *fields) MUST_USE;
int64_t cache_entry_age_s(const struct cache_entry *entry, uint64_t now_us);
/* lifetime - age; <= 0 when stale. A soft purge makes it 0 at most. */
int64_t cache_entry_ttl_s(const struct cache_entry *entry, uint64_t now_us);
/* May it answer a request that wants this (http_may_use, RFC 9111 §5.2.1)? What is soft-purged is
 * to be validated. */
enum http_use cache_entry_may_use(const struct cache_entry *entry,
                                  const struct http_cache_control *wants, uint64_t now_us);
/* Should a hit at `now_us` start a refresh, so that the entry never expires? The sooner it expires,
 * the longer its fetch takes and the more often it is asked for, the likelier (optimal
 * probabilistic early expiration, Vattani, Chierichetti and Lowenstein 2015, beta 1). `draw` is
 * random. */
bool cache_entry_is_due_early(const struct cache_entry *entry, uint64_t now_us, uint64_t draw);
/* Fetching this entry anew failed, by an answer (5xx) or without one: it rests for half a second,
 * then for twice as long each time, 4 s at most. Nobody needs to try meanwhile. */
enum cache_rest { CACHE_NO_REST, CACHE_REST_ERROR, CACHE_REST_UNREACHABLE };
void cache_entry_let_rest(struct cache_entry *entry, enum cache_rest why, uint64_t now_us);
enum cache_rest cache_entry_rests(const struct cache_entry *entry, uint64_t now_us);
bool cache_entry_is_soft_purged(const struct cache_entry *entry);
void cache_entry_release(struct cache_entry **entry); /* any thread */
struct cache_entry *cache_entry_hold(struct cache_entry *entry);

/* The variant of key that fits the request's Vary fields, held for the caller (release it), or
 * NULL. Purged ones are never found; expired ones are (they may be validated, or served stale).
 * *vary_missed: the URL is known but no variant fits. */
struct cache_entry *cache_find(struct cache *cache, const struct cache_key *key,
                               const struct http_fields *request, bool normalize_vary,
                               struct arena *arena, bool *vary_missed) MUST_USE;
/* Takes it out of the index: the origin has said that it must not be kept. */
void cache_drop(struct cache *cache, struct cache_entry *entry);
void cache_entry_count_hit(struct cache_entry *entry);
/* It was looked up: the time since the look-up before, or since it was stored. */
uint64_t cache_entry_count_use(struct cache_entry *entry, uint64_t now_us);

/* The body in a content coding, made once and shared with the entry that a 304 makes of this one.
 * *body is valid while the entry is held. */
enum cache_coded {
    CACHE_CODED_NONE,   /* nobody has asked: claim it */
    CACHE_CODED_MAKING, /* somebody is at it: use the body as it is */
    CACHE_CODED_READY,
    CACHE_CODED_USELESS /* it does not shrink by a tenth, or there was no memory */
};
enum cache_coded cache_entry_coded(const struct cache_entry *entry, enum codec_kind kind,
                                   struct str *body);
/* True: the caller, alone, calls cache_entry_code() for it, on any thread. At most 4 at once in
 * the process; false too without memory. */
bool cache_entry_claim_coding(struct cache_entry *entry, enum codec_kind kind) MUST_USE;
/* Packs the body (5 to 30 ns a byte) and keeps the copy, charged to the budget. */
void cache_entry_code(struct cache_entry *entry, enum codec_kind kind);

/* Purge sequence now: take it when a fetch begins; an answer fetched before a purge that covers it
 * is never stored. */
uint64_t cache_stamp(const struct cache *cache);

/* Has a purge that may cover this key come after `stamp`? Patterns and tags count whatever they
 * name: rather yes too often. */
bool cache_is_purged_since(const struct cache *cache, const struct cache_key *key, uint64_t stamp);

/* What is stored besides the answer itself. All slices copied. */
struct cache_intent {
    const struct cache_key *key;
    const struct http_fields *request; /* for the Vary key */
    bool normalize_vary;
    const struct http_verdict *verdict;
    uint64_t stamp;              /* cache_stamp() at the fetch's start */
    uint64_t response_us;        /* monotonic moment of the head */
    uint64_t fetch_us;           /* how long it took to come */
    struct str route;            /* its name */
    const struct str_list *tags; /* of the route; the answer's own, its groups and "user:<user>" are
                                    added by the cache; may be NULL */
};
/* Replaces what a validated entry says by the 304's fields (http_freshen) and verdict: a new entry
 * that shares the body. Returns it held, or NULL (purged meanwhile, or out of memory: then use the
 * old one for this answer). */
struct cache_entry *cache_freshen(struct cache *cache, struct cache_entry *old,
                                  const struct http_fields *update,
                                  const struct cache_intent *intent) MUST_USE;

/* ---- parts (206) ---- */
/* The key of the one part that is kept of what `whole` names; with a range, of the answer to that
 * very Range. Its text is in the arena, the rest is the whole's. */
bool cache_key_of_part(struct cache *cache, const struct cache_key *whole, struct str range,
                       struct arena *arena, struct cache_key *part) MUST_USE;
bool cache_has_parts(const struct cache *cache); /* has one ever been asked for? */
/* Two parts with the same strong validator and no hole between them become one in the newer's
 * place, or the whole under its own key. intent: the newer's. Nothing happens when they do not fit,
 * a purge came meanwhile, or there is no room. */
void cache_join_parts(struct cache *cache, struct cache_entry *older, struct cache_entry *newer,
                      const struct cache_key *whole, const struct cache_intent *intent);

/* ---- near: pictures that look alike ---- */
enum { CACHE_DIGEST = 64, CACHE_MOST_PICTURES = 16384 };
struct cache_near {
    char digest[CACHE_DIGEST + 1]; /* of the bytes, in hex */
    uint32_t distance;             /* bits of the perceptual hash that differ */
};
/* An answer was stored for a picture. scope: the hash of its key without the digest. The oldest of
 * CACHE_MOST_PICTURES is forgotten. Out of memory: nothing is kept. */
void cache_near_add(struct cache *cache, const struct hash128 *scope, const struct image_hash *hash,
                    const char digest[CACHE_DIGEST + 1]);
/* Those of this scope that are at most `most` bits away: how many there are in to[room], nearest
 * first. Their entries may be gone. */
uint32_t cache_near_find(struct cache *cache, const struct hash128 *scope,
                         const struct image_hash *hash, uint32_t most, struct cache_near *to,
                         uint32_t room);
void cache_near_drop(struct cache *cache, const struct hash128 *scope,
                     const char digest[CACHE_DIGEST + 1]); /* its entry is gone */

/* ---- fills: one upstream answer and its readers ---- */
/* Written by one worker; read on any. Until fill_begin() nobody can read. */
struct fill;
struct fill_reader;
typedef void fill_fn(void *arg);
/* Call the writer's functions from callbacks of its loop. room(arg): there too, when bytes may be
 * written again after fill_write() said no, and whenever the last reader has left (then
 * fill_readers() is 0). Holds itself until fill_end()/fill_fail() and the last reader's leaving. */
struct fill *fill_new(struct cache *cache, struct loop *loop, fill_fn *room, void *arg) MUST_USE;
struct fill_head {
    int status;
    const struct http_fields *fields; /* copied; as they go to clients, without Content-Length */
    bool has_length;
    uint64_t length;
};
/* Publishes the head. With an intent the body is kept whole (at upstream speed, charged to the
 * budget) and stored by fill_end(); without one it is a 64 KiB ring for one reader. An intent is
 * dropped by itself past max_object_bytes, without memory or when it is put off: the fill is then
 * paced by its slowest reader. False: out of memory; the fill has failed. */
bool fill_begin(struct fill *fill, const struct fill_head *head,
                const struct cache_intent *intent) MUST_USE;
/* Takes all bytes, or none (false: wait for room()). */
bool fill_write(struct fill *fill, struct str bytes) MUST_USE;
/* Where up to *room next bytes may be written instead; fill_placed() says how many were, before
 * anything else happens to the fill. NULL: not there; with *room 0 a call of fill_write() would say
 * no, and room() follows; else use fill_write(). */
char *fill_place(struct fill *fill, size_t *room) MUST_USE;
void fill_placed(struct fill *fill, size_t len);
void fill_trailers(struct fill *fill,
                   const struct http_fields *fields); /* copied; before fill_end() */
/* What a stored entry has replaced: the answer of the same key and variant, if there was one that
 * no purge had made doubtful. */
struct cache_replaced {
    bool is_any, has_same_body;
    uint64_t interval_us; /* since the old one, or the 304 that confirmed it, had come */
    uint64_t body_bytes;  /* of the old one */
    int64_t lifetime_s;
};
/* The answer is whole: readers get the end; with an intent, and the announced length met, it
 * becomes an entry. The writer must not use `*fill` any more (cleared). True when it was stored. */
bool fill_end_over(struct fill **fill, struct cache_replaced *replaced);
static inline bool fill_end(struct fill **fill)
{
    struct cache_replaced unread;

    return fill_end_over(fill, &unread);
}
void fill_fail(struct fill **fill); /* cut: readers get an error; nothing is stored */
uint32_t fill_readers(struct fill *fill);
bool fill_is_storing(const struct fill *fill);
/* Not stored this time: larger than 64 KiB, and new to a full cache. The next one will be. */
bool fill_is_put_off(const struct fill *fill);

/* wake(arg) on the reader's loop when there is something new; once until the next fill_read().
 * NULL: out of memory. Before fill_begin() only the writer's own worker may attach. */
struct fill_reader *fill_attach(struct fill *fill, struct loop *loop, fill_fn *wake,
                                void *arg) MUST_USE;
/* The same for a reader of another thread: silent until its own thread calls fill_reader_arm(). */
struct fill_reader *fill_attach_for(struct fill *fill, struct loop *loop, fill_fn *wake,
                                    void *arg) MUST_USE;
void fill_reader_arm(struct fill_reader *reader);
/* NULL before fill_begin(); then the head, which lives as long as the reader. */
const struct fill_head *fill_reader_head(const struct fill_reader *reader);
enum { FILL_WAIT = 0, FILL_END = -1, FILL_ERROR = -2 };
ptrdiff_t fill_read(struct fill_reader *reader, char *to,
                    size_t room); /* bytes copied, or FILL_* */
/* The whole body, when all of it is there already (storing, or it fits the ring): lets a small
 * answer leave in one piece. Borrowed until fill_detach(). */
bool fill_reader_whole(struct fill_reader *reader, struct str *body);
const struct http_fields *
fill_reader_trailers(const struct fill_reader *reader); /* after FILL_END; NULL: none */
/* Do the request's values of the answer's Vary fields equal those of the request that fetches it?
 * True without Vary. */
bool fill_reader_fits(const struct fill_reader *reader, const struct http_fields *request,
                      bool normalize_vary, struct arena *arena);
void fill_detach(struct fill_reader **reader); /* silent from now on; NULL is fine */

/* ---- collapse: many misses, one fetch ---- */
struct flight;
enum flight_role {
    FLIGHT_LEAD,   /* fetch, and say how it went */
    FLIGHT_FOLLOW, /* wait: the outcome comes */
    FLIGHT_ALONE   /* fetch for yourself: a recent answer for this key could not be shared, or too
                      many wait */
};
enum flight_outcome {
    FLIGHT_READ,  /* *reader is attached to the leader's fill (the follower's, to detach) */
    FLIGHT_RETRY, /* look up again: the entry is fresh now, or the leader failed */
    FLIGHT_GO,    /* the answer is not for sharing: fetch for yourself */
    FLIGHT_FAILED /* the leader could not reach the upstream: what is stale may do */
};
/* A follower's place in the queue; embedded in the request, which may be freed right after
 * flight_leave(). */
struct flight_ticket;
struct flight_wait {
    struct loop *loop;
    void (*told)(void *arg, enum flight_outcome outcome,
                 struct fill_reader *reader); /* on `loop`, once */
    fill_fn *wake; /* for the reader that told() may bring; never before told() */
    void *arg;
    struct flight_ticket *ticket; /* the cache's own; NULL while it is not waiting */
};
/* The set-aside lasts 10 s for a key whose answer could not be shared. FLIGHT_LEAD: *lead is the
 * caller's to close; look the key up once more first, because the flight before may have ended
 * between the lookup and this call. `wait` is used by a follower alone. */
enum flight_role cache_join(struct cache *cache, const struct cache_key *key, uint64_t now_us,
                            struct flight_wait *wait, struct flight **lead) MUST_USE;
/* For a refresh, which waits for nobody: LEAD, FOLLOW (another fetches this key, nothing was
 * queued) or ALONE (set aside, or out of memory: no refresh now). */
enum flight_role cache_lead(struct cache *cache, const struct cache_key *key, uint64_t now_us,
                            struct flight **lead) MUST_USE;
/* A follower gives up waiting; told() will not come. Its own loop's thread only. Fine when it is
 * not waiting. */
void flight_leave(struct flight_wait *wait);
/* The leader's answer may be shared (after fill_begin() with an intent that holds:
 * fill_is_storing()): followers, and those who come until it ends, read this fill. Each asks
 * fill_reader_fits() before it reads. */
void flight_open(struct flight *flight, struct fill *fill);
/* Ends it (clears the pointer): RETRY or GO for those still waiting. GO sets the key aside when
 * set_aside. NULL is fine. */
void flight_close(struct flight **flight, enum flight_outcome outcome, bool set_aside,
                  uint64_t now_us);
uint32_t
flight_followers(struct flight *flight); /* still waiting; those who read are fill_readers() */

/* ---- purge ---- */
struct purge {
    enum purge_kind { PURGE_ALL, PURGE_URL, PURGE_GLOB, PURGE_TAG, PURGE_USER } kind;
    struct str text; /* url: "host/path?query" or "/path?query" (any host); glob on path (with the
                        query when it holds '?'; no leading '/': contains); tag; user */
    struct str host; /* empty: every host */
    bool soft, dry_run;
    uint64_t ticket;  /* cache_history_ticket(), for the way to the others; 0: none */
    uint64_t walk_us; /* a walk (all, glob) that takes longer stops counting; 0: it never does */
};
struct purge_result {
    uint64_t matched, bytes; /* variants that could have been served until now */
    struct str sample[10];   /* keys; arena */
    uint32_t sample_count;
    bool complete; /* false: the walk gave up, the counts are of what it saw */
    bool is_done;  /* false: out of memory, nothing is purged */
};
/* Walks in short steps, and counts: off the workers. Entries purged are gone for every lookup that
 * begins after it returns, complete or not. now_us: monotonic. Any thread. */
void cache_purge(struct cache *cache, const struct purge *purge, uint64_t now_us,
                 struct arena *arena, struct purge_result *result);
/* The same purge without counting (dry_run and walk_us mean nothing): O(1) but for the variants of
 * one URL. In force when it returns; memory is reclaimed as lookups and cache_sweep() meet what is
 * covered. For workers after a successful unsafe request, and for what another gateway purged. url:
 * "/path?query" alone, path normalised and query as the key's rules leave it; a tag or user of one
 * host only is purged of all. */
void cache_invalidate(struct cache *cache, const struct purge *purge);
/* The tag by which an answer of `key`'s origin stands in a cache group (RFC 9875 §2: names mean
 * something within one origin). Arena; ptr NULL: out of memory. */
struct str cache_group_tag(const struct cache_key *key, struct str group, struct arena *arena);
/* Low-priority walk of at most `entries`: drops what bans cover, expired past every stale window;
 * retires bans. Main thread's timer. */
void cache_sweep(struct cache *cache, uint64_t now_us, uint32_t entries);

/* ---- purges of all gateways: history.c ---- */
/* A place in the stream of purges that gateways share; later ones have greater places. */
struct cache_place {
    uint64_t ms, number;
};
/* The main thread tells what it hears. Purges behind `at` come from now on; answers read from the
 * second level may be used once live_from is heard. was_lost: others may be missing, up to `at`. */
void cache_history_begin(struct cache *cache, const struct cache_place *at,
                         const struct cache_place *live_from, bool was_lost);
/* A purge comes, before it is applied; ticket: it is our own (else 0). */
void cache_history_comes(struct cache *cache, const struct cache_place *at, uint64_t ticket);
/* All up to `at` is applied. now_us: monotonic. */
void cache_history_heard(struct cache *cache, const struct cache_place *at, uint64_t now_us);
void cache_history_stop(struct cache *cache); /* it cannot be heard for now */
/* For a purge that others will be told of: draw it before the purge and let it come back with it,
 * else older answers of the second level could come in between. Any thread. */
uint64_t cache_history_ticket(struct cache *cache);
/* How far purges are applied here: take it when a fetch begins. False: not known now. */
bool cache_place_now(struct cache *cache, uint64_t now_us, struct cache_place *at) MUST_USE;

/* ---- the second level: one worker's way to the store ---- */
/* Entries in Redis that all gateways share: level.c says how. Everything has a deadline, nothing
 * blocks, and while the store is away it says so at once. The loop's thread. */
struct cache_level;
struct cache_level_options {
    struct loop *loop;
    struct cache *cache;
    struct sheet *sheet;
    struct hash_key seed; /* names keys where identity.hash_secret is empty */
};
/* Begins to connect. store.url must be no "memory:". NULL with a reason. */
struct cache_level *cache_level_new(const struct cache_level_options *options,
                                    const struct config *config, struct fail *why) MUST_USE;
void cache_level_use(struct cache_level *level, const struct config *config); /* after a reload */
void cache_level_free(struct cache_level **level); /* silent from now on */

/* The right to fetch a key for all gateways; ends by itself two seconds after its holder's death.
 */
struct level_lease;
/* Given back: others may try; with set_aside they need not wait for each other for ten seconds.
 * Clears the pointer; NULL is fine. */
void level_lease_end(struct level_lease **lease, bool set_aside);

struct level_read; /* under way */
/* found: the answer is in the index now: look it up. Else fetch; *lease is the caller's to end, or
 * NULL: there is none. */
typedef void level_fn(void *arg, bool is_found, struct level_lease *lease);
struct level_question { /* borrowed until told() or the cancel */
    const struct cache_key *key;
    const struct http_fields *request;
    bool normalize_vary, collapses; /* collapses: one gateway fetches, the others wait for it */
    struct str route;
    const struct str_list *tags; /* of the route */
};
/* NULL: not now, fetch; told() will not come. Else told() once, from the loop. */
struct level_read *cache_level_ask(struct cache_level *level, const struct level_question *question,
                                   level_fn *told, void *arg);
void level_read_cancel(struct level_read **read); /* silent; NULL is fine */
/* Puts a stored entry there, behind everything else; *lease (cleared; may be NULL) ends when it is
 * done. place: cache_place_now() when its fetch began. */
void cache_level_put(struct cache_level *level, struct cache_entry *entry,
                     const struct cache_place *place, struct level_lease **lease);

/* ---- answers for pictures in the store: picture_store.c ---- */
/* One worker's way to cache:image:hash:<phash>, plain JSON that other programs read and write.
 * Everything has a deadline, nothing blocks; while the store is away it says so at once. Purges of
 * this gateway cover what is there. The loop's thread. */
struct picture_store;
/* There must be a store for images. NULL with a reason. */
struct picture_store *picture_store_new(struct loop *loop, struct cache *cache, struct sheet *sheet,
                                        const struct config *config, struct fail *why) MUST_USE;
void picture_store_use(struct picture_store *store, const struct config *config); /* a reload */
void picture_store_free(struct picture_store **store); /* silent from now on; before the cache */
enum { PICTURE_STORE_MOST = 64 * 1024 /* bytes of an answer */ };
struct picture_question {        /* borrowed during the call */
    const struct cache_key *key; /* of the question, without the picture: what purges cover */
    const struct image_hash *hash;
    struct str route;
    const struct str_list *tags; /* of the route */
    int64_t ttl_ms;              /* of the route */
    uint32_t distance;           /* the same: how far the picture of an answer may be */
};
struct picture_answer {
    struct str value;          /* a JSON object, borrowed during the call; ptr NULL: none to use */
    int64_t age_s, lifetime_s; /* lifetime - age: what is left */
    uint64_t stamp;            /* for the intent that keeps it */
    struct image_hash hash;    /* of the picture that it is for */
};
typedef void picture_fn(void *arg, const struct picture_answer *answer);
struct picture_read; /* under way */
/* NULL: not now; told() will not come. Else told() once, from the loop. */
struct picture_read *picture_store_ask(struct picture_store *store,
                                       const struct picture_question *question, picture_fn *told,
                                       void *arg) MUST_USE;
void picture_read_cancel(struct picture_read **read); /* silent; NULL is fine */
/* Puts the answer there for ttl_ms. What is no JSON object, or too long, is not. */
void picture_store_put(struct picture_store *store, const struct picture_question *question,
                       struct str value, int64_t ttl_ms);
/* Stores a small whole answer (PICTURE_STORE_MOST) that came from elsewhere; fields and body are
 * copied. False: a purge covers it, or there is no room. */
bool cache_put(struct cache *cache, int status, const struct http_fields *fields, struct str body,
               const struct cache_intent *intent) MUST_USE;

/* ---- looking in ---- */
struct cache_item {
    struct str key; /* "host/path?query" and " [user]" and variant; arena */
    int64_t ttl_s, age_s;
    uint64_t size, hits;
    struct str tags; /* JSON array text; arena */
    int status;
    struct str route;
    struct cache_meta meta; /* of the body the length alone */
    bool is_soft_purged;
};
/* Up to `limit` entries whose path fits the glob, after `cursor` (0: from the start); *next is 0 at
 * the end, and a page may be short before it. What is stored from the first page to the last is
 * listed, some of it twice when the cache grows meanwhile. */
uint32_t cache_list(struct cache *cache, struct str glob, struct str host, uint64_t now_us,
                    uint64_t cursor, uint32_t limit, struct arena *arena, struct cache_item *items,
                    uint64_t *next);
struct cache_counts {
    uint64_t entries, memory_bytes, memory_limit_bytes, evictions, stores, invalidations, collapsed;
    uint64_t premature; /* of the evictions: fresh, and had been a hit */
    uint64_t used;      /* of the stores: were a hit at least once */
    uint64_t pictures;  /* that near() knows; of a route: 0 */
};
void cache_counts(struct cache *cache, struct cache_counts *counts);
/* The same per route name (all but collapsed); false when the name
 * is unknown. */
bool cache_route_counts(struct cache *cache, struct str route, struct cache_counts *counts);

#endif
