/* identify.h - who is asking: address behind trusted proxies, or API key.
 *
 * Immutable after identify_new(), so any thread. Credentials are compared as SHA-256
 * digests through a keyed hash table: no timing tells how near a guess was. */
#ifndef GATEWAY_IDENTIFY_H
#define GATEWAY_IDENTIFY_H
#include "base/base.h"
#include "config/config.h"
#include "http/http.h"

struct identify;

enum caller_kind { CALLER_IP, CALLER_API_KEY, CALLER_USER };
struct caller {
    enum caller_kind kind;
    struct str id;   /* "acme", or the address' text: never logged raw for CALLER_IP */
    struct str name; /* "key:acme", "ip:9f86d081…" (hashed, 16 hex digits): may be logged and shown;
                        arena, or of identify */
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
};
struct identify_question {
    const struct http_fields *fields;
    struct str query; /* raw, without '?'; ptr NULL when none */
    struct str peer;  /* the socket's address as text; empty or "unix" for unix sockets */
    const struct route_config
        *route; /* NULL: as on a route with auth `none`, scopes not looked at */
    int64_t wall_s;
};
struct identify_answer {
    struct caller caller;
    struct str address; /* the client's, behind trusted proxies; borrowed or arena */
    bool peer_is_trusted;
    const char *reason; /* static slug for a refusal: "key_unknown", "key_expired", "key_malformed",
                           "key_duplicate", "scope", "needed" */
    bool credential_seen; /* a credential of the API-key kind was there */
};

/* An address is masked (identity.ip) before it is hashed: a whole /64 is one client. Peers on unix
 * sockets are one client, "unix".
 *
 * Borrows `config`. seed: keys the client hashes where identity.hash_secret is empty; the same for
 * the life of the process, so that counters survive a reload. */
struct identify *identify_new(const struct config *config, const struct hash_key *seed,
                              struct fail *why) MUST_USE;
void identify_free(struct identify **identify);
enum identify_result identify_ask(const struct identify *identify,
                                  const struct identify_question *question, struct arena *arena,
                                  struct identify_answer *answer) MUST_USE;
/* The caller of a name as in the admin API: "key:ID", "ip:ADDRESS", or a bare id (tried as a key).
 * False: no such form. */
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
void identify_check(const struct config *config, struct faults *faults);

#endif
