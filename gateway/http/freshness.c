/* freshness.c - what may be cached, for how long, and is it still fresh (RFC 9111
 * §3, §4.2, §5.2; RFC 9213; RFC 5861), together with what the operator set.
 *
 * One judgement per answer, in this order: which field speaks (a valid targeted
 * field alone, else Cache-Control and Expires), how old the answer was when it
 * came, how long it lives, what may happen after that, and at last whether it is
 * stored. An unusable max-age or Expires means stale and never "try the next
 * source": the origin meant to say something, and a longer guess could be wrong.
 *
 * Pure functions; times are passed in. Any thread. */
#include "http/caching_priv.h"

/* A tenth of the age of a file from 1970 is years; a guess lasts a day at most. */
enum { HEURISTIC_MOST_S = 86400, HEURISTIC_PART = 10 };

/* What the judgement is about, gathered once. */
struct subject {
    const struct http_fields *answer;
    const struct http_cache_policy *policy;
    struct http_cache_control control; /* of the field that speaks */
    bool is_targeted;
    bool own_words_only; /* nothing the operator set may lengthen this answer's life */
    int status;
    int64_t response_s, last_modified_s;
};

static int64_t at_most_forever(int64_t seconds)
{
    return seconds < HTTP_FOREVER_S ? seconds : HTTP_FOREVER_S;
}

static int64_t at_least_0(int64_t seconds)
{
    return seconds > 0 ? seconds : 0;
}

int64_t http_delta_seconds(struct str text)
{
    int64_t value = 0;

    if (text.len == 0)
        return HTTP_SECONDS_UNUSABLE;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return HTTP_SECONDS_UNUSABLE;
        value = at_most_forever(value * 10 + (text.ptr[i] - '0'));
    }
    return value;
}

struct str http_only_line(const struct http_fields *fields, enum http_name id)
{
    return http_fields_count_of(fields, id) == 1 ? http_fields_get(fields, id) : STR_NONE;
}

/* STR_NONE and an empty line are no dates either. */
static int64_t date_in(const struct http_fields *fields, enum http_name id, int64_t now_s)
{
    return http_date_parse(http_only_line(fields, id), now_s);
}

bool http_status_is_heuristic(int status)
{
    switch (status) {
    case 200: /* RFC 9110 §15.1; a 206 lives by its own word only */
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default:
        return false;
    }
}

bool http_status_is_understood(int status)
{
    switch (status) {
    case 304:
    case 306: /* unused */
    case 418: /* unused */
        return false;
    case 421:
    case 422:
    case 426:
        return true;
    default:
        return (status >= 200 && status <= 206) || (status >= 300 && status <= 308) ||
               (status >= 400 && status <= 417) || (status >= 500 && status <= 505);
    }
}

int64_t http_age_parse(const struct http_fields *answer)
{
    struct str rest = http_fields_get(answer, HTTP_AGE), first = STR_NONE;

    if (!http_list_next(&rest, &first))
        return 0;
    return at_least_0(http_delta_seconds(first));
}

/* RFC 9111 §4.2.3. */
static void judge_age(const struct subject *s, int64_t request_s, struct http_verdict *verdict)
{
    int64_t date_s = date_in(s->answer, HTTP_DATE, s->response_s);

    verdict->date_s = date_s == HTTP_NO_TIME ? s->response_s : date_s;
    int64_t apparent_s = at_least_0(s->response_s - verdict->date_s);
    int64_t delay_s = at_least_0(s->response_s - request_s);
    int64_t corrected_s = http_age_parse(s->answer) + delay_s;
    verdict->initial_age_s = at_most_forever(apparent_s > corrected_s ? apparent_s : corrected_s);
}

static void set_lifetime(struct http_verdict *verdict, enum http_lifetime_source source,
                         int64_t lifetime_s)
{
    verdict->source = source;
    verdict->lifetime_s = at_most_forever(at_least_0(lifetime_s));
}

/* What the answer itself says. False: nothing, not even something unusable. */
static bool own_lifetime(const struct subject *s, struct http_verdict *verdict)
{
    const struct http_cache_control *control = &s->control;
    enum http_lifetime_source shared =
        s->is_targeted ? HTTP_LIFETIME_TARGETED : HTTP_LIFETIME_S_MAXAGE;
    enum http_lifetime_source plain =
        s->is_targeted ? HTTP_LIFETIME_TARGETED : HTTP_LIFETIME_MAX_AGE;

    if (control->s_maxage != HTTP_SECONDS_ABSENT) {
        set_lifetime(verdict, shared, control->s_maxage);
        return true;
    }
    if (control->max_age != HTTP_SECONDS_ABSENT) {
        set_lifetime(verdict, plain, control->max_age);
        return true;
    }
    if (s->is_targeted || http_fields_count_of(s->answer, HTTP_EXPIRES) == 0)
        return false;
    int64_t expires_s = date_in(s->answer, HTTP_EXPIRES, s->response_s);
    set_lifetime(verdict, HTTP_LIFETIME_EXPIRES,
                 expires_s == HTTP_NO_TIME ? 0 : expires_s - verdict->date_s);
    return true;
}

/* The statuses that the operator's ttl and default_ttl speak of: a 500 must not live for five
 * minutes because the products do. */
static bool takes_operator_ttl(int status)
{
    return status == 200 || status == 203 || status == 301 || status == 308;
}

static int64_t heuristic_lifetime(const struct subject *s, int64_t date_s)
{
    if (!s->policy->heuristic || s->last_modified_s == HTTP_NO_TIME)
        return 0;
    if (!http_status_is_heuristic(s->status) && !s->control.is_public)
        return 0;
    int64_t lifetime_s = (date_s - s->last_modified_s) / HEURISTIC_PART;
    return lifetime_s < HEURISTIC_MOST_S ? lifetime_s : HEURISTIC_MOST_S;
}

/* The first that applies; contract §2. */
static void judge_lifetime(const struct subject *s, struct http_verdict *verdict)
{
    const struct http_cache_policy *policy = s->policy;
    bool takes_ttl = takes_operator_ttl(s->status);
    bool has_route_ttl = takes_ttl && policy->route_ttl_s >= 0 && !s->own_words_only;

    if (has_route_ttl && policy->ttl_override) {
        set_lifetime(verdict, HTTP_LIFETIME_OVERRIDE, policy->route_ttl_s);
        return;
    }
    if (own_lifetime(s, verdict) || s->own_words_only)
        return;
    if (has_route_ttl) {
        set_lifetime(verdict, HTTP_LIFETIME_ROUTE, policy->route_ttl_s);
        return;
    }
    int64_t heuristic_s = heuristic_lifetime(s, verdict->date_s);
    int64_t default_s = takes_ttl ? policy->default_ttl_s : policy->negative_ttl_s;
    if (heuristic_s > 0)
        set_lifetime(verdict, HTTP_LIFETIME_HEURISTIC, heuristic_s);
    else if (default_s > 0)
        set_lifetime(verdict, HTTP_LIFETIME_DEFAULT, default_s);
}

/* The answer's own word, else the operator's. */
static int64_t window(int64_t own_s, int64_t operator_s)
{
    return at_most_forever(at_least_0(own_s != HTTP_SECONDS_ABSENT ? own_s : operator_s));
}

static void judge_stale(const struct subject *s, struct http_verdict *verdict)
{
    const struct http_cache_control *control = &s->control;
    bool speaks = !s->own_words_only;

    verdict->always_revalidate = control->no_cache;
    verdict->must_revalidate = control->must_revalidate || control->proxy_revalidate ||
                               control->s_maxage != HTTP_SECONDS_ABSENT || control->no_cache;
    if (verdict->must_revalidate)
        return;
    verdict->stale_while_revalidate_s =
        window(control->stale_while_revalidate, speaks ? s->policy->stale_while_revalidate_s : 0);
    verdict->stale_if_error_s =
        window(control->stale_if_error, speaks ? s->policy->stale_if_error_s : 0);
    /* what allows a stale answer in place of a 503 allows it in place of silence */
    int64_t unreachable_s =
        window(HTTP_SECONDS_ABSENT, speaks ? s->policy->stale_if_unreachable_s : 0);
    verdict->stale_if_unreachable_s =
        unreachable_s > verdict->stale_if_error_s ? unreachable_s : verdict->stale_if_error_s;
}

bool http_lifetime_is_explicit(enum http_lifetime_source source)
{
    return source == HTTP_LIFETIME_TARGETED || source == HTTP_LIFETIME_S_MAXAGE ||
           source == HTTP_LIFETIME_MAX_AGE || source == HTTP_LIFETIME_EXPIRES;
}

/* May callers share what was fetched with this request's credentials? (RFC 9111 §3.5) */
static bool is_shareable(const struct subject *s)
{
    if (s->policy->per_user || s->policy->shared_by_operator || !s->policy->has_authorization)
        return true;
    return s->control.is_public || s->control.must_revalidate || s->control.s_maxage >= 0;
}

static const char *refused_by_message(struct str method, const struct http_fields *request,
                                      const struct subject *s)
{
    struct http_cache_control asked;

    if (!str_eq(method, STR("GET")))
        return "method";
    if (s->status == 206 && !s->policy->stores_parts)
        return "partial";
    if (s->status < 200 || s->status > 599 || s->status == 304)
        return "status";
    if (s->policy->honor_client && request != NULL) {
        http_cache_control_parse(request, true, &asked);
        if (asked.no_store)
            return "request-no-store";
    }
    return NULL;
}

static const char *refused_by_answer(const struct subject *s, const struct http_verdict *verdict,
                                     struct arena *arena)
{
    const struct http_cache_control *control = &s->control;
    bool is_star = false;

    if (control->must_understand && !http_status_is_understood(s->status))
        return "must-understand";
    if (control->no_store && !control->must_understand)
        return "no-store";
    /* an entry per caller is that caller's private cache; with a field list the answer could be
     * stored without those fields, but leaving it out is never wrong */
    if (control->is_private && !s->policy->per_user)
        return "private";
    if (!is_shareable(s))
        return "authorization";
    (void)http_vary_names(s->answer, arena, &is_star);
    if (is_star)
        return "vary-star";
    if (http_fields_count_of(s->answer, HTTP_SET_COOKIE) > 0 &&
        (!s->policy->store_set_cookie || !http_lifetime_is_explicit(verdict->source)))
        return "set-cookie";
    return NULL;
}

/* Nothing to wait for: it could neither be used nor validated, nor serve while stale by the
 * origin's own word. */
static const char *refused_as_useless(const struct subject *s, const struct http_verdict *verdict)
{
    bool may_serve_stale = !verdict->must_revalidate &&
                           (s->control.stale_while_revalidate > 0 || s->control.stale_if_error > 0);

    if (s->own_words_only && !http_lifetime_is_explicit(verdict->source))
        return "cookie";
    if (s->status == 206 && !http_lifetime_is_explicit(verdict->source))
        return "partial";
    if (verdict->has_validator)
        return NULL;
    if (verdict->always_revalidate)
        return "no-cache";
    return verdict->lifetime_s > 0 || may_serve_stale ? NULL : "no-freshness";
}

void http_judge_answer(struct str method, const struct http_fields *request, int status,
                       const struct http_fields *answer, int64_t request_s, int64_t response_s,
                       const struct http_cache_policy *policy, struct arena *arena,
                       struct http_verdict *verdict)
{
    struct subject s = {.answer = answer,
                        .policy = policy,
                        .own_words_only =
                            policy->has_cookie && !policy->per_user && !policy->shared_by_operator,
                        .status = status,
                        .response_s = response_s};

    *verdict = (struct http_verdict){.source = HTTP_LIFETIME_NONE};
    s.is_targeted = http_targeted_parse(answer, arena, &s.control);
    if (!s.is_targeted)
        http_cache_control_parse(answer, false, &s.control);
    s.last_modified_s = date_in(answer, HTTP_LAST_MODIFIED, response_s);
    verdict->has_validator =
        s.last_modified_s != HTTP_NO_TIME || http_only_line(answer, HTTP_ETAG).len > 0;
    judge_age(&s, request_s, verdict);
    judge_lifetime(&s, verdict);
    judge_stale(&s, verdict);

    verdict->why = refused_by_message(method, request, &s);
    if (verdict->why == NULL)
        verdict->why = refused_by_answer(&s, verdict, arena);
    if (verdict->why == NULL)
        verdict->why = refused_as_useless(&s, verdict);
    verdict->may_store = verdict->why == NULL;
    if (verdict->may_store)
        verdict->why = "stored";
}

/* A request's number that cannot be read counts as the strictest one. */
enum http_use http_may_use(const struct http_cache_control *request, int64_t age_s,
                           int64_t lifetime_s, bool must_revalidate, bool always_revalidate)
{
    int64_t stale_s = age_s - lifetime_s; /* fresh while below 0 */

    if (always_revalidate)
        return HTTP_USE_VALIDATE;
    if (request == NULL)
        return stale_s < 0 ? HTTP_USE_FRESH : HTTP_USE_VALIDATE;
    if (request->no_cache || request->min_fresh == HTTP_SECONDS_UNUSABLE)
        return HTTP_USE_VALIDATE;
    /* max-age=0 is how clients ask for validation, whatever second the entry is in */
    if (request->max_age != HTTP_SECONDS_ABSENT &&
        (request->max_age <= 0 || age_s > request->max_age))
        return HTTP_USE_VALIDATE;
    if (request->min_fresh > 0 && lifetime_s - age_s < request->min_fresh)
        return HTTP_USE_VALIDATE;
    if (stale_s < 0)
        return HTTP_USE_FRESH;
    bool allows_stale = request->max_stale_any || request->max_stale >= stale_s;
    return allows_stale && !must_revalidate ? HTTP_USE_STALE : HTTP_USE_VALIDATE;
}
