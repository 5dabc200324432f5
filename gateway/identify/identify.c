/* identify.c - who asks: the first configured source that finds a credential decides.
 *
 * A credential that is there and bad never falls through to the next source: who sent a revoked key
 * must not go on as an address with an allowance of its own. It is charged to the address, so that
 * guessing keys has a limit. Keys are stored and looked up as SHA-256 digests in a table hashed
 * under a secret, so neither the configuration nor the time of a look-up gives one away.
 *
 * Everything per key (hash, name, tier) is made once, at start. Immutable then; any thread. */
#include "identify/identify_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- building ---- */

static uint64_t hex_u64(const char *digits)
{
    uint64_t value = 0;

    for (int i = 0; i < 16; i++)
        value = value << 4 | (uint64_t)ascii_hex_value(digits[i]);
    return value;
}

static struct hash_key secret_of(const struct config *config, const struct hash_key *seed)
{
    char hex[65];

    if (config->identity.hash_secret.len == 0)
        return *seed;
    hash_sha256_hex(config->identity.hash_secret, hex);
    return (struct hash_key){{hex_u64(hex), hex_u64(hex + 16)}};
}

/* Everybody has an address, so nothing after it is looked at. A file of passwords whose place is
 * not said comes last. */
static bool sources_init(struct identify *identify, struct fail *why)
{
    const struct identity_config *config = &identify->config->identity;
    bool has_basic = false;

    for (uint32_t i = 0; i < config->source_count && config->sources[i] != SOURCE_IP; i++) {
        identify->sources[identify->source_count++] = config->sources[i];
        has_basic = has_basic || config->sources[i] == SOURCE_BASIC;
    }
    if (config->basic.htpasswd.len == 0)
        return true;
    if (!has_basic && identify->source_count < COUNT_OF(identify->sources))
        identify->sources[identify->source_count++] = SOURCE_BASIC;
    identify->htpasswd = htpasswd_read(config->basic.htpasswd.ptr, why);
    return identify->htpasswd != NULL;
}

static bool key_init(struct identify *identify, const struct api_key_config *config,
                     struct known_key *key, struct fail *why)
{
    size_t size = sizeof("key:") + config->id.len;

    key->config = config;
    key->tier =
        config->tier.len > 0 ? config_tier(identify->config, config->tier) : identify->default_tier;
    if (key->tier == NULL)
        return fail_set(why, "the key of \"%.*s\": no tier \"%.*s\"", STR_ARG(config->id),
                        STR_ARG(config->tier));
    key->name = malloc(size);
    if (key->name == NULL)
        return fail_set(why, "out of memory");
    snprintf(key->name, size, "key:%.*s", STR_ARG(config->id));
    key->hash = hash_sip128(&identify->secret, str_at(key->name, size - 1));
    if (!map_put(identify->by_digest, config->sha256_hex, key))
        return fail_set(why, "out of memory");
    if (map_get(identify->by_id, config->id) == NULL && !map_put(identify->by_id, config->id, key))
        return fail_set(why, "out of memory");
    return true;
}

static bool keys_init(struct identify *identify, struct fail *why)
{
    uint32_t count = identify->config->identity.api_key.key_count;

    identify->by_digest = map_new();
    identify->by_id = map_new();
    identify->keys = calloc((size_t)count + 1, sizeof(*identify->keys));
    if (identify->by_digest == NULL || identify->by_id == NULL || identify->keys == NULL)
        return fail_set(why, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        if (!key_init(identify, &identify->config->identity.api_key.keys[i], &identify->keys[i],
                      why))
            return false;
    }
    return true;
}

struct identify *identify_new(const struct config *config, const struct hash_key *seed,
                              struct identify_shared *shared, struct fail *why)
{
    struct identify *identify = calloc(1, sizeof(*identify));

    if (identify == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    identify->config = config;
    identify->shared = shared;
    identify->serial =
        random_u64() | 1; /* with a version added it is never 0, but by an accident */
    identify->reads_jwt =
        config->identity.jwt.secret.len > 0 || config->identity.jwt.jwks_url.len > 0;
    identify->needs_jwt = identify->reads_jwt && config->identity.jwt.required;
    identify->secret = secret_of(config, seed);
    identify->header_id = http_name_of(config->identity.api_key.header);
    identify->default_tier = config_tier(config, config->limits.default_tier);
    if (identify->default_tier == NULL)
        fail_set(why, "no tier \"%.*s\" (limits.default_tier)",
                 STR_ARG(config->limits.default_tier));
    if (identify->default_tier == NULL || !keys_init(identify, why) || !sources_init(identify, why))
        identify_free(&identify);
    return identify;
}

void identify_free(struct identify **identify)
{
    struct identify *it = *identify;

    if (it == NULL)
        return;
    *identify = NULL;
    for (uint32_t i = 0; it->keys != NULL && i < it->config->identity.api_key.key_count; i++)
        free(it->keys[i].name);
    free(it->keys);
    map_free(&it->by_digest);
    map_free(&it->by_id);
    htpasswd_free(&it->htpasswd);
    free(it);
}

/* ---- asking ---- */

static void key_caller(const struct known_key *key, struct caller *caller)
{
    *caller = (struct caller){
        .kind = CALLER_API_KEY,
        .id = key->config->id,
        .name = str_of(key->name),
        .hash = key->hash,
        .tier = key->tier,
        .key = key->config,
    };
}

static enum identify_result refused(enum identify_result result, const char *reason,
                                    struct identify_answer *answer)
{
    answer->reason = reason;
    return result;
}

static bool has_scope(const struct api_key_config *key, const struct route_config *route)
{
    if (key->scopes.count == 0 || route == NULL)
        return true;
    for (uint32_t i = 0; i < key->scopes.count; i++) {
        if (str_eq(key->scopes.at[i], route->name))
            return true;
    }
    return false;
}

/* Judges a well-formed key; on success *caller is the key's. */
static enum identify_result judge_key(const struct identify *identify,
                                      const struct identify_question *question, struct str value,
                                      struct identify_answer *answer)
{
    char hex[65];

    hash_sha256_hex(value, hex);
    const struct known_key *key = map_get(identify->by_digest, str_at(hex, 64));
    if (key == NULL)
        return refused(IDENTIFY_INVALID, "key_unknown", answer);
    if (question->wall_s >= key->config->expires_s)
        return refused(IDENTIFY_INVALID, "key_expired", answer);
    key_caller(key, &answer->caller);
    if (!has_scope(key->config, question->route))
        return refused(IDENTIFY_FORBIDDEN, "scope", answer);
    return IDENTIFY_OK;
}

/* True: this source decides, with *result. */
static bool ask_key(const struct identify *identify, const struct identify_question *question,
                    struct identify_answer *answer, enum identify_result *result)
{
    char room[CREDENTIAL_MOST];
    struct str value;

    switch (credential_find(identify, question->fields, question->query, room, &value)) {
    case CREDENTIAL_NONE:
        return false;
    case CREDENTIAL_ONE:
        *result = judge_key(identify, question, value, answer);
        break;
    case CREDENTIAL_MALFORMED:
        *result = refused(IDENTIFY_INVALID, "key_malformed", answer);
        break;
    case CREDENTIAL_DUPLICATE:
        *result = refused(IDENTIFY_INVALID, "key_duplicate", answer);
        break;
    }
    answer->credential_seen = true;
    answer->method = METHOD_API_KEY;
    return true;
}

/* True: the source decides. */
static bool ask_source(const struct identify *identify, enum identity_source source,
                       const struct identify_question *question, struct arena *arena,
                       struct identify_answer *answer, enum identify_result *result)
{
    switch (source) {
    case SOURCE_JWT:
        return identify->reads_jwt && bearer_ask(identify, question, arena, answer, result);
    case SOURCE_API_KEY:
        return ask_key(identify, question, answer, result);
    case SOURCE_BASIC:
        return identify->htpasswd != NULL && basic_ask(identify, question, arena, answer, result);
    case SOURCE_IP:
        break;
    }
    return false;
}

enum identify_result identify_ask(const struct identify *identify,
                                  const struct identify_question *question, struct arena *arena,
                                  struct identify_answer *answer)
{
    enum auth_kind auth = question->route != NULL ? question->route->auth : AUTH_NONE;
    enum identify_result result;

    *answer = (struct identify_answer){0};
    answer->address =
        address_of_client(identify, question->fields, question->peer, &answer->peer_is_trusted);
    address_caller(identify, answer->address, arena, &answer->caller);
    if (auth == AUTH_OFF)
        return IDENTIFY_OK;
    for (uint32_t i = 0; i < identify->source_count; i++) {
        if (!ask_source(identify, identify->sources[i], question, arena, answer, &result))
            continue;
        if (result == IDENTIFY_OK && identify->needs_jwt && answer->method != METHOD_JWT)
            return refused(IDENTIFY_NEEDED, "jwt_needed", answer);
        return result;
    }
    if (identify->needs_jwt)
        return refused(IDENTIFY_NEEDED, "jwt_needed", answer);
    return auth == AUTH_IDENTITY ? refused(IDENTIFY_NEEDED, "needed", answer) : IDENTIFY_OK;
}

/* ---- by name ---- */

static struct str user_name(struct str id, struct arena *arena)
{
    return id.len > 0 && id.len <= JWT_USER_MOST ? arena_printf(arena, "user:%.*s", STR_ARG(id))
                                                 : STR_NONE;
}

static bool user_was_seen(const struct identify *identify, struct str id, struct arena *arena)
{
    struct str name = user_name(id, arena);

    return name.ptr != NULL && identify->shared != NULL &&
           shared_seen_tier(identify->shared, hash_sip128(&identify->secret, name),
                            identify->config) != NULL;
}

static bool user_caller(const struct identify *identify, struct str id, struct arena *arena,
                        struct caller *caller)
{
    struct str name = user_name(id, arena);
    const struct tier_config *tier = NULL;

    if (name.ptr == NULL)
        return false;
    *caller = (struct caller){
        .kind = CALLER_USER,
        .id = str_from(name, sizeof("user:") - 1),
        .name = name,
        .hash = hash_sip128(&identify->secret, name),
    };
    if (identify->shared != NULL)
        tier = shared_seen_tier(identify->shared, caller->hash, identify->config);
    caller->tier = tier != NULL ? tier : identify->default_tier;
    return true;
}

bool identify_by_name(const struct identify *identify, struct str name, struct arena *arena,
                      struct caller *caller)
{
    uint8_t bytes[16];

    if (str_starts(name, STR("ip:"))) {
        struct str address = str_from(name, 3);

        if (!str_eq(address, STR("unix")) && !address_parse(address, bytes))
            return false;
        address_caller(identify, address, arena, caller);
        return true;
    }
    if (str_starts(name, STR("user:")))
        return user_caller(identify, str_from(name, 5), arena, caller);
    if (!str_starts(name, STR("key:")) && user_was_seen(identify, name, arena))
        return user_caller(identify, name, arena, caller);
    const struct known_key *key =
        map_get(identify->by_id, str_starts(name, STR("key:")) ? str_from(name, 4) : name);
    if (key == NULL)
        return false;
    key_caller(key, caller);
    return true;
}
