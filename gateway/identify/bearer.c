/* bearer.c - the token in Authorization: Bearer (RFC 6750): whose it is, and whether it holds.
 *
 * A token that this worker has verified before costs one keyed hash. Otherwise its parts are read,
 * its signature is verified, then its claims are read. Whether it was revoked, and whether its time
 * has come or passed, is asked each time. With several public keys and none named, a few are tried.
 * Any thread; the memory belongs to the asking one. */
#include "identify/identify_priv.h"

enum { KEYS_TRIED_MOST = 4 };

/* ---- the signature ---- */

/* A slug, or NULL with the signature verified. *is_unknown: another set of keys may know better. */
static const char *try_keys(const struct jwt_keys *keys, const struct jwt *jwt, bool *is_unknown)
{
    uint32_t tried = 0;

    for (uint32_t i = 0; i < jwt_keys_count(keys) && tried < KEYS_TRIED_MOST; i++) {
        const struct jwt_key *key = jwt_keys_at(keys, i);

        if (key->type != jwt->algorithm->type ||
            (jwt->key_id.ptr != NULL && !str_eq(key->id, jwt->key_id)))
            continue;
        tried++;
        if (jwt_verify_key(jwt->algorithm, key, jwt->signed_, jwt->signature))
            return NULL;
    }
    *is_unknown = tried == 0;
    return tried == 0 ? "jwt_kid" : "jwt_sig";
}

static const char *verify(const struct identify *identify, const struct jwt *jwt, bool *is_unknown)
{
    const struct identity_config *config = &identify->config->identity;
    struct jwt_keys *keys;
    const char *reason;

    *is_unknown = false;
    if (jwt->algorithm->type == JWT_KEY_SECRET)
        return jwt_verify_secret(jwt->algorithm, config->jwt.secret, jwt->signed_, jwt->signature)
                   ? NULL
                   : "jwt_sig";
    if (config->jwt.jwks_url.len == 0 || identify->shared == NULL)
        return "jwt_keys";
    keys = shared_keys(identify->shared, config->jwt.jwks_url);
    if (keys == NULL) {
        *is_unknown = true;
        return "jwt_keys";
    }
    reason = try_keys(keys, jwt, is_unknown);
    jwt_keys_release(&keys);
    return reason;
}

/* ---- a token that is new ---- */

/* A tier that is not configured is no reason to refuse: the signer need not know our tiers. */
static const struct tier_config *tier_of(const struct identify *identify, struct str name)
{
    const struct tier_config *tier = name.ptr != NULL ? config_tier(identify->config, name) : NULL;

    return tier != NULL ? tier : identify->default_tier;
}

static void fill(const struct identify *identify, const struct jwt *jwt,
                 const struct jwt_claims *claims, struct verified *out)
{
    static const struct str prefix = {"user:", 5};

    memcpy(out->name, prefix.ptr, prefix.len);
    memcpy(out->name + prefix.len, claims->user.ptr, claims->user.len);
    out->name_len = (uint16_t)(prefix.len + claims->user.len);
    out->caller = hash_sip128(&identify->secret, str_at(out->name, out->name_len));
    out->tier = tier_of(identify, claims->tier);
    out->from_s = claims->from_s;
    out->until_s = claims->until_s;
    out->revoked_as = revoked_name('t', jwt->signed_);
    out->has_id = claims->id.len > 0;
    if (out->has_id)
        out->id_revoked_as = revoked_name('j', claims->id);
}

/* Reads and verifies; NULL with *out filled, or a slug. */
static const char *judge(const struct identify *identify, struct str token, struct arena *arena,
                         struct verified *out, bool *is_unknown)
{
    const struct identity_config *config = &identify->config->identity;
    struct jwt_claims claims;
    struct jwt jwt;
    const char *reason;

    *is_unknown = false;
    reason = jwt_read(token, config, arena, &jwt);
    if (reason == NULL)
        reason = verify(identify, &jwt, is_unknown);
    if (reason == NULL)
        reason = jwt_read_claims(&jwt, config, arena, &claims);
    if (reason == NULL)
        fill(identify, &jwt, &claims, out);
    return reason;
}

static bool may_wait(const struct identify *identify, const struct identify_question *question)
{
    return question->may_wait && identify->shared != NULL && question->memory != NULL &&
           shared_fetcher(identify->shared) != NULL &&
           shared_may_refetch(identify->shared, question->now_us);
}

/* ---- any token ---- */

static bool is_revoked(const struct identify *identify, const struct verified *token, int64_t now_s)
{
    struct revoked *revoked;

    if (identify->shared == NULL || !identify->config->identity.revocation)
        return false;
    revoked = shared_revoked(identify->shared);
    return revoked_has(revoked, token->revoked_as, now_s) ||
           (token->has_id && revoked_has(revoked, token->id_revoked_as, now_s));
}

static enum identify_result refuse(const char *reason, struct identify_answer *answer)
{
    answer->reason = reason;
    return IDENTIFY_INVALID;
}

static enum identify_result accept_known(const struct identify *identify,
                                         const struct verified *token,
                                         const struct identify_question *question,
                                         struct arena *arena, struct identify_answer *answer)
{
    const char *reason = jwt_judge_time(token->from_s, token->until_s, question->wall_s);
    struct str name;

    if (reason != NULL)
        return refuse(reason, answer);
    if (is_revoked(identify, token, question->wall_s))
        return refuse("jwt_revoked", answer);
    name = arena_copy(arena, str_at(token->name, token->name_len));
    if (name.ptr == NULL)
        return refuse("memory", answer);
    answer->token = (struct identify_token){token->revoked_as, token->until_s};
    answer->caller = (struct caller){
        .kind = CALLER_USER,
        .id = str_from(name, sizeof("user:") - 1),
        .name = name,
        .hash = token->caller,
        .tier = token->tier,
    };
    return IDENTIFY_OK;
}

static enum identify_result ask_token(const struct identify *identify, struct str text,
                                      const struct identify_question *question, struct arena *arena,
                                      struct identify_answer *answer)
{
    struct verified_table *table = question->memory != NULL ? question->memory->verified : NULL;
    uint64_t epoch = identify->serial;
    struct verified fresh, *place;
    struct hash128 tag = {0, 0};
    bool is_unknown;

    if (text.len > JWT_BYTES_MOST)
        return refuse("jwt_oversize", answer);
    if (identify->shared != NULL)
        epoch += shared_version(identify->shared);
    if (table != NULL) {
        tag = verified_tag(table, text);
        const struct verified *known = verified_find(table, tag, epoch);
        if (known != NULL)
            return accept_known(identify, known, question, arena, answer);
    }
    const char *reason = judge(identify, text, arena, &fresh, &is_unknown);
    if (is_unknown && may_wait(identify, question))
        return IDENTIFY_WAITS;
    if (reason != NULL)
        return refuse(reason, answer);
    place = table != NULL ? verified_place(table, tag, epoch) : NULL;
    if (place != NULL) {
        fresh.tag = tag;
        fresh.epoch = epoch;
        *place = fresh;
    }
    enum identify_result result = accept_known(identify, &fresh, question, arena, answer);
    if (result == IDENTIFY_OK && identify->shared != NULL)
        shared_see_user(identify->shared, fresh.caller, fresh.tier->name);
    return result;
}

/* "Bearer TOKEN"; the scheme's case does not matter (RFC 9110 §11.1). False: another scheme. A tab
 * between them is no form of it, but an upstream may take it for one: the token is malformed. */
static bool is_bearer(struct str value, struct str *token)
{
    static const struct str scheme = {"Bearer", 6};

    if (value.len < scheme.len || !str_ieq(str_at(value.ptr, scheme.len), scheme) ||
        (value.len > scheme.len && value.ptr[scheme.len] != ' ' && value.ptr[scheme.len] != '\t'))
        return false;
    *token = str_from(value, scheme.len);
    while (token->len > 0 && token->ptr[0] == ' ')
        *token = str_from(*token, 1);
    return true;
}

bool bearer_ask(const struct identify *identify, const struct identify_question *question,
                struct arena *arena, struct identify_answer *answer, enum identify_result *result)
{
    struct str value = http_fields_get(question->fields, HTTP_AUTHORIZATION);
    struct str token = STR_NONE;
    bool is_alone = http_fields_count_of(question->fields, HTTP_AUTHORIZATION) == 1;

    if (value.ptr == NULL || (is_alone && !is_bearer(value, &token)))
        return false;
    answer->method = METHOD_JWT;
    answer->credential_seen = true;
    *result = is_alone ? ask_token(identify, token, question, arena, answer)
                       : refuse("jwt_duplicate", answer);
    return true;
}
