/* forward.c - telling an upstream who asks (identity.forward).
 *
 * The upstream believes these fields, so nothing that a client wrote under their names may pass, on
 * any route, whoever asks: also not with "_" for "-", which many frameworks take for the same. Any
 * thread. */
#include "identify/identify_priv.h"

static bool is_same_name(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        char x = ascii_lower(a.ptr[i]), y = ascii_lower(b.ptr[i]);

        if ((x == '_' ? '-' : x) != (y == '_' ? '-' : y))
            return false;
    }
    return true;
}

/* The client's are gone, then `value` is told, where there is one. */
static bool tell(struct http_fields *fields, struct str name, struct str value)
{
    uint32_t i = 0;

    if (name.len == 0)
        return true;
    while (i < fields->count) {
        if (is_same_name(fields->at[i].name, name))
            (void)http_fields_remove_name(fields, fields->at[i].name);
        else
            i++;
    }
    return value.len == 0 || http_fields_add(fields, name, value);
}

bool identify_forward(const struct identify *identify, const struct caller *caller,
                      struct http_fields *fields)
{
    const struct identity_config *config = &identify->config->identity;

    return tell(fields, config->forward.user, caller->kind != CALLER_IP ? caller->id : STR_NONE) &&
           tell(fields, config->forward.tier, caller->tier->name);
}
