/* cache_test.c - the endpoints of the cache: stats, list, explanation, the four purges. */
#include "admin_fixture.h"

static void count(struct world *world, struct sheet *sheet, const char *route, const char *status,
                  uint64_t n)
{
    struct str values[] = {str_of(route), str_of(status)};

    (void)world;
    cell_add(metrics_series(sheet, M_CACHE_REQUESTS, 2, values), n);
}

static void stats_of_all_and_of_routes(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct sheet *sheet = metrics_sheet(world->shared.metrics);
    cJSON *json = json_of(world, &(struct ask){.path = "/system/cache/stats"}, 200);

    (void)state;
    assert_number(json, "hit_ratio", 0);
    cJSON_Delete(json);
    store(world, &(struct stored){.target = "/products/1"});
    count(world, sheet, "products", "hit", 5);
    count(world, sheet, "products", "stale", 1);
    count(world, sheet, "products", "miss", 1);
    count(world, sheet, "products", "expired", 1);
    count(world, sheet, "products", "revalidated", 2);
    count(world, sheet, "products", "bypass", 7);
    count(world, sheet, "gone", "hit", 10);
    json = json_of(world, &(struct ask){.path = "/system/cache/stats"}, 200);
    assert_true(cJSON_IsTrue(member(json, "enabled")));
    assert_number(json, "entries", 1);
    assert_true(member(json, "memory_bytes")->valuedouble > 0);
    assert_number(json, "memory_limit_bytes", 16 << 20);
    assert_number(json, "hits", 15);
    assert_number(json, "misses", 4);
    assert_number(json, "stale", 1);
    assert_number(json, "bypass", 7);
    assert_number(json, "hit_ratio", 0.8);
    assert_number(json, "evictions", 0);
    assert_number(json, "stores", 1);
    assert_number(json, "invalidations", 0);
    assert_number(json, "routes.products.hits", 5);
    assert_number(json, "routes.products.misses", 4);
    assert_number(json, "routes.products.hit_ratio", 0.6);
    assert_number(json, "routes.products.entries", 1);
    assert_null(cJSON_GetObjectItem(member(json, "routes"), "plain"));
    cJSON_Delete(json);
    world_free(world);
}

static void entries_come_page_by_page(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    char query[128] = "limit=2&pattern=/products/*";
    int seen = 0, pages = 0;
    cJSON *json;

    (void)state;
    for (int i = 0; i < 5; i++) {
        char target[32];

        snprintf(target, sizeof(target), "/products/%d", i);
        store(world, &(struct stored){.target = target, .tag = "p\"q"});
    }
    store(world, &(struct stored){.target = "/other"});
    for (bool is_last = false; !is_last; pages++) {
        const cJSON *next;

        json = json_of(world, &(struct ask){.path = "/system/cache/entries", .query = query}, 200);
        seen += cJSON_GetArraySize(member(json, "items"));
        assert_text(json, "items.0.tags.0", "p\"q");
        assert_number(json, "items.0.ttl", 60);
        assert_number(json, "items.0.age", 0);
        assert_number(json, "items.0.hits", 0);
        assert_number(json, "items.0.status", 200);
        assert_text(json, "items.0.route", "products");
        assert_true(member(json, "items.0.size")->valuedouble > 5);
        next = member(json, "next");
        is_last = cJSON_IsNull(next);
        if (!is_last)
            snprintf(query, sizeof(query), "limit=2&pattern=/products/*&cursor=%s",
                     next->valuestring);
        cJSON_Delete(json);
        assert_true(pages < 10);
    }
    assert_int_equal(seen, 5);
    assert_int_equal(pages, 3);
    json = json_of(
        world, &(struct ask){.path = "/system/cache/entries", .query = "host=other.example"}, 200);
    assert_int_equal(cJSON_GetArraySize(member(json, "items")), 0);
    cJSON_Delete(json);
    world_free(world);
}

static void an_entry_is_explained(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask ask = {.path = "/system/cache/entry", .query = "url=/products/1?x=1"};
    cJSON *json;

    (void)state;
    store(world, &(struct stored){.target = "/products/1?x=1", .tag = "p"});
    store(world, &(struct stored){.target = "/products/1?x=12"});
    store(world, &(struct stored){.target = "/products/1"});
    json = json_of(world, &ask, 200);
    assert_int_equal(cJSON_GetArraySize(member(json, "variants")), 1);
    assert_text(json, "url", "/products/1?x=1");
    assert_text(json, "variants.0.key", "example.com/products/1?x=1");
    assert_number(json, "variants.0.ttl", 60);
    assert_number(json, "variants.0.status", 200);
    assert_text(json, "variants.0.tags.0", "p");
    assert_text(json, "variants.0.stored.why", "max-age lets it live 60 s");
    assert_text(json, "variants.0.stored.lifetime_source", "max-age");
    assert_number(json, "variants.0.stored.lifetime", 60);
    assert_number(json, "variants.0.stored.stale_if_unreachable", 7);
    assert_number(json, "variants.0.stored.body_bytes", 5);
    cJSON_Delete(json);

    ask.query = "url=http://EXAMPLE.com:80/products/%31";
    json = json_of(world, &ask, 200);
    assert_int_equal(cJSON_GetArraySize(member(json, "variants")), 1);
    cJSON_Delete(json);
    ask.query = "url=other.example/products/1";
    assert_int_equal(question(world, &ask).status, 404);
    world_free(world);
}

static void an_entry_is_found_under_its_port(void **state)
{
    static const char *const urls[] = {"url=/products/1", "url=http://example.com:8080/products/1"};
    struct world *world = world_new(OPEN_CONFIG); /* listens on 8080, as nothing else is said */

    (void)state;
    store(world, &(struct stored){.target = "/products/1", .port = 8080});
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        cJSON *json =
            json_of(world, &(struct ask){.path = "/system/cache/entry", .query = urls[i]}, 200);

        assert_text(json, "variants.0.stored.why", "max-age lets it live 60 s");
        cJSON_Delete(json);
    }
    world_free(world);
}

static void variants_and_users_are_listed(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask ask = {.path = "/system/cache/entry", .query = "url=/products/1"};
    int explained = 0;
    cJSON *json;

    (void)state;
    store(world, &(struct stored){.target = "/products/1", .user = "key:acme"});
    store(world, &(struct stored){.target = "/products/1", .user = "key:other"});
    store(world, &(struct stored){.target = "/products/1",
                                  .vary = "Accept-Language",
                                  .header = "Accept-Language",
                                  .value = "de"});
    json = json_of(world, &ask, 200);
    assert_int_equal(cJSON_GetArraySize(member(json, "variants")), 3);
    for (int i = 0; i < 3; i++) {
        const cJSON *variant = cJSON_GetArrayItem(member(json, "variants"), i);

        explained += cJSON_IsObject(member(variant, "stored"));
    }
    assert_int_equal(explained, 3);
    cJSON_Delete(json);
    world_free(world);
}

/* ---- purges ---- */

static const struct {
    const char *name, *method, *path, *query;
    int deleted; /* of what fill_up() stores */
} purges[] = {
    {"everything", "DELETE", "/system/cache/clear", NULL, 7},
    {"of a host", "DELETE", "/system/cache/clear", "host=other.example", 1},
    {"pattern", "POST", "/system/cache/invalidate", "pattern=/products/*", 6},
    {"pattern with an escape", "POST", "/system/cache/invalidate", "pattern=%2Fproducts%2F%2A", 6},
    {"contains", "POST", "/system/cache/invalidate", "pattern=ducts", 6},
    {"pattern of a host", "POST", "/system/cache/invalidate",
     "pattern=/products/1&host=other.example:80", 1},
    {"pattern with a blank", "POST", "/system/cache/invalidate", "pattern=/products/a%20b", 1},
    {"url with a blank", "POST", "/system/cache/invalidate", "url=/products/a%20b", 1},
    {"url, all variants", "POST", "/system/cache/invalidate", "url=/products/1", 4},
    {"url with a host", "POST", "/system/cache/invalidate", "url=example.com/products/1", 3},
    {"url with a query", "POST", "/system/cache/invalidate", "url=/products/1?x=1%26y=2", 1},
    {"tag", "POST", "/system/cache/invalidate", "tag=blue", 1},
    {"nothing", "POST", "/system/cache/invalidate", "tag=red", 0},
    {"endpoint", "DELETE", "/system/cache/endpoint", "endpoint_pattern=/categories*", 1},
    {"bare user", "DELETE", "/system/cache/user/acme", NULL, 1},
    {"user as a key", "DELETE", "/system/cache/user/key:acme", NULL, 1},
    {"user as a user", "DELETE", "/system/cache/user/user:acme", NULL, 1},
    {"user encoded", "DELETE", "/system/cache/user/key%3Aacme", NULL, 1},
    {"another user", "DELETE", "/system/cache/user/acm", NULL, 0},
};
enum { FILLED = 7 };

static void fill_up(struct world *world)
{
    store(world, &(struct stored){.target = "/products/1"});
    store(world, &(struct stored){.target = "/products/1", .user = "key:acme"});
    store(world, &(struct stored){.target = "/products/1", .user = "user:acne"});
    store(world, &(struct stored){.target = "/products/1", .host = "other.example"});
    store(world, &(struct stored){.target = "/products/1?x=1&y=2"});
    store(world, &(struct stored){.target = "/products/a%20b"});
    store(world, &(struct stored){.target = "/categories", .tag = "blue"});
}

static uint64_t entries_of(struct world *world)
{
    struct cache_counts counts;

    cache_counts(world->shared.cache, &counts);
    return counts.entries;
}

static void check_purge(size_t row, bool is_dry)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask ask = {.method = purges[row].method, .path = purges[row].path};
    char query[256];
    cJSON *json;

    fill_up(world);
    snprintf(query, sizeof(query), "%s%s%s", purges[row].query != NULL ? purges[row].query : "",
             purges[row].query != NULL ? "&" : "", is_dry ? "dry_run=true" : "dry_run=false");
    ask.query = query;
    print_message("%s%s\n", purges[row].name, is_dry ? ", dry" : "");
    json = json_of(world, &ask, 200);
    if (is_dry) {
        assert_true(cJSON_IsTrue(member(json, "dry_run")));
        assert_number(json, "matched", purges[row].deleted);
        assert_true((member(json, "bytes")->valuedouble > 0) == (purges[row].deleted > 0));
        assert_int_equal(cJSON_GetArraySize(member(json, "sample")), purges[row].deleted);
        assert_int_equal(entries_of(world), FILLED);
    } else {
        assert_number(json, "deleted", purges[row].deleted);
        assert_int_equal(entries_of(world), FILLED - purges[row].deleted);
    }
    cJSON_Delete(json);
    world_free(world);
}

static void every_purge_and_its_dry_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(purges); i++) {
        check_purge(i, false);
        check_purge(i, true);
    }
}

static void a_soft_purge_makes_stale(void **state)
{
    struct world *world = world_new(OPEN_CONFIG);
    struct ask soft = {
        .method = "POST", .path = "/system/cache/invalidate", .query = "url=/categories&soft=true"};
    struct request_system q;
    cJSON *json;

    (void)state;
    fill_up(world);
    json = json_of(world, &soft, 200);
    assert_number(json, "deleted", 1);
    cJSON_Delete(json);
    assert_int_equal(entries_of(world), FILLED);
    json = json_of(world, &(struct ask){.path = "/system/cache/entry", .query = "url=/categories"},
                   200);
    assert_true(member(json, "variants.0.ttl")->valuedouble <= 0);
    assert_true(cJSON_IsFalse(member(json, "variants.0.is_fresh")));
    cJSON_Delete(json);
    json =
        json_of(world, &(struct ask){.method = "DELETE", .path = "/system/cache/user/acme"}, 200);
    cJSON_Delete(json);
    q = question(world, &(struct ask){.path = "/metrics"});
    assert_true(
        str_has(q.answer, STR("gateway_cache_invalidations_total{reason=\"soft_purge\"} 1\n")));
    assert_true(str_has(q.answer, STR("gateway_cache_invalidations_total{reason=\"purge\"} 1\n")));
    assert_true(str_has(q.answer, STR("gateway_cache_invalidations_total{reason=\"write\"} 0\n")));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_of_all_and_of_routes),
        cmocka_unit_test(entries_come_page_by_page),
        cmocka_unit_test(an_entry_is_explained),
        cmocka_unit_test(an_entry_is_found_under_its_port),
        cmocka_unit_test(variants_and_users_are_listed),
        cmocka_unit_test(every_purge_and_its_dry_run),
        cmocka_unit_test(a_soft_purge_makes_stale),
    };
    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
