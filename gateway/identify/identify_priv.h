/* identify_priv.h - what the files of this room share: the key table, addresses, and finding
 * or removing a credential in a request. */
#ifndef GATEWAY_IDENTIFY_PRIV_H
#define GATEWAY_IDENTIFY_PRIV_H
#include "identify/identify.h"

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

#endif
