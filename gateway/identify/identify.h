/* identify.h - who is asking: address behind trusted proxies, API key, or JSON web token.
 *
 * Rules (struct identify) are immutable after identify_new(), so any thread. Credentials are
 * compared as SHA-256 digests through a keyed hash table: no timing tells how near a guess was.
 * What all threads know together (public keys, revoked tokens) is in struct identify_shared; what
 * one worker has found out already, in its struct identify_memory. */
#ifndef GATEWAY_IDENTIFY_H
#define GATEWAY_IDENTIFY_H
#include "base/base.h"
#include "config/config.h"
#include "http/http.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct identify;
struct identify_shared;
struct identify_memory;

enum caller_kind { CALLER_IP, CALLER_API_KEY, CALLER_USER, CALLER_KINDS };
/* Which credential was looked at; the label of auth_total. */
enum identify_method { METHOD_NONE, METHOD_JWT, METHOD_API_KEY, METHOD_BASIC, IDENTIFY_METHODS };
struct caller {
    enum caller_kind kind;
    struct str id;   /* "acme", or the address' text: never logged raw for CALLER_IP */
    struct str name; /* "key:acme", "user:1234", "ip:9f86d081…" (hashed, 16 hex digits): may be
                        logged and shown; arena, or of identify */
    struct hash128 hash;              /* keyed hash of kind and id: the name in stores */
    const struct tier_config *tier;   /* never NULL */
    const struct api_key_config *key; /* for CALLER_API_KEY */
};
enum identify_result {
    IDENTIFY_OK,
    IDENTIFY_NEEDED,  /* 401: auth is identity, no credential came */
    IDENTIFY_INVALID, /* 401: a credential came that is not valid; *caller is the address, which is
                         charged */
    IDENTIFY_FORBIDDEN, /* 403: the key's scopes exclude the route; *caller is the key's */
    IDENTIFY_WAITS,     /* it takes a while: identify_wait(), then ask again */
    IDENTIFY_BUSY,      /* 503: as many passwords are being judged as can be */
};
struct identify_question {
    const struct http_fields *fields;
    struct str query; /* raw, without '?'; ptr NULL when none */
    struct str peer;  /* the socket's address as text; empty or "unix" for unix sockets */
    const struct route_config
        *route; /* NULL: as on a route with auth `none`, scopes not looked at */
    int64_t wall_s;
    uint64_t now_us;                /* loop_now_us() */
    struct identify_memory *memory; /* the asking worker's; NULL: every token is verified anew */
    bool may_wait;                  /* false: never IDENTIFY_WAITS */
};
/* A token, for revoking it. */
struct identify_token {
    struct hash128 name;
    int64_t until_s; /* after that it is not valid anyway; INT64_MAX: it does not end */
};
struct identify_answer {
    struct caller caller;
    struct str address; /* the client's, behind trusted proxies; borrowed or arena */
    bool peer_is_trusted;
    const char *reason; /* static slug for a refusal: "key_unknown", "key_expired", "key_malformed",
                           "key_duplicate", "scope", "needed", "jwt_sig", "jwt_expired", … */
    bool credential_seen; /* a credential was there: a key or a token */
    enum identify_method method;
    struct identify_token token; /* of METHOD_JWT and IDENTIFY_OK */
    struct basic_job *job;       /* for identify_wait(), which takes it */
};

/* ---- what all threads know together: any thread ---- */
struct identify_shared *identify_shared_new(void) MUST_USE; /* NULL: out of memory */
void identify_shared_free(struct identify_shared **shared); /* after all that uses it */

/* ---- tokens that are revoked: any thread ---- */
enum identify_revoke {
    REVOKE_DONE, /* it is refused from now on; also where it was already, or has ended */
    REVOKE_FULL  /* the set is at its ceiling, or out of memory: it is not revoked */
};
/* The token of a text, for identify_revoke(): it need not be signed by a known key, which an
 * operator may have removed. False: it is none. */
bool identify_token_of(const struct identify *identify, struct str text, struct arena *arena,
                       struct identify_token *token) MUST_USE;
/* All tokens with this jti. */
struct identify_token identify_token_of_id(const struct identify *identify, struct str id,
                                           int64_t exp_s);
enum identify_revoke identify_revoke(struct identify_shared *shared,
                                     const struct identify_token *token, int64_t now_s) MUST_USE;
/* Forgets what has ended; cheap when nothing has. */
void identify_sweep(struct identify_shared *shared, int64_t now_s);
struct identify_counts {
    uint64_t revocations;    /* since the start */
    uint32_t revoked_tokens; /* that have not ended */
};
struct identify_counts identify_counts(struct identify_shared *shared);

/* ---- revoked tokens in Redis: the main thread ---- */
struct identify_store;
struct redis_url;
/* Every revocation is written there until it is freed; identify_revoke() may be called from any
 * thread all the same. Away or back, it never changes a verdict by itself. prefix: of its key,
 * copied. NULL with the reason. */
struct identify_store *identify_store_new(struct identify_shared *shared, struct loop *loop,
                                          const struct redis_url *url, struct str prefix,
                                          struct sheet *sheet, struct fail *why) MUST_USE;
/* When no worker runs any more. */
void identify_store_free(struct identify_store **store);
enum { IDENTIFY_NEWS_MOST = 8192 }; /* bytes */
/* Other gateways should hear of this (borrowed), which is written already. False: it cannot be
 * told now, and comes again. */
typedef bool identify_news_fn(void *arg, struct str news);
void identify_store_tell(struct identify_store *store, identify_news_fn *tell, void *arg);
/* `fn` once: what was revoked until this call is in the store; or false, it is not within
 * IDENTIFY_SAVE_MS, and will be later. False: out of memory, and fn is never called. */
enum { IDENTIFY_SAVE_MS = 500 };
typedef void identify_saved_fn(void *arg, bool is_saved);
bool identify_store_when_saved(struct identify_store *store, identify_saved_fn *fn,
                               void *arg) MUST_USE;
/* Another gateway's news. */
void identify_store_hear(struct identify_store *store, struct str news);
/* Reads all that is there, now or when the store is back: from here on news are heard, but those
 * before may have been missed. */
void identify_store_catch_up(struct identify_store *store);
/* All that was there has been read once. */
bool identify_store_is_loaded(const struct identify_store *store);
/* It cannot be reached, and that is known. */
bool identify_store_is_away(const struct identify_store *store);

/* ---- one worker's: its thread, but for new and free ---- */
/* loop: where the worker lives. NULL: out of memory. */
struct identify_memory *identify_memory_new(struct identify_shared *shared,
                                            struct loop *loop) MUST_USE;
/* When no request waits. */
void identify_memory_free(struct identify_memory **memory);

/* ---- the keys of tokens, from identity.jwt.jwks_url: the main thread ---- */
struct identify_fetcher;
/* Borrows the three; sheet: of the main thread. NULL with the reason. */
struct identify_fetcher *identify_fetcher_new(struct identify_shared *shared, struct loop *loop,
                                              struct sheet *sheet, struct fail *why) MUST_USE;
/* When no worker runs any more. */
void identify_fetcher_free(struct identify_fetcher **fetcher);
/* Fetches from this configuration's URL from now on. The same URL: keys and timing stay. */
void identify_fetcher_use(struct identify_fetcher *fetcher, const struct config *config);
/* A request that waits, for keys or for its password to be judged; linked while it waits. */
struct identify_wait {
    void (*fn)(void *arg); /* once, from the loop: ask again, with may_wait false */
    void *arg;
    struct identify_memory *memory; /* NULL: not waiting */
    struct identify_wait *next, **back;
};
/* After IDENTIFY_WAITS, with its answer, at once. Many waits for keys are one fetch, which is over
 * within a few seconds, whatever became of it. Worker's thread. */
void identify_wait(struct identify_memory *memory, struct identify_answer *answer,
                   struct identify_wait *wait);
void identify_wait_cancel(
    struct identify_wait *wait); /* silent from now on; fine when not waiting */

/* ---- the rules ---- */
/* An address is masked (identity.ip) before it is hashed: a whole /64 is one client. Peers on unix
 * sockets are one client, "unix".
 *
 * Borrows `config` and `shared`. seed: keys the client hashes where identity.hash_secret is empty;
 * the same for the life of the process, so that counters survive a reload. */
struct identify *identify_new(const struct config *config, const struct hash_key *seed,
                              struct identify_shared *shared, struct fail *why) MUST_USE;
void identify_free(struct identify **identify);
enum identify_result identify_ask(const struct identify *identify,
                                  const struct identify_question *question, struct arena *arena,
                                  struct identify_answer *answer) MUST_USE;
/* The value of WWW-Authenticate for a refusal; arena. */
struct str identify_challenge(const struct identify *identify, const struct identify_answer *answer,
                              struct arena *arena);
/* The caller of a name as in the admin API: "user:ID", "key:ID", "ip:ADDRESS", or a bare id: a user
 * who was seen, else a key. A user whose tier is not known has limits.default_tier. False: no such
 * form. */
bool identify_by_name(const struct identify *identify, struct str name, struct arena *arena,
                      struct caller *caller) MUST_USE;
/* The keyed hash under which an address is logged: 16 hex digits, "ip:" in front; arena. */
struct str identify_hide_address(const struct identify *identify, struct str address,
                                 struct arena *arena);
/* Removes the credential from fields and query (api_key.hide): new query in the arena. */
bool identify_hide_credential(const struct identify *identify, struct http_fields *fields,
                              struct str *query, struct arena *arena) MUST_USE;
/* Any other text that stands for somebody, hashed under the same secret. */
struct hash128 identify_hash(const struct identify *identify, struct str text);
/* What upstreams are told of the caller (identity.forward); a client's own fields of these names
 * go. False: out of memory. */
bool identify_forward(const struct identify *identify, const struct caller *caller,
                      struct http_fields *fields) MUST_USE;
void identify_check(const struct config *config, struct faults *faults);

#endif
