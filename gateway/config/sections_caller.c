/* sections_caller.c - the settings of identity, tiers and limits: who asks, and how often they may.
 *
 * Rows as in sections_server.c. The keys of windows are rows of their own, so that a
 * tier and a route's limit share one parser; both tables are made of WINDOW_FIELDS.
 *
 * Constant tables. */
#include "config/sections_priv.h"

const struct window_rule window_second = {"second", WINDOW_BUCKET, SECONDS(1)};
const struct window_rule window_minute = {"minute", WINDOW_SLIDING, MINUTES(1)};
const struct window_rule window_hour = {"hour", WINDOW_SLIDING, HOURS(1)};
const struct window_rule window_day = {"day", WINDOW_SLIDING, DAYS(1)};
const struct window_rule window_month = {"month", WINDOW_CALENDAR, INT64_C(2678400000)};

/* ---- identity ---- */

static bool is_id(struct str text)
{
    return text.len > 0 && text.len <= 128;
}

static bool is_field_name(struct str text)
{
    return text.len <= 128 && is_token(text);
}

static bool is_parameter(struct str text)
{
    return text.len == 0 || (text.len <= 128 && is_token(text));
}

static const struct text_rule id_rule = {"1 to 128 characters", is_id};
static const struct text_rule field_rule = {"the name of a header field", is_field_name};
static const struct text_rule parameter_rule = {"the name of a query parameter, or nothing",
                                                is_parameter};

#define K struct api_key_config
static const struct field key_fields[] = {
    FIELD_REQUIRED(&id_rule, "id", kind_text, K, id, 0, 0, "who holds the key; shown in logs"),
    FIELD("tier", kind_text, K, tier, NULL, 0, 0, "their tier; absent: limits.default_tier"),
    FIELD("scopes", kind_texts, K, scopes, "", 0, 0,
          "names of the routes that the key opens; empty: every route"),
    FIELD("expires", kind_expires, K, expires_s, NULL, 0, 0,
          "moment (RFC 3339) after which the key is not valid"),
};
#undef K

/* Runs with the name set; digests are compared in lower case. */
static void key_finish(struct reader *reader, const struct node *node, void *base)
{
    struct api_key_config *key = base;
    char *digits = (char *)(uintptr_t)key->sha256_hex.ptr; /* the snapshot's own copy */
    bool is_digest = key->sha256_hex.len == 64;

    for (size_t i = 0; is_digest && i < 64; i++) {
        is_digest = ascii_hex_value(digits[i]) >= 0;
        digits[i] = ascii_lower(digits[i]);
    }
    if (!is_digest)
        reader_fault_in(reader, node, NULL,
                        "has a name that is no digest, expected the SHA-256 of the key as 64 "
                        "hexadecimal digits");
}

static const struct section key_section = {SECTION(key_fields, sizeof(struct api_key_config)),
                                           .finish = key_finish};
static const struct collection key_collection = {
    .section = &key_section,
    .count_offset = offsetof(struct identity_config, api_key.key_count),
    .name_offset = offsetof(struct api_key_config, sha256_hex),
    .hides_names = true};

/* What frames the message or is the proxy's own is not to be told anything by. */
static bool is_told(struct str text)
{
    static const char *const taken[] = {"Connection", "Content-Length", "Forwarded",
                                        "Host",       "Keep-Alive",     "Proxy-Connection",
                                        "TE",         "Trailer",        "Transfer-Encoding",
                                        "Via",        "Upgrade",        "X-Request-Id"};

    for (size_t i = 0; i < COUNT_OF(taken); i++)
        if (str_ieq(text, str_of(taken[i])))
            return false;
    return text.len == 0 || is_field_name(text);
}

static const struct text_rule told_rule = {
    "the name of a header field that is not the proxy's own, or nothing", is_told};

static bool is_algorithm(struct str text)
{
    static const char *const known[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                        "RS512", "PS256", "ES256", "ES384", "EdDSA"};

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq(text, str_of(known[i])))
            return true;
    return false;
}

static const struct text_rule algorithm_rule = {
    "one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, ES256, ES384 and EdDSA", is_algorithm};

#define I struct identity_config
static const struct field api_key_fields[] = {
    FIELD_WITH(field_rule, "header", kind_text, I, api_key.header, "X-API-Key", 0, 0,
               "header field that carries the key"),
    FIELD_WITH(parameter_rule, "query", kind_text, I, api_key.query, "", 0, 0,
               "query parameter that may carry it; empty: none"),
    FIELD("hide", kind_bool, I, api_key.hide, "false", 0, 0, "the key is not told to upstreams"),
    FIELD_WITH(key_collection, "keys", kind_map, I, api_key.keys, NULL, 0, 0,
               "by the SHA-256 of the key, hexadecimal"),
};
static const struct section api_key_section = {SECTION(api_key_fields, 0)};

static const struct field jwt_fields[] = {
    FIELD_WITH(algorithm_rule, "algorithms", kind_texts, I, jwt.algorithms, "HS256", 0, 0,
               "the only ones that a token may be signed with"),
    FIELD("secret", kind_secret, I, jwt.secret, "", 0, 0,
          "of HS256, HS384 and HS512; JWT_SECRET; empty: none"),
    FIELD("jwks_url", kind_text, I, jwt.jwks_url, "", 0, 0,
          "where the public keys of the other algorithms are fetched; empty: nowhere"),
    FIELD("issuer", kind_text, I, jwt.issuer, "", 0, 0,
          "what `iss` must be, to the byte; empty: anything"),
    FIELD("audience", kind_text, I, jwt.audience, "", 0, 0,
          "what `aud` must be or hold; empty: anything"),
    FIELD_WITH(id_rule, "user_claim", kind_text, I, jwt.user_claim, "sub", 0, 0,
               "the claim that names the user"),
    FIELD_WITH(id_rule, "tier_claim", kind_text, I, jwt.tier_claim, "tier", 0, 0,
               "the claim that names their tier; without it limits.default_tier"),
    FIELD("leeway", kind_duration, I, jwt.leeway_ms, "30s", 0, MINUTES(5),
          "how far clocks may differ, for exp, nbf and iat"),
    FIELD("required", kind_bool, I, jwt.required, "false", 0, 0,
          "true: every route but those with auth `off` needs a token, whatever else comes"),
};
static const struct section jwt_section = {SECTION(jwt_fields, 0)};

static const struct field basic_fields[] = {
    FIELD("htpasswd", kind_text, I, basic.htpasswd, "", 0, 0,
          "file of NAME:HASH lines (bcrypt, apr1, SHA, sha-crypt); empty: none. It is looked for "
          "where `sources` says \"basic\", else after the others"),
};
static const struct section basic_section = {SECTION(basic_fields, 0)};

static const struct field forward_fields[] = {
    FIELD_WITH(told_rule, "user", kind_text, I, forward.user, "", 0, 0,
               "header field with the id of the user or key; empty: not told"),
    FIELD_WITH(told_rule, "tier", kind_text, I, forward.tier, "", 0, 0,
               "header field with the caller's tier; empty: not told"),
};
static const struct section forward_section = {SECTION(forward_fields, 0)};

static bool is_store_key(struct str text)
{
    return text.len <= 256;
}

static const struct text_rule store_key_rule = {"at most 256 bytes", is_store_key};

static const struct field tiers_from_fields[] = {
    FIELD_WITH(store_key_rule, "hash", kind_text, I, tiers_from.hash, "", 0, 0,
               "key of a hash in the store, as it is (without store.prefix), that somebody else "
               "keeps: user:ID or key:ID to the name of a tier, in place of the token's or the "
               "key's; empty: none"),
    FIELD("ttl", kind_duration, I, tiers_from.ttl_ms, "30s", SECONDS(1), DAYS(1),
          "a change there is in force within this"),
};
static const struct section tiers_from_section = {SECTION(tiers_from_fields, 0)};

static const struct field ip_fields[] = {
    FIELD("ipv4_prefix", kind_count, I, ip.ipv4_prefix, "32", 8, 32,
          "bits of an IPv4 address that make one client"),
    FIELD("ipv6_prefix", kind_count, I, ip.ipv6_prefix, "64", 16, 128,
          "bits of an IPv6 address that make one client"),
};
static const struct section ip_section = {SECTION(ip_fields, 0)};

static const struct field identity_fields[] = {
    FIELD("sources", kind_sources, I, sources, "jwt,api_key,ip", 0, 0,
          "where to look for a credential, in this order"),
    FIELD("hash_secret", kind_secret, I, hash_secret, "", 0, 0,
          "key of the hashes that stand for clients; empty: random for this process"),
    FIELD_NESTED("api_key", api_key_section, "keys that clients send"),
    FIELD_NESTED("jwt", jwt_section,
                 "tokens in Authorization: Bearer; read when secret or jwks_url is set"),
    FIELD_NESTED("basic", basic_section, "names and passwords in Authorization: Basic"),
    FIELD_NESTED(
        "forward", forward_section,
        "who asks, as upstreams are told; a client's own fields of these names are removed"),
    FIELD("revocation", kind_bool, I, revocation, "true", 0, 0,
          "tokens that were revoked are refused"),
    FIELD_NESTED("tiers_from", tiers_from_section,
                 "tiers that a billing system keeps in the store"),
    FIELD_NESTED("ip", ip_section, "clients that are known by their address alone"),
};
#undef I
const struct section identity_section = {SECTION(identity_fields, sizeof(struct identity_config))};

/* ---- tiers ---- */

static const struct field tier_fields[] = {WINDOW_FIELDS(struct tier_config, windows)};
const struct section tier_section = {SECTION(tier_fields, sizeof(struct tier_config))};
const struct collection tier_collection = {.section = &tier_section,
                                           .count_offset = offsetof(struct config, tier_count),
                                           .name_offset = offsetof(struct tier_config, name)};

/* ---- limits ---- */

static const struct words leases = {{"auto", "off"}};
static const struct words failures = {{"local", "open", "closed"}};
static const struct words resets = {{"epoch", "delta"}};

#define L struct limits_config
static const struct field limits_fields[] = {
    FIELD("enabled", kind_bool, L, enabled, "true", 0, 0, "false: nobody is limited"),
    FIELD_WITH(id_rule, "default_tier", kind_text, L, default_tier, "free", 0, 0,
               "of callers whose credential names none"),
    FIELD_WITH(id_rule, "report", kind_text, L, report, "minute", 0, 0,
               "the window that X-RateLimit-* describe while a request is allowed"),
    FIELD_WITH(resets, "reset", kind_flag, L, reset_is_delta, "epoch", 0, 0,
               "X-RateLimit-Reset as epoch seconds or as seconds to wait"),
    FIELD("dry_run", kind_bool, L, dry_run, "false", 0, 0, "count and log, refuse nobody"),
    FIELD("deadline", kind_duration, L, deadline_ms, "5ms", 1, 10000,
          "for the store's decision; later: on_failure"),
    FIELD_WITH(failures, "on_failure", kind_choice, L, on_failure, "local", 0, 0,
               "without the store: local (this gateway's share), open or closed (503)"),
    FIELD_WITH(leases, "leases", kind_flag, L, leases_off, "auto", 0, 0,
               "tokens taken from the store ahead for hot callers of large limits: auto or off"),
    FIELD("max_clients", kind_number, L, max_clients, "1000000", 1, INT64_C(1000000000),
          "clients whose counters are kept"),
    FIELD("ietf_headers", kind_bool, L, ietf_headers, "true", 0, 0,
          "RateLimit and RateLimit-Policy too"),
    FIELD("retry_jitter", kind_share, L, retry_jitter, "0", 0, 1,
          "share by which Retry-After may grow, at random"),
    FIELD_WITH(path_rule, "exempt", kind_texts, L, exempt, "/health_check", 0, 0,
               "paths that are never limited"),
};
#undef L
const struct section limits_section = {SECTION(limits_fields, sizeof(struct limits_config))};
