/* picture_shared.c - answers for pictures that other programs have, too (store.roles.images).
 *
 * A name in that store says what the picture looks like and nothing else, so it is asked, and told,
 * only where there is nothing else: no query, no other parts of a form, no caller whose answer is
 * his own. What is found is put into memory under the request's own key, an ordinary entry with the
 * time it has left. What is told is the plain JSON of an answer that does not
 * vary and carries no tags of its own, because a purge could not find it there.
 * Worker's thread. */
#include "request/request_priv.h"

static bool is_for_all(const struct request *r)
{
    struct http_cache_policy policy = lookup_policy(r, 200);

    return policy.shared_by_operator ||
           (!policy.per_user && !policy.has_authorization && !policy.has_cookie);
}

static bool is_for(const struct request *r)
{
    return r->context->pictures.store != NULL && r->route->cache.image_store &&
           r->collected.is_alone && r->route->cache.key_headers.count == 0 &&
           r->route->split_count == 0 &&
           str_find(r->upstream_target, '?') == r->upstream_target.len && is_for_all(r);
}

static struct picture_question question_of(const struct request *r, const struct cache_key *scope)
{
    return (struct picture_question){.key = scope,
                                     .hash = &r->collected.hash,
                                     .route = r->route->name,
                                     .tags = &r->route->cache.tags,
                                     .ttl_ms = r->route->cache.ttl_ms,
                                     .distance = r->route->cache.distance};
}

/* ---- asking ---- */

static bool keep(struct request *r, const struct picture_answer *answer)
{
    struct http_verdict verdict = {.may_store = true,
                                   .why = "stored",
                                   .lifetime_s = answer->lifetime_s,
                                   .source = HTTP_LIFETIME_ROUTE,
                                   .initial_age_s = answer->age_s,
                                   .date_s =
                                       loop_wall_us(r->context->loop) / 1000000 - answer->age_s};
    struct cache_intent intent = fetch_intent(r, &verdict);
    struct http_fields fields;

    intent.stamp = answer->stamp;
    intent.fetch_us = 0;
    return http_fields_init(&fields, r->arena, 1) &&
           http_fields_add_id(&fields, HTTP_CONTENT_TYPE, STR("application/json")) &&
           cache_put(r->context->shared->cache, 200, &fields, answer->value, &intent);
}

static void on_told(void *arg, const struct picture_answer *answer)
{
    struct request *r = arg;

    r->collected.read = NULL;
    r->collected.shared = PICTURE_TOLD;
    r->collected.is_shared =
        answer->value.ptr != NULL && answer->lifetime_s > answer->age_s && keep(r, answer);
    if (r->collected.is_shared) /* the walk goes on with a search, which finds it there */
        cache_near_add(r->context->shared->cache, &r->collected.scope, &answer->hash,
                       r->collected.digest);
    request_wake(r);
}

bool picture_shared_ask(struct request *r, const struct cache_key *scope)
{
    struct collected *c = &r->collected;
    struct picture_question question = question_of(r, scope);
    const struct http_cache_control *wants = &r->cache.wants;

    if (c->shared != PICTURE_NOT_ASKED)
        return c->shared == PICTURE_ASKED;
    c->shared = PICTURE_TOLD;
    c->scope = scope->hash;
    if (!is_for(r) || wants->no_cache || wants->no_store)
        return false;
    c->read = picture_store_ask(r->context->pictures.store, &question, on_told, r);
    if (c->read != NULL)
        c->shared = PICTURE_ASKED;
    return c->read != NULL;
}

/* ---- telling ---- */

static bool is_plain_json(struct request *r, const struct cache_entry *entry)
{
    struct http_fields fields;
    struct str type = cache_entry_field(entry, HTTP_CONTENT_TYPE);

    return cache_entry_meta(entry).status == 200 &&
           str_ieq(str_trim(str_at(type.ptr, str_find(type, ';'))), STR("application/json")) &&
           cache_entry_field(entry, HTTP_CONTENT_ENCODING).ptr == NULL &&
           cache_entry_field(entry, HTTP_VARY).ptr == NULL &&
           cache_entry_fields(entry, r->arena, &fields) && !http_has_cache_tags(&fields);
}

void picture_shared_put(struct request *r, const struct cache_key *scope,
                        const struct cache_entry *entry)
{
    struct picture_question question = question_of(r, scope);
    int64_t ttl_s = cache_entry_ttl_s(entry, loop_now_us(r->context->loop));

    if (is_for(r) && ttl_s > 0 && is_plain_json(r, entry))
        picture_store_put(r->context->pictures.store, &question, cache_entry_meta(entry).body,
                          ttl_s * 1000);
}
