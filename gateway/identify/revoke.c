/* revoke.c - taking a token back before it ends by itself.
 *
 * An operator names it by its text or its jti, a route by whose answer its caller is logged out. It
 * is kept until it would have ended, leeway included; a token without an end is kept as long as
 * the process. Any thread. */
#include "identify/identify_priv.h"

static int64_t end_of(const struct identify *identify, int64_t exp_s)
{
    return exp_s < INT64_MAX ? exp_s + identify->config->identity.jwt.leeway_ms / 1000 : INT64_MAX;
}

/* The two parts that are signed, and the claims; the signature may be anything. */
bool identify_token_of(const struct identify *identify, struct str text, struct arena *arena,
                       struct identify_token *token)
{
    size_t first = str_find(text, '.');
    struct str rest = str_from(text, first + 1), payload = STR_NONE;
    size_t second = str_find(rest, '.');
    struct json_object claims;
    int64_t exp_s = INT64_MAX;

    if (text.len > JWT_BYTES_MOST || second == rest.len ||
        !base64url_take(str_at(rest.ptr, second), arena, &payload) ||
        !json_read_object(payload, arena, &claims))
        return false;
    const struct json_value *exp = json_get(&claims, STR("exp"));
    if (exp != NULL && !json_to_whole(exp, &exp_s))
        return false;
    token->name = revoked_name('t', str_at(text.ptr, first + 1 + second));
    token->until_s = end_of(identify, exp_s);
    return true;
}

struct identify_token identify_token_of_id(const struct identify *identify, struct str id,
                                           int64_t exp_s)
{
    return (struct identify_token){revoked_name('j', id), end_of(identify, exp_s)};
}

enum identify_revoke identify_revoke(struct identify_shared *shared,
                                     const struct identify_token *token, int64_t now_s)
{
    struct identify_store *store = shared_store(shared);

    switch (revoked_add(shared_revoked(shared), token->name, token->until_s, now_s)) {
    case REVOKED_NOW:
    case REVOKED_LONGER:
        if (store != NULL)
            store_post(shared, store, token);
        break;
    case REVOKED_ALREADY:
    case REVOKED_ENDED:
        break;
    case REVOKED_FULL:
        return REVOKE_FULL;
    }
    return REVOKE_DONE;
}

void identify_sweep(struct identify_shared *shared, int64_t now_s)
{
    revoked_sweep(shared_revoked(shared), now_s);
}

struct identify_counts identify_counts(struct identify_shared *shared)
{
    const struct revoked *revoked = shared_revoked(shared);

    return (struct identify_counts){revoked_total(revoked), revoked_count(revoked)};
}
