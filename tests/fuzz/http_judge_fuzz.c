/* http_judge_fuzz.c - the whole judgement of an answer, and what a 304 does to it.
 *
 * Four bytes set policy, status and age of the exchange; the rest is the answer's
 * head and, behind a NUL, the 304's (the request's in the same breath). Held: numbers stay in
 * their bounds; nothing is stored that a shared cache must not store; a 304 that
 * says nothing leaves a head as it was but for Age and Date. */
#include "caching_input.h"
#include "http/http.h"

static struct http_cache_policy policy_of(uint8_t a, uint8_t b)
{
    return (struct http_cache_policy){.route_ttl_s = a & 1 ? 50 : -1,
                                      .ttl_override = a & 2,
                                      .default_ttl_s = a & 4 ? 300 : 0,
                                      .negative_ttl_s = a & 8 ? 10 : -1,
                                      .heuristic = a & 16,
                                      .store_set_cookie = a & 32,
                                      .honor_client = a & 64,
                                      .stale_while_revalidate_s = a & 128 ? 30 : 0,
                                      .stale_if_error_s = b & 1 ? 20 : 0,
                                      .stale_if_unreachable_s = b & 2 ? 3600 : 0,
                                      .shared_by_operator = b & 4,
                                      .per_user = b & 8,
                                      .has_authorization = b & 16,
                                      .has_cookie = b & 32};
}

static void check_bounds(const struct http_verdict *verdict)
{
    CHECK(verdict->lifetime_s >= 0 && verdict->lifetime_s <= HTTP_FOREVER_S);
    CHECK(verdict->initial_age_s >= 0 && verdict->initial_age_s <= HTTP_FOREVER_S);
    CHECK(verdict->stale_while_revalidate_s >= 0 &&
          verdict->stale_while_revalidate_s <= HTTP_FOREVER_S);
    CHECK(verdict->stale_if_error_s >= 0 && verdict->stale_if_error_s <= HTTP_FOREVER_S);
    CHECK(verdict->stale_if_unreachable_s >= verdict->stale_if_error_s);
    CHECK(!verdict->must_revalidate || verdict->stale_if_unreachable_s == 0);
    CHECK(!verdict->always_revalidate || verdict->must_revalidate);
    CHECK(verdict->may_store == (strcmp(verdict->why, "stored") == 0));
}

/* Read again, and more simply: what must never be in a shared cache. */
static void check_stored(const struct http_verdict *verdict, const struct http_fields *answer,
                         int status, const struct http_cache_policy *policy)
{
    struct http_cache_control control;
    bool is_targeted = http_targeted_parse(answer, arena, &control);

    if (!is_targeted)
        http_cache_control_parse(answer, false, &control);
    CHECK(status >= 200 && status != 206 && status != 304);
    CHECK(!control.no_store || control.must_understand);
    CHECK(!control.is_private || policy->per_user);
    CHECK(policy->store_set_cookie || http_fields_count_of(answer, HTTP_SET_COOKIE) == 0);
    CHECK(!http_fields_has_token(answer, HTTP_VARY, STR("*")));
    CHECK(verdict->lifetime_s > 0 || verdict->has_validator || verdict->stale_if_error_s > 0 ||
          verdict->stale_while_revalidate_s > 0);
    if (policy->has_cookie && !policy->per_user && !policy->shared_by_operator)
        CHECK(verdict->source >= HTTP_LIFETIME_TARGETED &&
              verdict->source <= HTTP_LIFETIME_EXPIRES);
}

static void check_freshen(const struct http_fields *stored, const struct http_fields *update)
{
    struct http_fields nothing, same, fresh;

    CHECK(http_fields_init(&nothing, arena, 0));
    CHECK(http_freshen(stored, &nothing, arena, &same));
    CHECK(same.count + http_fields_count_of(stored, HTTP_AGE) +
              http_fields_count_of(stored, HTTP_DATE) ==
          stored->count);
    CHECK(http_freshen(stored, update, arena, &fresh));
    CHECK(http_fields_count_of(&fresh, HTTP_CONTENT_LENGTH) ==
          http_fields_count_of(stored, HTTP_CONTENT_LENGTH));
    CHECK(str_eq(http_fields_get(&fresh, HTTP_CONTENT_TYPE),
                 http_fields_get(stored, HTTP_CONTENT_TYPE)));
    CHECK(fresh.count <= stored->count + update->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t now_s = INT64_C(1800000000);
    struct http_verdict verdict;

    if (size < 4)
        return 0;
    input_begin();
    struct str input = input_copy(data + 4, size - 4);
    size_t cut = str_find(input, '\0');
    struct http_fields answer = input_fields(str_at(input.ptr, cut), HTTP_OTHER);
    struct http_fields other = input_fields(str_from(input, cut + 1), HTTP_OTHER);
    struct http_cache_policy policy = policy_of(data[0], data[1]);
    int status = 100 + data[2] * 2;
    if (data[2] == 255)
        status = 404;

    http_judge_answer(STR("GET"), &other, status, &answer, now_s - data[3], now_s, &policy, arena,
                      &verdict);
    check_bounds(&verdict);
    if (verdict.may_store)
        check_stored(&verdict, &answer, status, &policy);
    check_freshen(&answer, &other);

    struct http_cache_control asked;
    http_cache_control_parse(&other, true, &asked);
    enum http_use use = http_may_use(&asked, verdict.initial_age_s, verdict.lifetime_s,
                                     verdict.must_revalidate, verdict.always_revalidate);
    CHECK(use != HTTP_USE_FRESH || verdict.initial_age_s < verdict.lifetime_s);
    CHECK(use == HTTP_USE_VALIDATE || !verdict.always_revalidate);
    CHECK(use != HTTP_USE_STALE || !verdict.must_revalidate);
    input_free(input);
    return 0;
}
