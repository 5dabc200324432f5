/* check.c - are the keys of a configuration ones that a request can show?
 *
 * config/ has judged their tiers, scopes and doubles. Run by --check and at a reload, on the
 * main thread. */
#include "identify/identify_priv.h"

static bool is_digest(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_hex_value(text.ptr[i]) < 0 || text.ptr[i] != ascii_lower(text.ptr[i]))
            return false;
    }
    return text.len == 64;
}

void identify_check(const struct config *config, struct faults *faults)
{
    const struct api_key_config *keys = config->identity.api_key.keys;

    for (uint32_t i = 0; i < config->identity.api_key.key_count; i++) {
        if (!is_digest(keys[i].sha256_hex))
            faults_add(faults, config, "identity.api_key.keys",
                       "the key of \"%.*s\" has no SHA-256 digest for its name, expected 64 "
                       "lower-case hexadecimal digits, never the key itself",
                       STR_ARG(keys[i].id));
        if (keys[i].id.len == 0)
            faults_add(faults, config, "identity.api_key.keys",
                       "a key has no id, expected a name for its owner");
    }
    if (config->identity.api_key.key_count > 0 && config->identity.api_key.header.len == 0 &&
        config->identity.api_key.query.len == 0)
        faults_add(faults, config, "identity.api_key.header",
                   "empty as is query: no request could carry a key, expected a name");
}
