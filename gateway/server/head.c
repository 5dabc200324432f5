/* head.c - from libmicrohttpd's pointers to our request head.
 *
 * 0.9.75 parses in place and hides bytes: a folded line, a NUL, a bare LF. The pointers it
 * hands out betray them, because what it did not hide is adjacent (library-facts §2.6). They are
 * compared, never followed past their strings. 1.0.x refuses such heads itself.
 * Owner's thread. */
#include "server/server_priv.h"

#include <string.h>

struct collecting {
    struct http_fields *fields;
    const char *expected; /* where the next name must start */
    bool hidden, failed, checks;
};

static bool is_old_library(void)
{
    return str_starts(str_of(MHD_get_version()), STR("0."));
}

static enum MHD_Result collect(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_size,
                               const char *value, size_t value_size)
{
    struct collecting *state = arg;
    struct str text = value != NULL ? str_at(value, value_size) : STR("");

    (void)kind;
    if (state->checks) {
        const char *at = key + key_size + 1;

        if (key != state->expected || value == NULL)
            state->hidden = true;
        else {
            while (at < value && (*at == ' ' || *at == '\t'))
                at++;
            state->hidden |= at != value;
            state->expected = value + value_size + 2;
        }
    }
    /* 0.9.75 keeps the blanks behind a value, and then does not know the coding it frames the body
     * by */
    if (state->checks && text.len > 0 && str_trim(text).len != text.len &&
        str_ieq(str_at(key, key_size), STR("Transfer-Encoding")))
        state->hidden = true;
    state->failed |= !http_fields_add(state->fields, str_at(key, key_size), str_trim(text));
    return state->failed ? MHD_NO : MHD_YES;
}

bool head_collect(struct connection *c, const char *method, const char *version, bool *hidden)
{
    struct http_request_head *head = request_head(c->request);
    size_t method_len = strlen(method), version_len = strlen(version),
           target_len = head->target.len;
    struct collecting state = {
        .fields = &head->fields, .expected = version + version_len + 2, .checks = is_old_library()};
    size_t size =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;

    head->method = str_at(method, method_len);
    head->version = str_at(version, version_len);
    (void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, collect, &state);
    if (state.checks)
        state.hidden |= c->raw_target != method + method_len + 1 ||
                        version != c->raw_target + target_len + 1 ||
                        state.expected + 2 != method + size;
    *hidden = state.hidden;
    return !state.failed && head->target.ptr != NULL;
}
