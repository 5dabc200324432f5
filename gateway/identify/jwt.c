/* jwt.c - a JSON web token: its three parts, and what its claims say (RFC 7515, RFC 7519).
 *
 * The header is believed for two things: which of the configured algorithms was used, and which
 * key of the set by its exact id. What would name, bring or fetch a key (jwk, jku, x5u, x5c) is
 * not looked at; `crit` and `b64` would change what the rest means and are refused. Claims are
 * read only after the signature was found right. Pure functions; any thread. */
#include "identify/identify_priv.h"

/* The part before the next dot. False: no dot. */
static bool cut(struct str *rest, struct str *part)
{
    size_t dot = str_find(*rest, '.');

    if (dot == rest->len)
        return false;
    *part = str_at(rest->ptr, dot);
    *rest = str_from(*rest, dot + 1);
    return true;
}

static bool is_allowed(const struct identity_config *config, struct str name)
{
    for (uint32_t i = 0; i < config->jwt.algorithms.count; i++)
        if (str_eq(config->jwt.algorithms.at[i], name))
            return true;
    return false;
}

static const char *read_header(struct str text, const struct identity_config *config,
                               struct arena *arena, struct jwt *jwt)
{
    struct json_object header;
    const struct json_value *alg, *kid;

    if (!json_read_object(text, arena, &header))
        return "jwt_malformed";
    if (json_get(&header, STR("crit")) != NULL || json_get(&header, STR("b64")) != NULL)
        return "jwt_crit";
    alg = json_get(&header, STR("alg"));
    if (alg == NULL || alg->kind != JSON_STRING || !is_allowed(config, alg->text))
        return "jwt_alg";
    jwt->algorithm = jwt_algorithm_named(alg->text);
    if (jwt->algorithm == NULL)
        return "jwt_alg";
    kid = json_get(&header, STR("kid"));
    if (kid != NULL && (kid->kind != JSON_STRING || kid->text.len > JWT_KEY_ID_MOST))
        return "jwt_kid";
    jwt->key_id = kid != NULL ? kid->text : STR_NONE;
    return NULL;
}

const char *jwt_read(struct str token, const struct identity_config *config, struct arena *arena,
                     struct jwt *jwt)
{
    struct str rest = token, header, payload, header_text;

    if (token.len > JWT_BYTES_MOST)
        return "jwt_oversize";
    if (!cut(&rest, &header) || !cut(&rest, &payload))
        return "jwt_malformed";
    /* another dot is no letter of the signature, so five parts end here too */
    if (!base64url_take(header, arena, &header_text) ||
        !base64url_take(payload, arena, &jwt->payload) ||
        !base64url_take(rest, arena, &jwt->signature))
        return "jwt_malformed";
    jwt->signed_ = str_at(token.ptr, header.len + 1 + payload.len);
    return read_header(header_text, config, arena, jwt);
}

/* ---- claims ---- */

/* A moment that is absent leaves *moment. */
static bool read_moment(const struct json_object *claims, struct str name, int64_t *moment)
{
    const struct json_value *value = json_get(claims, name);

    return value == NULL || json_to_whole(value, moment);
}

/* Fit for a header field: there, blanks around it would make it another one's. */
static bool is_name(struct str text)
{
    if (text.len == 0 || text.len > JWT_USER_MOST || text.ptr[0] == ' ' ||
        text.ptr[text.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true;
}

/* Numbers of accounts are names too: their digits. */
static bool read_user(const struct json_object *claims, struct str name, struct str *user)
{
    const struct json_value *value = json_get(claims, name);
    int64_t number;

    if (value == NULL || (value->kind != JSON_STRING && !json_to_whole(value, &number)))
        return false;
    *user = value->text;
    return is_name(*user);
}

/* `aud` is one text or a list of them (RFC 7519 §4.1.3). */
static bool has_audience(const struct json_object *claims, struct str wanted, struct arena *arena)
{
    const struct json_value *value = json_get(claims, STR("aud"));
    struct json_list list;

    if (value == NULL)
        return false;
    if (value->kind == JSON_STRING)
        return str_eq(value->text, wanted);
    if (value->kind != JSON_LIST || !json_read_list(value->text, arena, &list))
        return false;
    for (uint32_t i = 0; i < list.count; i++)
        if (list.values[i].kind == JSON_STRING && str_eq(list.values[i].text, wanted))
            return true;
    return false;
}

static bool has_issuer(const struct json_object *claims, struct str wanted)
{
    const struct json_value *value = json_get(claims, STR("iss"));

    return value != NULL && value->kind == JSON_STRING && str_eq(value->text, wanted);
}

/* An optional text; false: it is there and something else. */
static bool read_text(const struct json_object *claims, struct str name, struct str *text)
{
    const struct json_value *value = json_get(claims, name);

    *text = STR_NONE;
    if (value == NULL || value->kind == JSON_NULL)
        return true;
    *text = value->text;
    return value->kind == JSON_STRING && value->text.len <= JWT_USER_MOST;
}

const char *jwt_read_claims(const struct jwt *jwt, const struct identity_config *config,
                            struct arena *arena, struct jwt_claims *claims)
{
    struct json_object object;
    int64_t not_before_s = 0, issued_s = 0, leeway_s = config->jwt.leeway_ms / 1000;

    claims->exp_s = INT64_MAX;
    if (!json_read_object(jwt->payload, arena, &object))
        return "jwt_malformed";
    if (!read_moment(&object, STR("exp"), &claims->exp_s) ||
        !read_moment(&object, STR("nbf"), &not_before_s) ||
        !read_moment(&object, STR("iat"), &issued_s))
        return "jwt_time";
    if (config->jwt.issuer.len > 0 && !has_issuer(&object, config->jwt.issuer))
        return "jwt_iss";
    if (config->jwt.audience.len > 0 && !has_audience(&object, config->jwt.audience, arena))
        return "jwt_aud";
    if (!read_user(&object, config->jwt.user_claim, &claims->user))
        return "jwt_user";
    if (!read_text(&object, config->jwt.tier_claim, &claims->tier) ||
        !read_text(&object, STR("jti"), &claims->id))
        return "jwt_claim";
    claims->from_s = (not_before_s > issued_s ? not_before_s : issued_s) - leeway_s;
    claims->until_s = claims->exp_s < INT64_MAX ? claims->exp_s + leeway_s : INT64_MAX;
    return NULL;
}

const char *jwt_judge_time(int64_t from_s, int64_t until_s, int64_t now_s)
{
    if (now_s < from_s)
        return "jwt_early";
    return now_s >= until_s ? "jwt_expired" : NULL;
}
