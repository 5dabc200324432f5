/* key.c - what an answer is stored under.
 *
 * The text of a key begins with the lengths of its parts, so no choice of host,
 * target, user or header value makes two inputs meet. The route's query rules shape
 * the key alone, never what is sent upstream; names are compared decoded, because an
 * origin that decodes `i%64` as `id` must not be asked under a key without it.
 * Pure functions; any thread. */
#include "cache/cache_priv.h"

#include <stdlib.h>

enum { MAX_PARAMETERS = 256, MAX_NAME = 256, PREFIX_BYTES = 16 };

struct parameter {
    struct str text, name; /* name is a part of text, encoded */
};

uint64_t url_hash_of(const struct cache *cache, struct str path, struct str query)
{
    uint64_t hash = hash_sip64(&cache->seed, path);

    if (query.ptr == NULL)
        return hash;
    return hash_sip64(&(struct hash_key){{cache->seed.k[0] ^ hash, cache->seed.k[1]}}, query);
}

uint64_t tag_hash_of(const struct cache *cache, struct str tag)
{
    return hash_sip64(&cache->seed, tag);
}

/* The name as an origin reads it, cut at the room for it. */
static struct str decoded(struct str name, char *to)
{
    size_t len = 0;

    for (size_t i = 0; i < name.len && len < MAX_NAME; i++) {
        int high = -1, low = -1;

        if (name.ptr[i] == '%' && i + 2 < name.len) {
            high = ascii_hex_value(name.ptr[i + 1]);
            low = ascii_hex_value(name.ptr[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            to[len++] = (char)(high * 16 + low);
            i += 2;
        } else {
            to[len++] = name.ptr[i] == '+' ? ' ' : name.ptr[i];
        }
    }
    return str_at(to, len);
}

static bool parameter_counts(const struct route_config *route, struct str encoded)
{
    char memory[MAX_NAME];
    struct str name = decoded(encoded, memory);

    for (uint32_t i = 0; i < route->cache.query_ignore.count; i++)
        if (str_glob(route->cache.query_ignore.at[i], name))
            return false;
    if (route->cache.query != KEY_QUERY_LISTED)
        return true;
    for (uint32_t i = 0; i < route->cache.query_names.count; i++)
        if (str_eq(route->cache.query_names.at[i], name))
            return true;
    return false;
}

/* By name; parameters of one name keep their order, which may mean something. */
static void sort_by_name(struct parameter *at, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct parameter moving = at[i];
        uint32_t place = i;

        for (; place > 0; place--) {
            struct str before = at[place - 1].name;
            size_t len = before.len < moving.name.len ? before.len : moving.name.len;
            int order = memcmp(before.ptr, moving.name.ptr, len);

            if (order < 0 || (order == 0 && before.len <= moving.name.len))
                break;
            at[place] = at[place - 1];
        }
        at[place] = moving;
    }
}

static bool joined(struct parameter *at, uint32_t count, size_t room, struct arena *arena,
                   struct str *query)
{
    char *to = arena_take(arena, room + 1);
    size_t len = 0;

    if (to == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            to[len++] = '&';
        if (at[i].text.len > 0)
            memcpy(to + len, at[i].text.ptr, at[i].text.len);
        len += at[i].text.len;
    }
    *query = str_at(to, len);
    return true;
}

/* Applies the route's rules to *query. More parameters than anybody needs stay as they are: a key
 * too fine is a miss, never a mistake. */
static bool apply_query_rules(const struct route_config *route, struct arena *arena,
                              struct str *query)
{
    struct parameter kept[MAX_PARAMETERS];
    struct str rest = *query, text;
    uint32_t count = 0, seen = 0;

    if (query->ptr == NULL || route == NULL)
        return true;
    if (route->cache.query == KEY_QUERY_NONE) {
        *query = STR_NONE;
        return true;
    }
    if (route->cache.query == KEY_QUERY_ALL && route->cache.query_ignore.count == 0)
        return true;
    while (str_split(&rest, '&', &text)) {
        struct str name = str_at(text.ptr, str_find(text, '='));

        if (++seen > MAX_PARAMETERS)
            return true;
        if (parameter_counts(route, name))
            kept[count++] = (struct parameter){text, name};
    }
    if (count == 0 && seen > 0) {
        *query = STR_NONE;
        return true;
    }
    if (route->cache.query == KEY_QUERY_SORTED)
        sort_by_name(kept, count);
    return joined(kept, count, query->len, arena, query);
}

/* ---- the text ---- */

size_t key_url_at(struct str text)
{
    bool is_whole = text.len > 0 && (text.ptr[0] == 's' || text.ptr[0] == 'p');

    return PREFIX_BYTES + (is_whole ? 0 : 1);
}

static char *put(char *to, struct str s)
{
    if (s.len > 0)
        memcpy(to, s.ptr, s.len);
    return to + s.len;
}

static char *put_length(char *to, size_t len)
{
    for (int i = 0; i < 4; i++)
        *to++ = (char)(len >> (8 * i) & 0xff);
    return to;
}

/* The values of the key's headers; an absent one differs from an empty one. */
static struct str *header_values(const struct cache_key_parts *parts, struct arena *arena,
                                 size_t *bytes)
{
    const struct str_list *names = &parts->route->cache.key_headers;
    struct str *values = arena_take(arena, names->count * sizeof(*values));

    if (values == NULL)
        return NULL;
    for (uint32_t i = 0; i < names->count; i++) {
        bool is_there = http_fields_find(parts->request, names->at[i]).ptr != NULL;

        values[i] = http_fields_joined_name(parts->request, arena, names->at[i]);
        if (is_there && values[i].ptr == NULL)
            return NULL;
        *bytes += 9 + names->at[i].len + values[i].len;
    }
    return values;
}

/* With their names: a reload may change the list. */
static char *put_headers(char *to, const struct str *names, const struct str *values,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to = put(put_length(to, names[i].len), names[i]);
        *to++ = values[i].ptr != NULL ? '+' : '-';
        to = put_length(to, values[i].len);
        to = put(to, values[i]);
    }
    return to;
}

static void put_host(char *to, struct str host)
{
    for (size_t i = 0; i < host.len; i++)
        to[i] = ascii_lower(host.ptr[i]);
}

static const struct str body_name = {"=", 1}; /* no header's: it is no token */

bool cache_key_build(const struct cache *cache, const struct cache_key_parts *parts,
                     struct arena *arena, struct cache_key *key)
{
    struct http_target target = http_split_target(parts->target);
    struct str host = parts->host, query = target.query, *values = NULL;
    uint32_t value_count = parts->route != NULL ? parts->route->cache.key_headers.count : 0;
    size_t header_bytes = 0, target_bytes;
    char *text, *at;

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (value_count > 0 && (values = header_values(parts, arena, &header_bytes)) == NULL)
        return false;
    if (!apply_query_rules(parts->route, arena, &query))
        return false;
    target_bytes = target.path.len + (query.ptr != NULL ? 1 + query.len : 0);
    if (parts->split.len > 0)
        header_bytes += 9 + parts->split.len;
    if (parts->body.len > 0)
        header_bytes += 9 + body_name.len + parts->body.len;
    text =
        arena_take(arena, PREFIX_BYTES + host.len + target_bytes + parts->user.len + header_bytes);
    if (text == NULL)
        return false;

    at = text;
    *at++ = parts->is_tls ? 's' : 'p';
    *at++ = (char)('0' + (parts->route != NULL ? parts->route->cache.query : KEY_QUERY_ALL));
    *at++ = (char)(parts->port & 0xff);
    *at++ = (char)(parts->port >> 8);
    at = put_length(put_length(put_length(at, host.len), target_bytes), parts->user.len);
    key->host = str_at(at, host.len);
    key->url = str_at(at, host.len + target_bytes);
    put_host(at, host);
    at = put(at + host.len, target.path);
    key->query = STR_NONE;
    if (query.ptr != NULL) {
        *at++ = '?';
        key->query = str_at(at, query.len);
        at = put(at, query);
    }
    key->user = str_at(at, parts->user.len);
    at = put(at, parts->user);
    if (value_count > 0)
        at = put_headers(at, parts->route->cache.key_headers.at, values, value_count);
    if (parts->split.len > 0) /* as a header without a name */
        at = put_headers(at, &(struct str){"", 0}, &parts->split, 1);
    if (parts->body.len > 0)
        at = put_headers(at, &body_name, &parts->body, 1);
    key->text = str_at(text, (size_t)(at - text));
    key->hash = hash_sip128(&cache->seed, key->text);
    key->path = arena_copy(arena, parts->path);
    key->url_hash = url_hash_of(cache, key->path, key->query);
    return key->path.ptr != NULL;
}
