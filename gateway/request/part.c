/* part.c - ranges that are not in a stored whole: from a stored part, into one, and the rest of
 * one (RFC 9111 §3.3, §3.4; RFC 9110 §14, §15.3.7).
 *
 * A GET with a Range is answered by a fresh part that holds it, or by the very answer that this
 * Range had before. A GET of the whole, where the beginning is stored, asks for the rest: with
 * If-Range where there is a strong validator, and only what has the same one is put
 * together. An answer that does not fit costs one more request, for the whole, and the part
 * goes. Worker's thread. */
#include "request/request_priv.h"

static bool has_other_conditions(const struct http_fields *fields)
{
    return http_fields_count_of(fields, HTTP_IF_MATCH) > 0 ||
           http_fields_count_of(fields, HTTP_IF_NONE_MATCH) > 0 ||
           http_fields_count_of(fields, HTTP_IF_MODIFIED_SINCE) > 0 ||
           http_fields_count_of(fields, HTTP_IF_UNMODIFIED_SINCE) > 0;
}

/* Which bytes a stored part holds. */
static bool read_range(const struct request *r, const struct cache_entry *part,
                       struct http_content_range *has)
{
    struct http_fields fields;

    return cache_entry_fields(part, r->arena, &fields) && http_content_range_parse(&fields, has);
}

static bool has_strong_etag(const struct cache_entry *part)
{
    struct str etag = cache_entry_validators(part).etag;

    return etag.ptr != NULL && http_etag_list_has(etag, etag, false);
}

/* Under the key of parts (range empty), or of this very Range; held, or NULL. */
static struct cache_entry *find_part(struct request *r, struct str range)
{
    struct cache *cache = r->context->shared->cache;
    bool vary_missed;
    struct cache_key key;
    struct cache_entry *part;

    if (!cache_key_of_part(cache, &r->cache.key, range, r->arena, &key))
        return NULL;
    part = cache_find(cache, &key, &r->head.fields, r->config->cache.normalize_vary, r->arena,
                      &vary_missed);
    if (part != NULL && !lookup_may_share(r, part))
        cache_entry_release(&part);
    return part;
}

static bool is_fresh(const struct request *r, const struct cache_entry *part)
{
    return part != NULL && lookup_judge(r, part) == HTTP_USE_FRESH;
}

static bool holds_range(const struct request *r, const struct cache_entry *part)
{
    struct http_validators stored = cache_entry_validators(part);
    struct http_content_range has;
    struct http_range wanted;

    return read_range(r, part, &has) &&
           http_range_parse(&r->head.fields, &stored, has.size, &wanted) == HTTP_RANGE_ONE &&
           wanted.first >= has.first && wanted.last <= has.last;
}

/* Is the beginning there, and does it pay to ask for the rest? */
static bool is_worth_completing(const struct request *r, const struct cache_entry *part)
{
    struct http_content_range has;

    return read_range(r, part, &has) && has.first == 0 && has.last + 1 < has.size &&
           has.size <= r->config->cache.max_object_bytes && !r->cache.wants.no_store &&
           !r->cache.wants.no_cache && (has_strong_etag(part) || is_fresh(r, part));
}

bool part_answers(struct request *r)
{
    struct lookup *c = &r->cache;
    struct str range = http_fields_get(&r->head.fields, HTTP_RANGE);

    cache_entry_release(&c->part);
    c->completes = false;
    if (!str_eq(r->head.method, STR("GET")) || !cache_has_parts(r->context->shared->cache) ||
        has_other_conditions(&r->head.fields))
        return false;
    c->part = find_part(r, STR_NONE);
    if (range.ptr == NULL) {
        c->completes = c->part != NULL && is_worth_completing(r, c->part);
        return false;
    }
    if (is_fresh(r, c->part) && holds_range(r, c->part)) {
        c->entry = c->part;
        c->part = NULL;
        return true;
    }
    if (range.len > 0 && http_fields_count_of(&r->head.fields, HTTP_RANGE) == 1 &&
        http_fields_count_of(&r->head.fields, HTTP_IF_RANGE) == 0) {
        c->entry = find_part(r, range);
        if (c->entry != NULL && !is_fresh(r, c->entry))
            cache_entry_release(&c->entry);
    }
    return c->entry != NULL;
}

/* ---- asking for the rest ---- */

bool part_add_range(struct request *r, struct http_fields *fields)
{
    struct http_content_range has;
    struct str rest;

    if (!read_range(r, r->cache.part, &has))
        return false; /* out of memory: it has been read before */
    rest = arena_printf(r->arena, "bytes=%" PRIu64 "-", has.last + 1);
    r->cache.fwd = "partial";
    return rest.ptr != NULL && http_fields_add_id(fields, HTTP_RANGE, rest) &&
           (!has_strong_etag(r->cache.part) ||
            http_fields_add_id(fields, HTTP_IF_RANGE, cache_entry_validators(r->cache.part).etag));
}

/* The head of the whole, made of the part's and of what came. False: they do not belong together.
 */
static bool join_heads(struct request *r, const struct http_fields *fields,
                       const struct http_answer_facts *facts, struct http_fields *joined)
{
    const struct cache_entry *part = r->cache.part;
    struct http_content_range has, rest;
    struct http_fields stored;

    if (!cache_entry_fields(part, r->arena, &stored) || !http_content_range_parse(&stored, &has) ||
        !http_content_range_parse(fields, &rest) || rest.size != has.size ||
        rest.first != has.last + 1 || rest.last + 1 != rest.size || !facts->has_length ||
        facts->content_length != rest.last - rest.first + 1 || !has_strong_etag(part) ||
        !str_eq(http_fields_get(fields, HTTP_ETAG), cache_entry_validators(part).etag) ||
        !http_freshen(&stored, fields, r->arena, joined))
        return false;
    (void)http_fields_remove(joined, HTTP_CONTENT_RANGE);
    if (http_fields_count_of(fields, HTTP_VIA) == 0)
        (void)http_fields_remove(joined, HTTP_VIA); /* ours, which is added once more */
    return true;
}

bool part_on_head(struct request *r, int status, const struct http_fields *fields,
                  const struct http_answer_facts *facts)
{
    struct str beginning;
    struct http_fields joined;

    if (!r->cache.completes)
        return false;
    r->cache.completes = false;
    if (status != 206 && status != 416)
        return false;
    r->cache.fwd_status = status;
    if (status == 416 || !join_heads(r, fields, facts, &joined)) {
        cache_drop(r->context->shared->cache, r->cache.part);
        fetch_start_over(r);
        return true;
    }
    beginning = cache_entry_meta(r->cache.part).body;
    fetch_pass_on(r, 200, &joined,
                  &(struct http_answer_facts){
                      .has_length = true, .content_length = beginning.len + facts->content_length});
    /* the first bytes of a fill are all taken, unless there is no memory */
    if (r->fetch.fill != NULL && !fill_write(r->fetch.fill, beginning))
        fill_fail(&r->fetch.fill);
    return true;
}

/* ---- into the store ---- */

/* Under which key: that of parts, or, when it is not what it says to be, this very Range's. */
bool part_intent(struct request *r, const struct http_fields *fields, const struct fill_head *head,
                 struct cache_intent *intent)
{
    struct str range = http_fields_get(&r->head.fields, HTTP_RANGE);
    struct http_content_range has;
    bool is_sound = http_content_range_parse(fields, &has) && head->has_length &&
                    head->length == has.last - has.first + 1;

    if (range.len == 0 || (!is_sound && http_fields_count_of(&r->head.fields, HTTP_IF_RANGE) > 0))
        return false;
    if (!cache_key_of_part(r->context->shared->cache, &r->cache.key, is_sound ? STR_NONE : range,
                           r->arena, &r->cache.part_key))
        return false;
    intent->key = &r->cache.part_key;
    r->cache.part_verdict = *intent->verdict;
    r->cache.part_response_us = intent->response_us;
    r->cache.joins = is_sound && r->cache.part != NULL;
    return true;
}

void part_on_stored(struct request *r)
{
    struct lookup *c = &r->cache;
    struct cache_intent intent = fetch_intent(r, &c->part_verdict);
    struct cache_entry *stored;

    if (!c->joins)
        return;
    stored = find_part(r, STR_NONE);
    intent.key = &c->part_key;
    intent.response_us = c->part_response_us;
    if (stored != NULL && stored != c->part)
        cache_join_parts(r->context->shared->cache, c->part, stored, &c->key, &intent);
    cache_entry_release(&stored);
}
