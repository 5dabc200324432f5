/* cache_status.c - the Cache-Status field (RFC 9211): how this cache came to its
 * answer, for people and tools that debug a chain of caches.
 *
 * One structured-field item: our name as a token, then parameters in the order
 * of the RFC. A detail that is no token is written as a string, and bytes that a
 * string cannot hold become '?'. Any thread. */
#include "http/caching_priv.h"
#include "http/message.h"

/* Tokens of structured fields begin with a letter or '*'; the rest are those of RFC 9110 here. */
static bool is_token(struct str text)
{
    char first = text.len > 0 ? ascii_lower(text.ptr[0]) : '\0';

    return ((first >= 'a' && first <= 'z') || first == '*') && http_is_token(text);
}

static bool add_word(struct buf *out, struct str text)
{
    if (is_token(text))
        return buf_add_str(out, text);
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, c >= ' ' && c <= '~' ? c : '?');
    }
    return buf_add_char(out, '"');
}

bool http_cache_status_write(struct buf *out, const struct http_cache_status *status)
{
    buf_add_str(out, STR("gateway"));
    if (status->hit)
        buf_add_str(out, STR("; hit"));
    if (!status->hit && status->fwd != NULL) { /* the two exclude each other (§2.2) */
        buf_add_str(out, STR("; fwd="));
        add_word(out, str_of(status->fwd));
        if (status->fwd_status > 0) {
            buf_add_str(out, STR("; fwd-status="));
            buf_add_u64(out, (uint64_t)status->fwd_status);
        }
    }
    if (status->has_ttl) {
        buf_add_str(out, status->ttl_s < 0 ? STR("; ttl=-") : STR("; ttl="));
        buf_add_u64(out, status->ttl_s < 0 ? 0 - (uint64_t)status->ttl_s : (uint64_t)status->ttl_s);
    }
    if (!status->hit && status->stored)
        buf_add_str(out, STR("; stored"));
    if (!status->hit && status->collapsed)
        buf_add_str(out, STR("; collapsed"));
    if (status->detail != NULL) {
        buf_add_str(out, STR("; detail="));
        add_word(out, str_of(status->detail));
    }
    return !out->is_broken;
}
