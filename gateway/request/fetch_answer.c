/* fetch_answer.c - what the upstream's answer means: pass it on, keep it, confirm what is
 * stored, or serve what is stored instead.
 *
 * Invalidation by an unsafe request happens here, before its answer leaves, so that the writer
 * reads its own write (RFC 9111 §4.4). Worker's thread. */
#include "request/request_priv.h"

void fetch_close_flight(struct request *r, enum flight_outcome outcome, bool set_aside)
{
    if (r->fetch.lead != NULL)
        flight_close(&r->fetch.lead, outcome, set_aside, loop_now_us(r->context->loop));
    level_lease_end(&r->fetch.lease, set_aside);
}

/* The client can be told. Its answer is built when the walk goes on. */
static void answered(struct request *r)
{
    r->fetch.is_answered = true;
    request_wake(r);
}

static void serve_entry(struct request *r, enum cache_status status)
{
    if (r->is_finished)
        r->fetch.is_answered = true;
    else if (!r->fetch.is_answered) {
        (void)reply_entry(r, r->cache.entry, status);
        answered(r);
    }
}

/* ---- invalidation ---- */

static void purge(struct request *r, enum purge_kind kind, struct str text, struct str host)
{
    struct purge what = {
        .kind = kind, .text = text, .host = host, .soft = r->route->cache.soft_invalidation};

    if (r->context->shared->purged != NULL)
        what.ticket = cache_history_ticket(r->context->shared->cache);
    cache_invalidate(r->context->shared->cache, &what);
    if (r->context->shared->purged != NULL)
        r->context->shared->purged(r->context->shared->purged_arg, &what);
    r->fetch.purges++;
}

/* One URL of this host, in every variant and for every user: the path as it is matched, the query
 * as it is keyed. */
static void invalidate_url(struct request *r, struct str path, struct str query)
{
    struct str url = path;

    if (query.ptr != NULL)
        url = arena_printf(r->arena, "%.*s?%.*s", STR_ARG(path), STR_ARG(query));
    if (url.ptr != NULL)
        purge(r, PURGE_URL, url, r->facts.host);
}

/* Location and Content-Location name what changed too, when they are of the same origin. */
static void invalidate_reference(struct request *r, struct str reference)
{
    struct str rest = reference, host, path;
    struct http_target target;
    uint16_t port;
    size_t slash;

    if (str_starts(reference, STR("http://")) || str_starts(reference, STR("https://"))) {
        rest = str_from(reference, reference.ptr[4] == 's' ? 8 : 7);
        slash = str_find(rest, '/');
        if (!http_parse_authority(str_at(rest.ptr, slash), &host, &port) ||
            !str_ieq(host, r->facts.host))
            return;
        rest = slash < rest.len ? str_from(rest, slash) : STR("/");
    }
    if (!str_starts(rest, STR("/")) || str_starts(rest, STR("//")))
        return;
    target = http_split_target(str_at(rest.ptr, str_find(rest, '#')));
    if (http_normalize_path(r->arena, target.path, &path) == HTTP_SOUND)
        invalidate_url(r, path, target.query);
}

/* Groups that the answer names, of this origin (RFC 9875 §3). */
static void invalidate_groups(struct request *r, const struct cache_key *key,
                              const struct http_fields *fields)
{
    struct http_cache_tags groups;

    if (!http_invalidated_groups(fields, r->arena, &groups))
        return;
    for (uint32_t i = 0; i < groups.count; i++) {
        struct str tag = cache_group_tag(key, groups.at[i].name, r->arena);

        if (tag.ptr != NULL)
            purge(r, PURGE_TAG, tag, STR_NONE);
    }
}

/* A POST that the operator says is a question (its answers are kept) changes nothing by itself. */
static void invalidate(struct request *r, int status, const struct http_fields *fields)
{
    const struct str_list *globs = &r->route->invalidates;
    struct cache_key key;

    if (!r->config->cache.enabled || http_method_is_safe(r->head.method) || status < 200 ||
        status >= 400)
        return;
    if (collect_is_for(r) && globs->count == 0)
        return;
    if (!collect_is_for(r) && lookup_build_key(r, &key)) {
        invalidate_url(r, key.path, key.query);
        invalidate_groups(r, &key, fields);
        invalidate_reference(r, http_fields_get(fields, HTTP_LOCATION));
        invalidate_reference(r, http_fields_get(fields, HTTP_CONTENT_LOCATION));
    }
    for (uint32_t i = 0; i < globs->count; i++)
        purge(r, PURGE_GLOB, globs->at[i], STR_NONE);
    tell_invalidated(r);
}

/* ---- judging ---- */

struct cache_intent fetch_intent(struct request *r, const struct http_verdict *verdict)
{
    return (struct cache_intent){
        .key = &r->cache.key,
        .request = &r->head.fields,
        .normalize_vary = r->config->cache.normalize_vary,
        .verdict = verdict,
        .stamp = r->fetch.stamp,
        .response_us = loop_now_us(r->context->loop),
        .fetch_us = loop_now_us(r->context->loop) - r->fetch.started_us,
        .route = r->route->name,
        .tags = &r->route->cache.tags,
    };
}

static void judge(struct request *r, int status, const struct http_fields *fields,
                  struct http_verdict *verdict)
{
    struct http_cache_policy policy = lookup_policy(r, status);
    bool as_get = r->cache.is_posted || r->cache.is_by_body;
    struct str method = as_get ? STR("GET") : r->head.method;

    http_judge_answer(method, &r->head.fields, status, fields, r->fetch.sent_wall_s,
                      loop_wall_us(r->context->loop) / 1000000, &policy, r->arena, verdict);
}

/* The upstream confirms what is stored: 304 to our own validators. */
static bool confirm(struct request *r, const struct http_fields *fields)
{
    struct http_fields stored, merged;
    struct http_verdict verdict;
    struct cache_intent intent;
    struct cache_entry *fresh;

    if (!cache_entry_fields(r->cache.entry, r->arena, &stored) ||
        !http_freshen(&stored, fields, r->arena, &merged))
        return false;
    judge(r, cache_entry_meta(r->cache.entry).status, &merged, &verdict);
    intent = fetch_intent(r, &verdict);
    fresh = verdict.may_store
                ? cache_freshen(r->context->shared->cache, r->cache.entry, fields, &intent)
                : NULL;
    if (fresh != NULL) {
        fetch_saw_same(r);
        cache_entry_release(&r->cache.entry);
        r->cache.entry = fresh;
        r->cache.stored = true;
        second_put(r);
    } else if (r->fetch.is_refresh) {
        refresh_failed(r);
    }
    r->cache.fwd_status = 304;
    serve_entry(r, CACHE_REVALIDATED);
    fetch_close_flight(r, FLIGHT_RETRY, false);
    return true;
}

void fetch_start_over(struct request *r)
{
    if (r->is_finished) {
        r->fetch.is_answered = true;
        fetch_close_flight(r, FLIGHT_RETRY, false);
        return;
    }
    upstream_cancel(&r->fetch.exchange);
    r->fetch.starts_over = true;
    request_wake(r);
    request_release(r); /* the exchange's; the server holds it, too */
}

/* A 304 whose entity tag is not the stored one's says nothing of what is stored (RFC 9111 §4.3.4):
 * a replica that is behind, or ahead. */
static bool is_of_another(const struct cache_entry *entry, const struct http_fields *fields)
{
    struct str stored = cache_entry_validators(entry).etag;
    struct str told = http_fields_get(fields, HTTP_ETAG);

    return stored.ptr != NULL && told.len > 0 && !http_etag_list_has(told, stored, true);
}

static void forget_entry(struct request *r)
{
    if (r->fetch.is_refresh)
        cache_entry_let_rest(r->cache.entry, CACHE_REST_ERROR, loop_now_us(r->context->loop));
    else
        cache_drop(r->context->shared->cache, r->cache.entry);
    cache_entry_release(&r->cache.entry);
    r->cache.validates = false;
    fetch_start_over(r);
}

static bool is_error_for_stale(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

/* ---- passing on ---- */

static void on_room(void *arg)
{
    struct request *r = arg;

    if (r->fetch.exchange == NULL)
        return;
    if (fetch_is_for_nobody(r))
        fetch_drop(r, FLIGHT_GO);
    else
        upstream_resume_answer(r->fetch.exchange);
}

static void on_wake(void *arg)
{
    request_wake(arg);
}

static void count_refused(struct request *r, const char *why)
{
    struct str slug = str_of(why);

    count_series(r->context, M_CACHE_REFUSED, 1, &slug);
}

/* May the answer be kept? Sets the verdict's word for Cache-Status and the counters. */
static bool may_keep(struct request *r, int status, const struct http_fields *fields,
                     struct http_verdict *verdict)
{
    struct http_cache_tags tags;

    if (!r->cache.is_keyed || r->cache.status == CACHE_BYPASS ||
        (!str_eq(r->head.method, STR("GET")) && !r->cache.is_posted && !r->cache.is_by_body))
        return false;
    judge(r, status, fields, verdict);
    if (r->cache.is_posted && !http_lifetime_is_explicit(verdict->source))
        return false;
    if (verdict->may_store && !http_cache_tags(fields, r->arena, &tags))
        *verdict = (struct http_verdict){.why = "tags"}; /* a purge could miss it */
    if (!verdict->may_store) {
        count_refused(r, verdict->why);
        r->cache.detail = verdict->why;
        if (strcmp(verdict->why, "authorization") == 0 &&
            r->route->cache.per_user == PER_USER_ABSENT)
            r->cache.status = CACHE_BYPASS;
        return false;
    }
    return !r->cache.wants.no_store;
}

static bool begin_fill(struct request *r, const struct fill_head *head,
                       const struct cache_intent *intent)
{
    r->fetch.fill = fill_new(r->context->shared->cache, r->context->loop, on_room, r);
    if (r->fetch.fill == NULL)
        return false;
    if (!r->is_finished && !r->fetch.is_answered) {
        r->reader = fill_attach(r->fetch.fill, r->context->loop, on_wake, r);
        if (r->reader == NULL) {
            fill_fail(&r->fetch.fill);
            return false;
        }
    }
    if (fill_begin(r->fetch.fill, head, intent))
        return true;
    fill_detach(&r->reader);
    fill_fail(&r->fetch.fill);
    return false;
}

void fetch_pass_on(struct request *r, int status, const struct http_fields *fields,
                   const struct http_answer_facts *facts)
{
    struct http_verdict verdict;
    struct http_fields passed;
    struct cache_intent intent;
    struct fill_head head = {status, &passed, facts->has_length, facts->content_length};
    bool keeps, ok;

    ok = http_forward_answer(fields, r->arena, &passed);
    if (ok)
        (void)http_fields_remove(&passed,
                                 HTTP_CONTENT_LENGTH); /* the length travels beside the fields */
    keeps = ok && may_keep(r, status, &passed, &verdict);
    if (keeps)
        intent = fetch_intent(r, &verdict);
    if (keeps && status == 206)
        keeps = part_intent(r, &passed, &head, &intent);
    if (!ok || !begin_fill(r, &head, keeps ? &intent : NULL)) {
        fetch_close_flight(r, FLIGHT_GO, false);
        if (!r->is_finished && !r->fetch.is_answered)
            (void)reply_out_of_memory(r);
        answered(r);
        return;
    }
    r->cache.stored = keeps && fill_is_storing(r->fetch.fill);
    if (r->fetch.lead != NULL && r->cache.stored)
        flight_open(r->fetch.lead, r->fetch.fill);
    else
        fetch_close_flight(r, FLIGHT_GO, !fill_is_put_off(r->fetch.fill));
    if (r->fetch.is_refresh && !r->cache.stored)
        refresh_failed(r);
    answered(r);
}

/* A logout that the upstream has accepted ends the token, before its client hears of it. */
static void revoke(struct request *r, int status)
{
    int64_t now_s = loop_wall_us(r->context->loop) / 1000000;

    if (!r->route->revokes_token || status >= 400 || r->who.method != METHOD_JWT ||
        r->identity != IDENTIFY_OK || r->context->shared->identify == NULL)
        return;
    if (identify_revoke(r->context->shared->identify, &r->who.token, now_s) == REVOKE_FULL)
        log_line(LOG_ERROR,
                 "the set of revoked tokens is full: a logout on route %.*s was not "
                 "followed",
                 STR_ARG(r->route->name));
}

void fetch_on_head(struct request *r, int status, const struct http_fields *fields,
                   const struct http_answer_facts *facts)
{
    struct cache_entry *entry = r->cache.entry;
    bool is_for_get = fetch_post_is_for_get(r, status, fields);

    invalidate(r, status, fields);
    revoke(r, status);
    if (is_for_get)
        fetch_post_take_place(r);
    if (r->fetch.is_answered)
        return; /* the client was refused meanwhile; the answer is thrown away */
    limit_settle_header(r, fields);
    if (entry != NULL && status == 304 && r->cache.validates) {
        if (is_of_another(entry, fields)) {
            forget_entry(r);
            return;
        }
        if (confirm(r, fields))
            return;
    }
    if (entry != NULL && is_error_for_stale(status) &&
        (r->fetch.is_refresh || lookup_serves_stale(r, cache_entry_meta(entry).stale_if_error_s))) {
        r->cache.fwd_status = status;
        cache_entry_let_rest(entry, CACHE_REST_ERROR, loop_now_us(r->context->loop));
        serve_entry(r, CACHE_STALE);
        fetch_close_flight(r, FLIGHT_GO, false);
        return;
    }
    if (part_on_head(r, status, fields, facts))
        return;
    r->cache.fwd_status = status;
    fetch_pass_on(r, status, fields, facts);
}

static const char *what_happened(enum upstream_kind kind)
{
    if (kind == UPSTREAM_NO_TARGET)
        return "can be tried now";
    if (kind == UPSTREAM_BREAKER)
        return "failed too often and is left alone for a while";
    switch (upstream_kind_status(kind)) {
    case 503:
        return "has all the requests that it can bear";
    case 504:
        return "took too long";
    default:
        return "could not be reached or broke off";
    }
}

void fetch_on_failure(struct request *r)
{
    int status = upstream_kind_status(r->fetch.kind);
    struct str values[] = {STR("upstream"), r->cells->name};
    struct str message;

    count_series(r->context, M_ERRORS, COUNT_OF(values), values);
    if (r->cache.entry != NULL)
        cache_entry_let_rest(r->cache.entry, CACHE_REST_UNREACHABLE, loop_now_us(r->context->loop));
    fetch_close_flight(r, FLIGHT_FAILED, false);
    if (lookup_serves_stale(r, r->cache.entry != NULL
                                   ? cache_entry_meta(r->cache.entry).stale_if_unreachable_s
                                   : 0)) {
        r->reason = upstream_kind_name(r->fetch.kind);
        serve_entry(r, CACHE_STALE);
        return;
    }
    if (r->is_finished || r->fetch.is_answered)
        return;
    message =
        arena_printf(r->arena, "%s \"%.*s\" %s.",
                     r->fetch.kind == UPSTREAM_NO_TARGET ? "No target of upstream" : "Upstream",
                     STR_ARG(r->upstream->name), what_happened(r->fetch.kind));
    (void)reply_problem(r, status, upstream_kind_name(r->fetch.kind), message.ptr, STR_NONE);
    if (status == 503)
        (void)reply_field(r, HTTP_RETRY_AFTER,
                          reply_number(r, r->fetch.retry_after_s > 0 ? r->fetch.retry_after_s : 1));
    answered(r);
}

/* ---- the client leaves ---- */

void fetch_join_orphans(struct request *r)
{
    struct request **first = &r->context->orphans;

    r->next_orphan = *first;
    r->orphan_back = first;
    if (*first != NULL)
        (*first)->orphan_back = &r->next_orphan;
    *first = r;
}

void fetch_leave_orphans(struct request *r)
{
    if (r->orphan_back == NULL)
        return;
    *r->orphan_back = r->next_orphan;
    if (r->next_orphan != NULL)
        r->next_orphan->orphan_back = r->orphan_back;
    r->orphan_back = NULL;
}

bool fetch_is_for_nobody(const struct request *r)
{
    return r->is_finished && (r->fetch.fill == NULL || (!fill_is_storing(r->fetch.fill) &&
                                                        fill_readers(r->fetch.fill) == 0));
}

void fetch_drop(struct request *r, enum flight_outcome outcome)
{
    upstream_cancel(&r->fetch.exchange);
    r->fetch.is_done = true;
    fill_fail(&r->fetch.fill);
    fetch_close_flight(r, outcome, false);
    fetch_leave_orphans(r);
    request_release(r);
}

static bool goes_on_alone(struct request *r)
{
    if (r->context->is_aborting)
        return false;
    if (r->fetch.fill != NULL)
        return fill_is_storing(r->fetch.fill) || fill_readers(r->fetch.fill) > 0;
    return r->fetch.lead != NULL && flight_followers(r->fetch.lead) > 0;
}

void fetch_client_left(struct request *r)
{
    second_cancel(r);
    if (r->fetch.starts_over || !r->fetch.is_on)
        fetch_close_flight(r, FLIGHT_RETRY, false);
    if (r->fetch.exchange == NULL || r->fetch.is_done)
        return;
    if (goes_on_alone(r) && request_keep_head(r))
        fetch_join_orphans(r);
    else
        fetch_drop(r, FLIGHT_RETRY);
}
