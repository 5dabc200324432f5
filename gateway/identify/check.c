/* check.c - do the keys of a configuration agree with each other, and has each algorithm its key?
 *
 * config/ has judged digests, tiers and scopes one by one. An algorithm that nothing could verify,
 * or a secret that nothing would use, is a slip that would show as refused tokens only. A
 * secret shorter than the digest is a warning, since it works; one that is guessed in no time is
 * a fault. Run by --check and at a reload, on the main thread. */
#include "identify/identify_priv.h"

/* Keys with one id are one client with one set of counters: which tier would hold? */
static void check_pair(const struct config *config, const struct api_key_config *a,
                       const struct api_key_config *b, struct faults *faults)
{
    if (str_eq(a->id, b->id) && !str_eq(a->tier, b->tier))
        faults_add(faults, config, "identity.api_key.keys",
                   "two keys of \"%.*s\" have the tiers \"%.*s\" and \"%.*s\", expected one tier "
                   "for one id",
                   STR_ARG(a->id), STR_ARG(a->tier), STR_ARG(b->tier));
}

/* ---- tokens ---- */

enum { SECRET_LEAST = 6 }; /* bytes */

static void check_secret(const struct config *config, uint32_t bits, struct faults *faults)
{
    struct str secret = config->identity.jwt.secret;

    if (secret.len == 0)
        return;
    if (bits == 0)
        faults_add(faults, config, "identity.jwt.secret",
                   "is set, but no algorithm uses it, expected HS256, HS384 or HS512 in "
                   "identity.jwt.algorithms, or no secret");
    else if (secret.len < SECRET_LEAST)
        faults_add(faults, config, "identity.jwt.secret",
                   "has %zu bytes, expected at least %d, better %u", secret.len, SECRET_LEAST,
                   bits / 8);
    else if (secret.len < bits / 8)
        log_line(LOG_WARN,
                 "identity.jwt.secret has %zu bytes: whoever has a token can guess a short one, "
                 "%u are expected (RFC 7518, 3.2)",
                 secret.len, bits / 8);
}

static void check_url(const struct config *config, bool is_used, struct faults *faults)
{
    struct str url = config->identity.jwt.jwks_url;
    struct fetcher_url parts;

    if (url.len == 0)
        return;
    if (!fetcher_url_parse(url, &parts))
        faults_add(faults, config, "identity.jwt.jwks_url",
                   "is \"%.*s\", expected http://HOST[:PORT]/PATH or https://…", STR_ARG(url));
    else if (!is_used)
        faults_add(faults, config, "identity.jwt.jwks_url",
                   "is set, but identity.jwt.algorithms has only those of a secret, expected RS256 "
                   "or another with public keys");
}

static void check_tokens(const struct config *config, struct faults *faults)
{
    const struct identity_config *identity = &config->identity;
    bool has_secret = identity->jwt.secret.len > 0, has_url = identity->jwt.jwks_url.len > 0;
    bool is_url_used = false;
    uint32_t bits = 0;

    if (identity->jwt.required && !has_secret && !has_url)
        faults_add(faults, config, "identity.jwt.required",
                   "is true, but no token could be verified, expected identity.jwt.secret or "
                   "identity.jwt.jwks_url");
    if (!has_secret && !has_url)
        return;
    if (identity->jwt.algorithms.count == 0) {
        faults_add(faults, config, "identity.jwt.algorithms",
                   "is empty, expected the algorithms that tokens are signed with");
        return;
    }
    for (uint32_t i = 0; i < identity->jwt.algorithms.count; i++) {
        const struct jwt_algorithm *algorithm = jwt_algorithm_named(identity->jwt.algorithms.at[i]);
        bool is_secret = algorithm != NULL && algorithm->type == JWT_KEY_SECRET;

        if (algorithm == NULL)
            continue; /* a fault already */
        if (is_secret && algorithm->bits > bits)
            bits = algorithm->bits;
        is_url_used = is_url_used || !is_secret;
        if (is_secret ? !has_secret : !has_url)
            faults_add(faults, config, "identity.jwt.algorithms",
                       "has %s, but nothing to verify it with, expected identity.jwt.%s",
                       algorithm->name, is_secret ? "secret" : "jwks_url");
    }
    check_secret(config, bits, faults);
    check_url(config, is_url_used, faults);
}

static void check_htpasswd(const struct config *config, struct faults *faults)
{
    struct str path = config->identity.basic.htpasswd;
    struct fail why = {""};
    struct htpasswd *file;

    if (path.len == 0)
        return;
    file = htpasswd_read(path.ptr, &why);
    if (file == NULL)
        faults_add(faults, config, "identity.basic.htpasswd", "%s", why.text);
    htpasswd_free(&file);
}

void identify_check(const struct config *config, struct faults *faults)
{
    const struct api_key_config *keys = config->identity.api_key.keys;
    struct map *by_id = map_new();

    check_tokens(config, faults);
    check_htpasswd(config, faults);
    for (uint32_t i = 0; by_id != NULL && i < config->identity.api_key.key_count; i++) {
        const struct api_key_config *first = map_get(by_id, keys[i].id);

        if (first != NULL)
            check_pair(config, first, &keys[i], faults);
        else if (!map_put(by_id, keys[i].id, &config->identity.api_key.keys[i]))
            break; /* out of memory: what was not compared is not a fault */
    }
    map_free(&by_id);
}
