/* identify_priv.h - what the files of this room share: the key table, addresses, finding or
 * removing a credential in a request, and what a token is made of. */
#ifndef GATEWAY_IDENTIFY_PRIV_H
#define GATEWAY_IDENTIFY_PRIV_H
#include "identify/identify.h"

#include <openssl/types.h>

/* One configured key with all that a request needs of it. */
struct known_key {
    const struct api_key_config *config;
    const struct tier_config *tier;
    struct hash128 hash;
    char *name; /* "key:acme", owned */
};
struct identify {
    const struct config *config; /* borrowed */
    const struct tier_config *default_tier;
    struct hash_key secret;
    struct known_key *keys; /* owned */
    struct map *by_digest;  /* SHA-256 in hex to struct known_key */
    struct map *by_id;
    enum http_name header_id;
    struct identify_shared *shared; /* borrowed */
    uint64_t serial;                /* random: no other set of rules has it */
    bool reads_jwt, needs_jwt;
    enum identity_source sources[4]; /* that are asked, without the address */
    uint32_t source_count;
    struct htpasswd *htpasswd; /* NULL: Basic is not looked at */
};

/* ---- address.c ---- */

/* The client's address behind trusted proxies; "unix" for unix sockets. */
struct str address_of_client(const struct identify *identify, const struct http_fields *fields,
                             struct str peer, bool *peer_is_trusted);
/* The caller that an address is. */
void address_caller(const struct identify *identify, struct str address, struct arena *arena,
                    struct caller *caller);

/* ---- credential.c ---- */

enum credential { CREDENTIAL_NONE, CREDENTIAL_ONE, CREDENTIAL_MALFORMED, CREDENTIAL_DUPLICATE };
enum { CREDENTIAL_MOST = 256 }; /* bytes */
/* The key that a request carries, in its header or its query. *value is borrowed, or lies in `room`
 * when it had to be decoded. */
enum credential credential_find(const struct identify *identify, const struct http_fields *fields,
                                struct str query, char room[CREDENTIAL_MOST], struct str *value);

/* ---- json.c ---- */

enum { JSON_MEMBERS_MOST = 64 };
enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_OBJECT };
struct json_value {
    enum json_kind kind;
    struct str text; /* a string decoded, anything else as it stands; of the source, or the arena */
};
struct json_object {
    struct json_member {
        struct str name;
        struct json_value value;
    } members[JSON_MEMBERS_MOST];
    uint32_t count;
};
struct json_list {
    struct json_value values[JSON_MEMBERS_MOST];
    uint32_t count;
};
/* The whole of `text` must be one object (RFC 8259), each name once. False: it is not, too many
 * members, too deep, or out of memory. */
bool json_read_object(struct str text, struct arena *arena, struct json_object *object) MUST_USE;
bool json_read_list(struct str text, struct arena *arena, struct json_list *list) MUST_USE;
const struct json_value *json_get(const struct json_object *object, struct str name); /* or NULL */
/* Digits only, to 2^53. */
bool json_to_whole(const struct json_value *value, int64_t *number) MUST_USE;

/* ---- base64url.c ---- */

/* Into `room` bytes. False: another letter, padding, bits that should be zero, or longer. */
bool base64url_decode(struct str text, char *to, size_t room, size_t *len) MUST_USE;
bool base64url_take(struct str text, struct arena *arena, struct str *decoded) MUST_USE;

/* ---- keys.c ---- */

enum jwt_key_type { JWT_KEY_SECRET, JWT_KEY_RSA, JWT_KEY_P256, JWT_KEY_P384, JWT_KEY_ED25519 };
struct jwt_key {
    struct str id, algorithm; /* empty: it names none */
    enum jwt_key_type type;
    EVP_PKEY *key;
};
struct jwt_keys;
/* From the text of a key set; one reference. NULL with the reason: not sound, or without a key
 * that can verify. */
struct jwt_keys *jwt_keys_read(struct str text, struct str url, struct fail *why) MUST_USE;
struct jwt_keys *jwt_keys_hold(struct jwt_keys *set);
void jwt_keys_release(struct jwt_keys **set);
struct str jwt_keys_url(const struct jwt_keys *set);
uint32_t jwt_keys_count(const struct jwt_keys *set);
const struct jwt_key *jwt_keys_at(const struct jwt_keys *set, uint32_t index); /* or NULL */

/* ---- signature.c ---- */

enum { ECDSA_DER_MOST = 128 };
struct jwt_algorithm {
    const char *name;
    enum jwt_key_type type;
    uint32_t bits; /* of its digest; 0: EdDSA's own */
    bool is_pss;
};
const struct jwt_algorithm *jwt_algorithm_named(struct str name); /* NULL: none of ours */
bool jwt_verify_secret(const struct jwt_algorithm *algorithm, struct str secret, struct str signed_,
                       struct str signature) MUST_USE;
/* False also where the key is of another type, or names another algorithm. */
bool jwt_verify_key(const struct jwt_algorithm *algorithm, const struct jwt_key *key,
                    struct str signed_, struct str signature) MUST_USE;

/* ---- jwt.c: each gives NULL, or the slug of a refusal ---- */

enum { JWT_BYTES_MOST = 8192, JWT_KEY_ID_MOST = 256, JWT_USER_MOST = 255 };
struct jwt {
    const struct jwt_algorithm *algorithm;
    struct str key_id; /* ptr NULL: it names none */
    struct str signed_, signature, payload;
};
struct jwt_claims {
    struct str user, tier, id; /* tier and id: ptr NULL where absent */
    int64_t exp_s;             /* INT64_MAX: it does not end */
    int64_t from_s, until_s;   /* valid in [from, until): with the leeway */
};
const char *jwt_read(struct str token, const struct identity_config *config, struct arena *arena,
                     struct jwt *jwt) MUST_USE;
const char *jwt_read_claims(const struct jwt *jwt, const struct identity_config *config,
                            struct arena *arena, struct jwt_claims *claims) MUST_USE;
const char *jwt_judge_time(int64_t from_s, int64_t until_s, int64_t now_s) MUST_USE;

/* ---- verified.c ---- */

enum { VERIFIED_NAME_MOST = 5 + JWT_USER_MOST }; /* "user:" */
struct verified {
    struct hash128 tag;
    uint64_t epoch; /* 0: free */
    int64_t from_s, until_s;
    const struct tier_config *tier; /* of the rules that `epoch` stands for */
    struct hash128 caller, revoked_as, id_revoked_as;
    bool has_id;
    uint16_t name_len;
    char name[VERIFIED_NAME_MOST];
};
struct verified_table;
struct verified_table *verified_new(void) MUST_USE;
void verified_free(struct verified_table **table);
struct hash128 verified_tag(const struct verified_table *table, struct str token);
/* NULL: not there. Until the next verified_place(). */
const struct verified *verified_find(const struct verified_table *table, struct hash128 tag,
                                     uint64_t epoch);
/* A place with tag and epoch set, all else to be filled; NULL: out of memory. */
struct verified *verified_place(struct verified_table *table, struct hash128 tag, uint64_t epoch);

/* ---- revoked.c ---- */

enum { REVOKED_MOST = 1 << 20 };
struct revoked;
enum revoked_result {
    REVOKED_NOW,
    REVOKED_LONGER, /* it was, and is for longer now */
    REVOKED_ALREADY,
    REVOKED_ENDED, /* it is past its end: nothing to keep */
    REVOKED_FULL   /* the ceiling, or out of memory: it is not revoked */
};
struct revoked *revoked_new(void) MUST_USE;
void revoked_free(struct revoked **set);
/* kind: 't' the signed part of a token, 'j' a jti. */
struct hash128 revoked_name(char kind, struct str text);
enum revoked_result revoked_add(struct revoked *set, struct hash128 name, int64_t until_s,
                                int64_t now_s) MUST_USE;
/* Up to `most` of those not yet met by this walk ({0}: a new one), some of them twice where the set
 * changes meanwhile; how many. 0: it is over. */
struct revoked_walk {
    uint32_t at, room;
    uint64_t builds;
};
uint32_t revoked_next(struct revoked *set, struct revoked_walk *walk, struct identify_token *tokens,
                      uint32_t most);
bool revoked_has(struct revoked *set, struct hash128 name, int64_t now_s);
void revoked_sweep(struct revoked *set, int64_t now_s); /* forgets what has ended */
uint32_t revoked_count(const struct revoked *set);
uint64_t revoked_total(const struct revoked *set); /* REVOKED_NOW so far */

/* ---- shared.c ---- */

/* A reference to the keys that came from `url`, or NULL. */
struct jwt_keys *shared_keys(struct identify_shared *shared, struct str url) MUST_USE;
void shared_put_keys(struct identify_shared *shared, struct jwt_keys *keys); /* takes it */
uint64_t shared_version(struct identify_shared *shared); /* another one with each set */
/* From when on an unknown key is a reason to fetch. */
void shared_set_refetch(struct identify_shared *shared, uint64_t at_us);
bool shared_may_refetch(struct identify_shared *shared, uint64_t now_us);
struct revoked *shared_revoked(struct identify_shared *shared);
void shared_see_user(struct identify_shared *shared, struct hash128 user, struct str tier);
const struct tier_config *shared_seen_tier(struct identify_shared *shared, struct hash128 user,
                                           const struct config *config); /* NULL: not seen */
void shared_set_fetcher(struct identify_shared *shared, struct identify_fetcher *fetcher);
struct identify_fetcher *shared_fetcher(struct identify_shared *shared);

void shared_set_store(struct identify_shared *shared, struct identify_store *store);
struct identify_store *shared_store(struct identify_shared *shared); /* or NULL */

/* ---- store.c ---- */

/* Has it written; any thread. */
void store_post(struct identify_shared *shared, struct identify_store *store,
                const struct identify_token *token);

/* ---- memory.c ---- */

struct identify_memory {
    struct identify_shared *shared;
    struct loop *loop;
    struct verified_table *verified;
    struct identify_wait *waiting;
    bool is_asking; /* the main thread has `there` or owes `back` */
    struct post there, back;
    struct basic_job *judging;
    uint32_t jobs;                /* passwords being judged */
    bool is_dead;                 /* freed with its last job */
    struct identify_memory *next; /* among those that ask; the main thread's */
};

void memory_link(struct identify_memory *memory, struct identify_wait **list,
                 struct identify_wait *wait);
void memory_wake(struct identify_wait **list); /* all of a list that is in nobody else's hands */
void memory_release(struct identify_memory *memory); /* frees it when no job is left */

/* ---- password.c: slow; not on a loop ---- */

bool password_hash_is_known(struct str hash);
/* Both NUL-terminated behind their end. */
bool password_is_right(struct str hash, struct str password);

/* ---- htpasswd.c ---- */

struct htpasswd;
/* NULL with the reason, which names the line. Blocking. */
struct htpasswd *htpasswd_read(const char *path, struct fail *why) MUST_USE;
void htpasswd_free(struct htpasswd **file);
const char *htpasswd_hash(const struct htpasswd *file, struct str name); /* or NULL */
const char *htpasswd_any(const struct htpasswd *file);                   /* one of them; or NULL */

/* ---- basic.c ---- */

enum { BASIC_JOBS_MOST = 16 }; /* a worker */
/* True: a name and a password are there, and *result decides. */
bool basic_ask(const struct identify *identify, const struct identify_question *question,
               struct arena *arena, struct identify_answer *answer, enum identify_result *result);
void basic_start(struct basic_job *job, struct identify_wait *wait); /* takes the job */

/* ---- fetcher.c ---- */

post_fn fetcher_is_asked; /* arg: the memory that asks; main thread */
struct loop *fetcher_loop(struct identify_fetcher *fetcher);
/* The parts of an http or https URL, borrowed from it. False: it is none. */
struct fetcher_url {
    bool is_https;
    struct str host, path, authority;
    uint16_t port;
};
bool fetcher_url_parse(struct str url, struct fetcher_url *parts) MUST_USE;

/* ---- bearer.c ---- */

/* True: a token is there, and *result decides. */
bool bearer_ask(const struct identify *identify, const struct identify_question *question,
                struct arena *arena, struct identify_answer *answer, enum identify_result *result);

#endif
