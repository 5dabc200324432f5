/* freshness_test.c - what is stored, for how long, and when it may be used.
 *
 * The first tables are the questions of the public cache-tests suite, asked with
 * the policy it is measured under; the later ones are the operator's settings.
 * The answer comes at NOW_S, which is Fri, 15 Jan 2027 08:00:00 GMT. */
#include "caching_fixture.h"

#define DATE     "Date: Fri, 15 Jan 2027 08:00:00 GMT\n"
#define ONE_HOUR "Expires: Fri, 15 Jan 2027 09:00:00 GMT\n"       /* after DATE */
#define LM_DAY   "Last-Modified: Thu, 14 Jan 2027 08:00:00 GMT\n" /* a day before: 8640 s */

static const struct http_cache_policy suite = {.route_ttl_s = -1,
                                               .default_ttl_s = 0,
                                               .negative_ttl_s = -1,
                                               .heuristic = true,
                                               .store_set_cookie = true,
                                               .honor_client = true,
                                               .stale_if_unreachable_s = 3600};

static struct http_verdict judge(int status, const char *answer, const char *request,
                                 const struct http_cache_policy *policy)
{
    struct http_fields answer_fields = fields_of(answer), request_fields = fields_of(request);
    struct http_verdict verdict;

    http_judge_answer(STR("GET"), &request_fields, status, &answer_fields, NOW_S, NOW_S, policy,
                      arena, &verdict);
    return verdict;
}

/* ---- lifetimes ---- */

static const struct {
    const char *name, *answer;
    int status;
    enum http_lifetime_source source;
    int64_t lifetime_s;
} lifetimes[] = {
    {"nothing", DATE, 200, HTTP_LIFETIME_NONE, 0},
    {"max-age", "Cache-Control: max-age=3600", 200, HTTP_LIFETIME_MAX_AGE, 3600},
    {"s-maxage wins", "Cache-Control: max-age=1, s-maxage=3600", 200, HTTP_LIFETIME_S_MAXAGE, 3600},
    {"short s-maxage wins", "Cache-Control: max-age=3600, s-maxage=1", 200, HTTP_LIFETIME_S_MAXAGE,
     1},
    {"unusable s-maxage", "Cache-Control: max-age=3600, s-maxage=x", 200, HTTP_LIFETIME_S_MAXAGE,
     0},
    {"max-age beats Expires", DATE "Cache-Control: max-age=5\n" ONE_HOUR, 200,
     HTTP_LIFETIME_MAX_AGE, 5},
    {"max-age beats a bad Expires", "Cache-Control: max-age=5\nExpires: 0", 200,
     HTTP_LIFETIME_MAX_AGE, 5},
    {"unusable max-age never falls through", DATE "Cache-Control: max-age=x\n" ONE_HOUR LM_DAY, 200,
     HTTP_LIFETIME_MAX_AGE, 0},
    {"Expires", DATE ONE_HOUR, 200, HTTP_LIFETIME_EXPIRES, 3600},
    {"Expires equal to Date", DATE "Expires: Fri, 15 Jan 2027 08:00:00 GMT", 200,
     HTTP_LIFETIME_EXPIRES, 0},
    {"Expires in the past", DATE "Expires: Fri, 15 Jan 2027 07:00:00 GMT", 200,
     HTTP_LIFETIME_EXPIRES, 0},
    {"Expires without Date", ONE_HOUR, 200, HTTP_LIFETIME_EXPIRES, 3600},
    {"Expires with a bad Date", "Date: foo\n" ONE_HOUR, 200, HTTP_LIFETIME_EXPIRES, 3600},
    {"Expires with a slow Date", "Date: Fri, 15 Jan 2027 07:00:00 GMT\n" ONE_HOUR, 200,
     HTTP_LIFETIME_EXPIRES, 7200},
    {"Expires with a fast Date", "Date: Fri, 15 Jan 2027 08:59:00 GMT\n" ONE_HOUR, 200,
     HTTP_LIFETIME_EXPIRES, 60},
    {"Expires of 0", DATE "Expires: 0\n" LM_DAY, 200, HTTP_LIFETIME_EXPIRES, 0},
    {"empty Expires", DATE "Expires:\n" LM_DAY, 200, HTTP_LIFETIME_EXPIRES, 0},
    {"two lines of Expires", DATE ONE_HOUR ONE_HOUR, 200, HTTP_LIFETIME_EXPIRES, 0},
    {"two dates in Expires",
     DATE "Expires: Fri, 15 Jan 2027 09:00:00 GMT, Fri, 15 Jan 2027 09:00:00 GMT", 200,
     HTTP_LIFETIME_EXPIRES, 0},
    {"Expires in the year 9999", DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT", 200,
     HTTP_LIFETIME_EXPIRES, HTTP_FOREVER_S},
    {"heuristic", DATE LM_DAY, 200, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic, a day at most", DATE "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT", 200,
     HTTP_LIFETIME_HEURISTIC, 86400},
    {"heuristic, future", DATE "Last-Modified: Fri, 15 Jan 2027 09:00:00 GMT", 200,
     HTTP_LIFETIME_NONE, 0},
    {"heuristic, bad date", DATE "Last-Modified: 0", 200, HTTP_LIFETIME_NONE, 0},
    {"no heuristic by ETag", DATE "ETag: \"a\"", 200, HTTP_LIFETIME_NONE, 0},
    {"heuristic 201", DATE LM_DAY, 201, HTTP_LIFETIME_NONE, 0},
    {"heuristic 202", DATE LM_DAY, 202, HTTP_LIFETIME_NONE, 0},
    {"heuristic 203", DATE LM_DAY, 203, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 204", DATE LM_DAY, 204, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 300", DATE LM_DAY, 300, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 301", DATE LM_DAY, 301, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 302", DATE LM_DAY, 302, HTTP_LIFETIME_NONE, 0},
    {"heuristic 308", DATE LM_DAY, 308, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 403", DATE LM_DAY, 403, HTTP_LIFETIME_NONE, 0},
    {"heuristic 404", DATE LM_DAY, 404, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 405", DATE LM_DAY, 405, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 410", DATE LM_DAY, 410, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 414", DATE LM_DAY, 414, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 501", DATE LM_DAY, 501, HTTP_LIFETIME_HEURISTIC, 8640},
    {"heuristic 502", DATE LM_DAY, 502, HTTP_LIFETIME_NONE, 0},
    {"heuristic 503", DATE LM_DAY, 503, HTTP_LIFETIME_NONE, 0},
    {"heuristic 599", DATE LM_DAY, 599, HTTP_LIFETIME_NONE, 0},
    {"heuristic 599, public", DATE LM_DAY "Cache-Control: public", 599, HTTP_LIFETIME_HEURISTIC,
     8640},
    {"targeted", "CDN-Cache-Control: max-age=3600", 200, HTTP_LIFETIME_TARGETED, 3600},
    {"targeted s-maxage", "CDN-Cache-Control: max-age=1, s-maxage=3600", 200,
     HTTP_LIFETIME_TARGETED, 3600},
    {"targeted beats a short max-age", "Cache-Control: max-age=1\nCDN-Cache-Control: max-age=3600",
     200, HTTP_LIFETIME_TARGETED, 3600},
    {"targeted beats a long max-age", "Cache-Control: max-age=3600\nCDN-Cache-Control: max-age=1",
     200, HTTP_LIFETIME_TARGETED, 1},
    {"targeted beats s-maxage", "Cache-Control: s-maxage=3600\nCDN-Cache-Control: max-age=1", 200,
     HTTP_LIFETIME_TARGETED, 1},
    {"targeted 0 beats Expires", DATE "CDN-Cache-Control: max-age=0\n" ONE_HOUR, 200,
     HTTP_LIFETIME_TARGETED, 0},
    {"targeted beats a bad Expires", DATE "CDN-Cache-Control: max-age=3600\nExpires: 0", 200,
     HTTP_LIFETIME_TARGETED, 3600},
    {"targeted of the wrong type", "CDN-Cache-Control: max-age=\"10000\"\nCache-Control: max-age=9",
     200, HTTP_LIFETIME_TARGETED, 0},
    {"targeted without a lifetime: Expires is not read", DATE "CDN-Cache-Control: foo\n" ONE_HOUR,
     200, HTTP_LIFETIME_NONE, 0},
    {"invalid targeted: as if absent",
     "CDN-Cache-Control: max-age=10000, &\nCache-Control: max-age=9", 200, HTTP_LIFETIME_MAX_AGE,
     9},
    {"empty targeted: as if absent", "CDN-Cache-Control:\nCache-Control: max-age=9", 200,
     HTTP_LIFETIME_MAX_AGE, 9},
};

static void lifetimes_in_their_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lifetimes); i++) {
        struct http_verdict got = judge(lifetimes[i].status, lifetimes[i].answer, "", &suite);
        if (got.source != lifetimes[i].source || got.lifetime_s != lifetimes[i].lifetime_s)
            fail_msg("%s: got source %d, %" PRId64 " s", lifetimes[i].name, (int)got.source,
                     got.lifetime_s);
    }
}

/* ---- stored or not ---- */

static const struct {
    const char *name, *answer, *request;
    int status;
    const char *why;
} stored[] = {
    {"max-age", "Cache-Control: max-age=3600", "", 200, "stored"},
    {"no lifetime, no validator", DATE, "", 200, "no-freshness"},
    {"an ETag only", "ETag: \"a\"", "", 200, "stored"},
    {"Last-Modified only", LM_DAY, "", 201, "stored"},
    {"a bad Last-Modified only", "Last-Modified: foo", "", 200, "no-freshness"},
    {"max-age of 0", "Cache-Control: max-age=0", "", 200, "no-freshness"},
    {"max-age of 0 with an ETag", "Cache-Control: max-age=0\nETag: \"a\"", "", 200, "stored"},
    {"max-age of 0, but stale windows", "Cache-Control: max-age=0, stale-while-revalidate=5", "",
     200, "stored"},
    {"stale windows that must-revalidate forbids",
     "Cache-Control: max-age=0, stale-while-revalidate=5, must-revalidate", "", 200,
     "no-freshness"},
    {"older than it may be, for later", "Cache-Control: max-age=1500\nAge: 2000", "", 200,
     "stored"},
    {"no-store", "Cache-Control: no-store", "", 200, "no-store"},
    {"no-store with max-age", DATE ONE_HOUR "Cache-Control: max-age=10000, no-store", "", 200,
     "no-store"},
    {"private", "Cache-Control: private, max-age=3600", "", 200, "private"},
    {"private of fields", "Cache-Control: private=\"a\", max-age=3600", "", 200, "private"},
    {"no-cache without a validator", "Cache-Control: no-cache, max-age=3600", "", 200, "no-cache"},
    {"no-cache with one", "Cache-Control: no-cache\nETag: \"abcd\"", "", 200, "stored"},
    {"targeted no-store", "Cache-Control: max-age=10000\nCDN-Cache-Control: no-store", "", 200,
     "no-store"},
    {"targeted private", "Cache-Control: max-age=10000\nCDN-Cache-Control: private", "", 200,
     "private"},
    {"targeted no-cache", "Cache-Control: max-age=10000\nCDN-Cache-Control: no-cache", "", 200,
     "no-cache"},
    {"targeted beats no-store", "Cache-Control: no-store\nCDN-Cache-Control: max-age=5", "", 200,
     "stored"},
    {"targeted beats private", "Cache-Control: private\nCDN-Cache-Control: max-age=5", "", 200,
     "stored"},
    {"invalid targeted, no-store", "Cache-Control: no-store\nCDN-Cache-Control: max-age=5, &", "",
     200, "no-store"},
    {"must-understand, known", "Cache-Control: max-age=5, no-store, must-understand", "", 200,
     "stored"},
    {"must-understand, unknown", "Cache-Control: max-age=5, must-understand", "", 599,
     "must-understand"},
    {"must-understand, unknown, no-store", "Cache-Control: max-age=5, no-store, must-understand",
     "", 299, "must-understand"},
    {"Vary of *", "Cache-Control: max-age=5\nVary: *", "", 200, "vary-star"},
    {"Vary of * on a later line", "Cache-Control: max-age=5\nVary:\nVary: Foo, *", "", 200,
     "vary-star"},
    {"Vary of a name", "Cache-Control: max-age=5\nVary: Foo", "", 200, "stored"},
    {"206", "Cache-Control: max-age=5\nContent-Range: bytes 0-4/10", "", 206, "partial"},
    {"304", "Cache-Control: max-age=5", "", 304, "status"},
    {"100", "Cache-Control: max-age=5", "", 100, "status"},
    {"103", "Cache-Control: max-age=5", "", 103, "status"},
    {"600", "Cache-Control: max-age=5", "", 600, "status"},
    {"299", "Cache-Control: max-age=5", "", 299, "stored"},
    {"303", "Cache-Control: max-age=5", "", 303, "stored"},
    {"400", "Cache-Control: max-age=5", "", 400, "stored"},
    {"404", "Cache-Control: max-age=5", "", 404, "stored"},
    {"499", "Cache-Control: max-age=5", "", 499, "stored"},
    {"500", "Cache-Control: max-age=5", "", 500, "stored"},
    {"502", "Cache-Control: max-age=5", "", 502, "stored"},
    {"503", "Cache-Control: max-age=5", "", 503, "stored"},
    {"504", "Cache-Control: max-age=5", "", 504, "stored"},
    {"599", "Cache-Control: max-age=5", "", 599, "stored"},
    {"Set-Cookie with max-age", "Cache-Control: max-age=5\nSet-Cookie: a=b", "", 200, "stored"},
    {"Set-Cookie with Expires", DATE ONE_HOUR "Set-Cookie: a=b", "", 200, "stored"},
    {"Set-Cookie, heuristic", DATE LM_DAY "Set-Cookie: a=b", "", 200, "set-cookie"},
    {"Set-Cookie with an ETag only", "ETag: \"a\"\nSet-Cookie: a=b", "", 200, "set-cookie"},
    {"no-store asked for", "Cache-Control: max-age=5", "Cache-Control: no-store", 200,
     "request-no-store"},
    {"unknown things asked for", "Cache-Control: max-age=5",
     "Cache-Control: nothing-to-see-here\nPragma: foo", 200, "stored"},
    {"a string without an end", "Cache-Control: max-age=5, a=\"b", "", 200, "no-store"},
};

static void stored_or_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(stored); i++) {
        struct http_verdict got =
            judge(stored[i].status, stored[i].answer, stored[i].request, &suite);
        if (strcmp(got.why, stored[i].why) != 0 ||
            got.may_store != (strcmp(got.why, "stored") == 0))
            fail_msg("%s: got %s, may_store %d", stored[i].name, got.why, got.may_store);
    }
}

static void only_get_is_stored(void **state)
{
    static const char *const methods[] = {"HEAD", "POST", "PUT", "OPTIONS", "get", "QUERY"};
    struct http_fields answer = fields_of("Cache-Control: max-age=5");
    struct http_verdict verdict;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        http_judge_answer(str_of(methods[i]), NULL, 200, &answer, NOW_S, NOW_S, &suite, arena,
                          &verdict);
        assert_false(verdict.may_store);
        assert_string_equal(verdict.why, "method");
        assert_true(verdict.lifetime_s == 5);
    }
    http_judge_answer(STR("GET"), NULL, 200, &answer, NOW_S, NOW_S, &suite, arena, &verdict);
    assert_true(verdict.may_store);
}

/* ---- the operator's policy ---- */

enum caller { ANYONE = 0, COOKIE = 1, AUTHORIZATION = 2, PER_USER = 4, SHARED = 8 };

static const struct {
    const char *name, *answer;
    int status;
    unsigned caller;
    int64_t route_ttl_s;
    bool ttl_override;
    const char *why;
    enum http_lifetime_source source;
    int64_t lifetime_s;
} settings[] = {
    {"route ttl", "", 200, ANYONE, 50, false, "stored", HTTP_LIFETIME_ROUTE, 50},
    {"route ttl is not for 500", "", 500, ANYONE, 50, false, "no-freshness", HTTP_LIFETIME_NONE, 0},
    {"route ttl loses to max-age", "Cache-Control: max-age=5", 200, ANYONE, 50, false, "stored",
     HTTP_LIFETIME_MAX_AGE, 5},
    {"route ttl loses to an unusable one", "Cache-Control: max-age=x", 200, ANYONE, 50, false,
     "no-freshness", HTTP_LIFETIME_MAX_AGE, 0},
    {"route ttl beats heuristics", DATE LM_DAY, 200, ANYONE, 50, false, "stored",
     HTTP_LIFETIME_ROUTE, 50},
    {"override beats max-age", "Cache-Control: max-age=5", 200, ANYONE, 50, true, "stored",
     HTTP_LIFETIME_OVERRIDE, 50},
    {"override beats targeted", "CDN-Cache-Control: max-age=5", 200, ANYONE, 50, true, "stored",
     HTTP_LIFETIME_OVERRIDE, 50},
    {"override leaves no-store", "Cache-Control: no-store", 200, ANYONE, 50, true, "no-store",
     HTTP_LIFETIME_OVERRIDE, 50},
    {"override leaves 404", "Cache-Control: max-age=5", 404, ANYONE, 50, true, "stored",
     HTTP_LIFETIME_MAX_AGE, 5},
    {"override without a ttl", "Cache-Control: max-age=5", 200, ANYONE, -1, true, "stored",
     HTTP_LIFETIME_MAX_AGE, 5},
    {"default", "", 200, ANYONE, -1, false, "stored", HTTP_LIFETIME_DEFAULT, 300},
    {"default 203", "", 203, ANYONE, -1, false, "stored", HTTP_LIFETIME_DEFAULT, 300},
    {"default 301", "", 301, ANYONE, -1, false, "stored", HTTP_LIFETIME_DEFAULT, 300},
    {"default 308", "", 308, ANYONE, -1, false, "stored", HTTP_LIFETIME_DEFAULT, 300},
    {"default is not for 204", "", 204, ANYONE, -1, false, "no-freshness", HTTP_LIFETIME_NONE, 0},
    {"negative", "", 404, ANYONE, -1, false, "stored", HTTP_LIFETIME_DEFAULT, 10},
    {"negative, route ttl", "", 404, ANYONE, 50, false, "stored", HTTP_LIFETIME_DEFAULT, 10},
    {"heuristic beats default", DATE LM_DAY, 200, ANYONE, -1, false, "stored",
     HTTP_LIFETIME_HEURISTIC, 8640},
    {"cookie: max-age", "Cache-Control: max-age=5", 200, COOKIE, 50, false, "stored",
     HTTP_LIFETIME_MAX_AGE, 5},
    {"cookie: no route ttl", "", 200, COOKIE, 50, false, "cookie", HTTP_LIFETIME_NONE, 0},
    {"cookie: no override", "Cache-Control: max-age=5", 200, COOKIE, 50, true, "stored",
     HTTP_LIFETIME_MAX_AGE, 5},
    {"cookie: no default", "", 200, COOKIE, -1, false, "cookie", HTTP_LIFETIME_NONE, 0},
    {"cookie: no heuristic", DATE LM_DAY, 200, COOKIE, -1, false, "cookie", HTTP_LIFETIME_NONE, 0},
    {"cookie: no negative", "", 404, COOKIE, -1, false, "cookie", HTTP_LIFETIME_NONE, 0},
    {"cookie, per user: route ttl", "", 200, COOKIE | PER_USER, 50, false, "stored",
     HTTP_LIFETIME_ROUTE, 50},
    {"cookie, shared by the operator: route ttl", "", 200, COOKIE | SHARED, 50, false, "stored",
     HTTP_LIFETIME_ROUTE, 50},
    {"authorization: max-age", "Cache-Control: max-age=5", 200, AUTHORIZATION, -1, false,
     "authorization", HTTP_LIFETIME_MAX_AGE, 5},
    {"authorization: default", "", 200, AUTHORIZATION, -1, false, "authorization",
     HTTP_LIFETIME_DEFAULT, 300},
    {"authorization: public", "Cache-Control: max-age=5, public", 200, AUTHORIZATION, -1, false,
     "stored", HTTP_LIFETIME_MAX_AGE, 5},
    {"authorization: s-maxage", "Cache-Control: s-maxage=5", 200, AUTHORIZATION, -1, false,
     "stored", HTTP_LIFETIME_S_MAXAGE, 5},
    {"authorization: must-revalidate", "Cache-Control: max-age=5, must-revalidate", 200,
     AUTHORIZATION, -1, false, "stored", HTTP_LIFETIME_MAX_AGE, 5},
    {"authorization: proxy-revalidate is not enough", "Cache-Control: max-age=5, proxy-revalidate",
     200, AUTHORIZATION, -1, false, "authorization", HTTP_LIFETIME_MAX_AGE, 5},
    {"authorization: unusable s-maxage is not enough", "Cache-Control: s-maxage=x\nETag: \"a\"",
     200, AUTHORIZATION, -1, false, "authorization", HTTP_LIFETIME_S_MAXAGE, 0},
    {"authorization, per user", "Cache-Control: max-age=5", 200, AUTHORIZATION | PER_USER, -1,
     false, "stored", HTTP_LIFETIME_MAX_AGE, 5},
    {"authorization, shared by the operator", "Cache-Control: max-age=5", 200,
     AUTHORIZATION | SHARED, -1, false, "stored", HTTP_LIFETIME_MAX_AGE, 5},
    {"private, per user", "Cache-Control: max-age=5, private", 200, PER_USER, -1, false, "stored",
     HTTP_LIFETIME_MAX_AGE, 5},
    {"private, shared by the operator", "Cache-Control: max-age=5, private", 200, SHARED, -1, false,
     "private", HTTP_LIFETIME_MAX_AGE, 5},
    {"no-store, per user", "Cache-Control: no-store", 200, PER_USER, 50, true, "no-store",
     HTTP_LIFETIME_OVERRIDE, 50},
    {"Set-Cookie", "Cache-Control: max-age=5\nSet-Cookie: a=b", 200, ANYONE, -1, false,
     "set-cookie", HTTP_LIFETIME_MAX_AGE, 5},
};

static void settings_of_the_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct http_cache_policy policy = {.route_ttl_s = settings[i].route_ttl_s,
                                           .ttl_override = settings[i].ttl_override,
                                           .default_ttl_s = 300,
                                           .negative_ttl_s = settings[i].status == 404 ? 10 : -1,
                                           .heuristic = true,
                                           .per_user = settings[i].caller & PER_USER,
                                           .shared_by_operator = settings[i].caller & SHARED,
                                           .has_authorization = settings[i].caller & AUTHORIZATION,
                                           .has_cookie = settings[i].caller & COOKIE};
        struct http_verdict got = judge(settings[i].status, settings[i].answer, "", &policy);
        if (strcmp(got.why, settings[i].why) != 0 || got.source != settings[i].source ||
            got.lifetime_s != settings[i].lifetime_s)
            fail_msg("%s: got %s, source %d, %" PRId64 " s", settings[i].name, got.why,
                     (int)got.source, got.lifetime_s);
    }
}

/* ---- age ---- */

static const struct {
    const char *name, *answer;
    int64_t delay_s, want_s;
} ages[] = {
    {"nothing", "", 0, 0},
    {"Age", "Age: 7200", 0, 7200},
    {"Age and the exchange", "Age: 7200", 3, 7203},
    {"the exchange alone", "", 3, 3},
    {"an old Date", "Date: Fri, 15 Jan 2027 07:00:00 GMT", 0, 3600},
    {"an old Date and a larger Age", "Date: Fri, 15 Jan 2027 07:00:00 GMT\nAge: 4000", 0, 4000},
    {"an old Date and a smaller Age", "Date: Fri, 15 Jan 2027 07:00:00 GMT\nAge: 40", 0, 3600},
    {"a Date in the future", "Date: Fri, 15 Jan 2027 09:00:00 GMT", 0, 0},
    {"a Date of no form", "Date: yesterday", 0, 0},
    {"two lines of Date",
     "Date: Fri, 15 Jan 2027 07:00:00 GMT\nDate: Fri, 15 Jan 2027 07:00:00 GMT", 0, 0},
    {"letters", "Age: abc", 0, 0},
    {"negative", "Age: -7200", 0, 0},
    {"a fraction", "Age: 7200.0", 0, 0},
    {"empty", "Age:", 0, 0},
    {"parameters", "Age: 7200;foo=bar", 0, 0},
    {"2147483647", "Age: 2147483647", 5, HTTP_FOREVER_S},
    {"2147483648", "Age: 2147483648", 5, HTTP_FOREVER_S},
    {"past 64 bits", "Age: 99999999999999999999999999", 0, HTTP_FOREVER_S},
    {"first member", "Age: 7200, 0", 0, 7200},
    {"first member 0", "Age: 0, 7200", 0, 0},
    {"first line", "Age: 7200\nAge: 0", 0, 7200},
    {"first line 0", "Age: 0\nAge: 7200", 0, 0},
};

static void ages_on_arrival(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ages); i++) {
        struct http_fields answer = fields_of(ages[i].answer);
        struct http_verdict got;
        http_judge_answer(STR("GET"), NULL, 200, &answer, NOW_S - ages[i].delay_s, NOW_S, &suite,
                          arena, &got);
        if (got.initial_age_s != ages[i].want_s)
            fail_msg("%s: got %" PRId64, ages[i].name, got.initial_age_s);
    }
}

/* ---- after the lifetime ---- */

static const struct {
    const char *name, *answer;
    bool must_revalidate, always_revalidate, has_cookie;
    int64_t while_revalidate_s, if_error_s, if_unreachable_s;
} windows[] = {
    {"the operator's", "Cache-Control: max-age=2", false, false, false, 30, 20, 3600},
    {"the answer's own", "Cache-Control: max-age=2, stale-while-revalidate=4, stale-if-error=60",
     false, false, false, 4, 60, 3600},
    {"the answer's own 0", "Cache-Control: max-age=2, stale-while-revalidate=0, stale-if-error=0",
     false, false, false, 0, 0, 3600},
    {"unusable ones", "Cache-Control: max-age=2, stale-while-revalidate=x, stale-if-error", false,
     false, false, 0, 0, 3600},
    {"a long stale-if-error", "Cache-Control: max-age=2, stale-if-error=9000", false, false, false,
     30, 9000, 9000},
    {"targeted ones alone",
     "CDN-Cache-Control: max-age=2, stale-if-error=5\n"
     "Cache-Control: stale-while-revalidate=9, must-revalidate",
     false, false, false, 30, 5, 3600},
    {"must-revalidate", "Cache-Control: max-age=2, must-revalidate, stale-if-error=60", true, false,
     false, 0, 0, 0},
    {"proxy-revalidate", "Cache-Control: max-age=2, proxy-revalidate", true, false, false, 0, 0, 0},
    {"s-maxage", "Cache-Control: max-age=2, s-maxage=2", true, false, false, 0, 0, 0},
    {"unusable s-maxage", "Cache-Control: max-age=2, s-maxage=x", true, false, false, 0, 0, 0},
    {"no-cache", "Cache-Control: max-age=2, no-cache", true, true, false, 0, 0, 0},
    {"no-cache of fields", "Cache-Control: max-age=2, no-cache=\"a\"", true, true, false, 0, 0, 0},
    {"a cookie: none of the operator's", "Cache-Control: max-age=2", false, false, true, 0, 0, 0},
    {"a cookie: the answer's own", "Cache-Control: max-age=2, stale-if-error=7", false, false, true,
     0, 7, 7},
};

static void windows_after_the_lifetime(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        struct http_cache_policy policy = suite;
        policy.stale_while_revalidate_s = 30;
        policy.stale_if_error_s = 20;
        policy.has_cookie = windows[i].has_cookie;
        struct http_verdict got = judge(200, windows[i].answer, "", &policy);
        if (got.must_revalidate != windows[i].must_revalidate ||
            got.always_revalidate != windows[i].always_revalidate ||
            got.stale_while_revalidate_s != windows[i].while_revalidate_s ||
            got.stale_if_error_s != windows[i].if_error_s ||
            got.stale_if_unreachable_s != windows[i].if_unreachable_s)
            fail_msg("%s: got must %d always %d windows %" PRId64 " %" PRId64 " %" PRId64,
                     windows[i].name, got.must_revalidate, got.always_revalidate,
                     got.stale_while_revalidate_s, got.stale_if_error_s,
                     got.stale_if_unreachable_s);
    }
}

/* ---- use ---- */

static const struct {
    const char *name, *request; /* NULL: the route ignores directives */
    int64_t age_s, lifetime_s;
    bool must_revalidate, always_revalidate;
    enum http_use want;
} uses[] = {
    {"fresh", "", 9, 10, false, false, HTTP_USE_FRESH},
    {"just stale", "", 10, 10, false, false, HTTP_USE_VALIDATE},
    {"no lifetime", "", 0, 0, false, false, HTTP_USE_VALIDATE},
    {"no-cache entry", "", 0, 10, true, true, HTTP_USE_VALIDATE},
    {"no-cache entry, directives ignored", NULL, 0, 10, true, true, HTTP_USE_VALIDATE},
    {"directives ignored", NULL, 9, 10, false, false, HTTP_USE_FRESH},
    {"directives ignored, stale", NULL, 10, 10, false, false, HTTP_USE_VALIDATE},
    {"unknown directives", "Cache-Control: nothing-to-see-here\nPragma: foo", 9, 10, false, false,
     HTTP_USE_FRESH},
    {"no-cache", "Cache-Control: no-cache", 0, 10, false, false, HTTP_USE_VALIDATE},
    {"Pragma: no-cache", "Pragma: no-cache", 0, 10, false, false, HTTP_USE_VALIDATE},
    {"max-age=0", "Cache-Control: max-age=0", 0, 10, false, false, HTTP_USE_VALIDATE},
    {"max-age equal to the age", "Cache-Control: max-age=5", 5, 10, false, false, HTTP_USE_FRESH},
    {"max-age below the age", "Cache-Control: max-age=5", 6, 10, false, false, HTTP_USE_VALIDATE},
    {"max-age of nonsense", "Cache-Control: max-age=x", 0, 10, false, false, HTTP_USE_VALIDATE},
    {"min-fresh met", "Cache-Control: min-fresh=5", 5, 10, false, false, HTTP_USE_FRESH},
    {"min-fresh missed", "Cache-Control: min-fresh=6", 5, 10, false, false, HTTP_USE_VALIDATE},
    {"min-fresh of nonsense", "Cache-Control: min-fresh=x", 0, 10, false, false, HTTP_USE_VALIDATE},
    {"max-stale", "Cache-Control: max-stale", 9000, 10, false, false, HTTP_USE_STALE},
    {"max-stale on a fresh one", "Cache-Control: max-stale", 9, 10, false, false, HTTP_USE_FRESH},
    {"max-stale just enough", "Cache-Control: max-stale=5", 15, 10, false, false, HTTP_USE_STALE},
    {"max-stale not enough", "Cache-Control: max-stale=5", 16, 10, false, false, HTTP_USE_VALIDATE},
    {"max-stale of nonsense", "Cache-Control: max-stale=x", 10, 10, false, false,
     HTTP_USE_VALIDATE},
    {"max-stale, must-revalidate", "Cache-Control: max-stale", 15, 10, true, false,
     HTTP_USE_VALIDATE},
    {"max-stale and max-age", "Cache-Control: max-stale, max-age=12", 13, 10, false, false,
     HTTP_USE_VALIDATE},
};

static void uses_of_an_entry(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(uses); i++) {
        struct http_fields request = fields_of(uses[i].request);
        struct http_cache_control control;
        http_cache_control_parse(&request, true, &control);
        enum http_use got =
            http_may_use(uses[i].request != NULL ? &control : NULL, uses[i].age_s,
                         uses[i].lifetime_s, uses[i].must_revalidate, uses[i].always_revalidate);
        if (got != uses[i].want)
            fail_msg("%s: got %d", uses[i].name, (int)got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifetimes_in_their_order), cmocka_unit_test(stored_or_why_not),
        cmocka_unit_test(only_get_is_stored),       cmocka_unit_test(settings_of_the_operator),
        cmocka_unit_test(ages_on_arrival),          cmocka_unit_test(windows_after_the_lifetime),
        cmocka_unit_test(uses_of_an_entry),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
