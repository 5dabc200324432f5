/* challenge.c - what a 401 asks for (RFC 9110 §11.6.1, RFC 6750 §3).
 *
 * A credential that was refused is answered in its own scheme; a request without one is told every
 * scheme that would do. The description says what kind of fault it is, never what was compared
 * with what. Pure functions; any thread. */
#include "identify/identify_priv.h"

static const struct {
    const char *reason, *description;
} descriptions[] = {
    {"jwt_expired", "The token has expired"},     {"jwt_early", "The token is not valid yet"},
    {"jwt_revoked", "The token was revoked"},     {"jwt_sig", "The signature is not right"},
    {"jwt_kid", "The signer is not known"},       {"jwt_keys", "The signer is not known"},
    {"jwt_alg", "The algorithm is not accepted"}, {"jwt_aud", "The audience is another"},
    {"jwt_iss", "The issuer is another"},
};

static struct str refused_token(const char *reason, struct arena *arena)
{
    const char *description = "The token is malformed";

    for (size_t i = 0; i < COUNT_OF(descriptions); i++)
        if (reason != NULL && strcmp(descriptions[i].reason, reason) == 0)
            description = descriptions[i].description;
    return arena_printf(
        arena, "Bearer realm=\"gateway\", error=\"invalid_token\", error_description=\"%s\"",
        description);
}

struct str identify_challenge(const struct identify *identify, const struct identify_answer *answer,
                              struct arena *arena)
{
    switch (answer->method) {
    case METHOD_JWT:
        return refused_token(answer->reason, arena);
    case METHOD_API_KEY:
        return STR("ApiKey realm=\"gateway\"");
    case METHOD_BASIC:
        return STR("Basic realm=\"gateway\", charset=\"UTF-8\"");
    case METHOD_NONE:
    case IDENTIFY_METHODS:
        break;
    }
    if (identify->needs_jwt)
        return STR("Bearer realm=\"gateway\"");
    return arena_printf(arena, "%s%sApiKey realm=\"gateway\"",
                        identify->reads_jwt ? "Bearer realm=\"gateway\", " : "",
                        identify->htpasswd != NULL ? "Basic realm=\"gateway\", charset=\"UTF-8\", "
                                                   : "");
}
