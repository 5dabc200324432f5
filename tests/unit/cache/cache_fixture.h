/* cache_fixture.h - what the tests of cache/ share: a cache, keys, stored answers.
 *
 * Times are passed in and begin at `START_US`. An answer is stored the way a request
 * stores it, by a fill without readers. */
#ifndef CACHE_FIXTURE_H
#define CACHE_FIXTURE_H
#include "cache/cache.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define START_US  UINT64_C(1000000000)
#define SECOND_US UINT64_C(1000000)

struct world {
    struct cache *cache;
    struct arena *arena;
    struct loop *loop;
};

/* One answer to store; zeros are defaults: example.com, 200, 60 s, no Vary. */
struct answer {
    const char *host, *target, *user, *vary, *header, *value; /* the request's header */
    const char *etag, *tag, *route, *body;
    const char *tag_field, *tag_value; /* "Cache-Tag", "a, b" */
    int64_t lifetime_s, stale_s;
    bool is_tls, must_revalidate, has_no_length;
    uint64_t stamp; /* 0: now */
    uint64_t fetch_us;
    size_t body_bytes; /* when body is NULL */
};

static inline struct world world_new(uint64_t memory, uint64_t max_object)
{
    struct hash_key seed = {{1, 2}};
    struct fail why;
    struct world world = {cache_new(memory, max_object, &seed), arena_new(1 << 16, 1 << 26),
                          loop_new(&why)};

    assert_non_null(world.cache);
    assert_non_null(world.arena);
    assert_non_null(world.loop);
    return world;
}

static inline void world_free(struct world *world)
{
    loop_free(&world->loop);
    cache_free(&world->cache);
    arena_free(&world->arena);
}

static inline struct http_fields fields_with(struct arena *arena, const char *name,
                                             const char *value)
{
    struct http_fields fields;

    assert_true(http_fields_init(&fields, arena, 4));
    if (name != NULL)
        assert_true(http_fields_add(&fields, str_of(name), str_of(value)));
    for (uint32_t i = 0; i < fields.count; i++)
        fields.at[i].id = http_name_of(fields.at[i].name);
    return fields;
}

static inline struct cache_key key_of(const struct world *world, const struct answer *answer)
{
    const char *target = answer->target != NULL ? answer->target : "/a";
    struct http_fields none = fields_with(world->arena, NULL, NULL);
    struct cache_key_parts parts = {
        .is_tls = answer->is_tls,
        .host = str_of(answer->host != NULL ? answer->host : "example.com"),
        .target = str_of(target),
        .path = http_split_target(str_of(target)).path,
        .user = str_of(answer->user != NULL ? answer->user : ""),
        .request = &none,
    };
    struct cache_key key;

    assert_true(cache_key_build(world->cache, &parts, world->arena, &key));
    return key;
}

static inline struct http_fields answer_fields(const struct world *world,
                                               const struct answer *answer)
{
    struct http_fields fields = fields_with(world->arena, "Content-Type", "text/plain");

    if (answer->vary != NULL)
        assert_true(http_fields_add_id(&fields, HTTP_VARY, str_of(answer->vary)));
    if (answer->etag != NULL)
        assert_true(http_fields_add_id(&fields, HTTP_ETAG, str_of(answer->etag)));
    if (answer->tag_field != NULL)
        assert_true(http_fields_add_id(&fields, http_name_of(str_of(answer->tag_field)),
                                       str_of(answer->tag_value)));
    assert_true(http_fields_add_id(&fields, HTTP_CONTENT_LENGTH, STR("1")));
    return fields;
}

/* Everything an intent points to. */
struct intent_parts {
    struct cache_key key;
    struct http_fields request, fields;
    struct http_verdict verdict;
    struct str tag;
    struct str_list tags;
    struct cache_intent intent;
};
static inline void intent_of(const struct world *world, const struct answer *answer,
                             struct intent_parts *p)
{
    *p = (struct intent_parts){
        .key = key_of(world, answer),
        .request = fields_with(world->arena, answer->header, answer->value),
        .fields = answer_fields(world, answer),
        .verdict = {.may_store = true,
                    .why = "stored",
                    .lifetime_s = answer->lifetime_s != 0 ? answer->lifetime_s : 60,
                    .stale_if_error_s = answer->stale_s,
                    .must_revalidate = answer->must_revalidate,
                    .date_s = 1},
        .tag = str_of(answer->tag),
    };
    if (answer->lifetime_s < 0)
        p->verdict.lifetime_s = 0;
    p->tags = (struct str_list){&p->tag, answer->tag != NULL ? 1 : 0};
    p->intent = (struct cache_intent){
        .key = &p->key,
        .request = &p->request,
        .verdict = &p->verdict,
        .stamp = answer->stamp != 0 ? answer->stamp : cache_stamp(world->cache),
        .response_us = START_US,
        .fetch_us = answer->fetch_us,
        .route = str_of(answer->route != NULL ? answer->route : "r"),
        .tags = &p->tags,
    };
}

static inline void no_room(void *arg)
{
    (void)arg;
}

static inline bool store(const struct world *world, const struct answer *answer)
{
    size_t len = answer->body != NULL ? strlen(answer->body) : answer->body_bytes;
    char *body = calloc(1, len + 1);
    struct intent_parts p;
    struct fill *fill = fill_new(world->cache, world->loop, no_room, NULL);
    struct fill_head head;

    assert_non_null(fill);
    intent_of(world, answer, &p);
    head = (struct fill_head){200, &p.fields, !answer->has_no_length, len};
    if (answer->body != NULL)
        memcpy(body, answer->body, len);
    assert_true(fill_begin(fill, &head, &p.intent));
    assert_true(fill_write(fill, str_at(body, len)));
    free(body);
    return fill_end(&fill);
}

static inline struct cache_entry *find(const struct world *world, const struct answer *answer,
                                       bool *vary_missed)
{
    struct cache_key key = key_of(world, answer);
    struct http_fields request = fields_with(world->arena, answer->header, answer->value);
    bool missed;

    return cache_find(world->cache, &key, &request, false, world->arena,
                      vary_missed != NULL ? vary_missed : &missed);
}

static inline bool has(const struct world *world, const struct answer *answer)
{
    struct cache_entry *entry = find(world, answer, NULL);
    bool is_there = entry != NULL;

    cache_entry_release(&entry);
    return is_there;
}

static inline void invalidate_url(struct cache *cache, struct str host, struct str url)
{
    cache_invalidate(cache, &(struct purge){.kind = PURGE_URL, .host = host, .text = url});
}

static inline void invalidate_glob(struct cache *cache, struct str host, struct str glob)
{
    cache_invalidate(cache, &(struct purge){.kind = PURGE_GLOB, .host = host, .text = glob});
}

static inline struct cache_counts counts_of(const struct world *world)
{
    struct cache_counts counts;

    cache_counts(world->cache, &counts);
    return counts;
}

#endif
