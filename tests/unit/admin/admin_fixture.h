/* admin_fixture.h - what the tests of admin/ share: a gateway's shared things without its workers,
 * a configuration from text, questions and their answers as JSON.
 *
 * Entries get into the cache the way a request stores them. The clock is the loop's, which stands
 * still, because the loop is never run. */
#ifndef ADMIN_FIXTURE_H
#define ADMIN_FIXTURE_H
#include "admin/admin.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#define TEXT_MOST ((size_t)8 * 1024 * 1024)

/* "sesame" is acme's API key. */
#define ACME_KEY "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272"

#define CONFIG_TEXT(admin, rest)                                                                   \
    "{\"admin\":{\"listen\":\"127.0.0.1:0\"" admin "},"                                            \
    "\"tiers\":{\"free\":{\"per_minute\":100},\"premium\":{\"per_minute\":500}},"                  \
    "\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:9001\",\"http://127.0.0.1:9002\"]}},"   \
    "\"routes\":[{\"name\":\"products\",\"match\":{\"path\":\"/products/*\"},\"upstream\":\"u\","  \
    "\"cache\":{\"ttl\":\"5m\"},\"limit\":{\"per_minute\":5}},"                                    \
    "{\"name\":\"plain\",\"match\":{\"path\":\"/*\"},\"upstream\":\"u\"}]" rest "}"
#define OPEN_CONFIG   CONFIG_TEXT("", "")
#define TOKEN_CONFIG  CONFIG_TEXT(",\"token\":\"t0ken-of-the-test\"", "")
#define PUBLIC_CONFIG CONFIG_TEXT(",\"token\":\"t0ken-of-the-test\",\"public\":true", "")
#define TOKEN         "Bearer t0ken-of-the-test"

struct world {
    struct request_shared shared;
    struct loop *loop;
    struct admin *admin;
    struct request_rules *rules;
    struct arena *arena; /* of the last question */
    struct buf text;
    bool reload_is_sound;
    uint32_t workers;
    double utilization, lag_s;
};

static inline bool fake_reload(void *arg, struct buf *out)
{
    struct world *world = arg;

    buf_add_str(out, world->reload_is_sound ? STR("[]") : STR("[\"f:1:2: routes: is wrong\"]"));
    admin_count_reload(world->admin, world->reload_is_sound);
    return world->reload_is_sound;
}

static inline bool fake_load(void *arg, uint32_t worker, double *utilization, double *lag_s)
{
    struct world *world = arg;

    *utilization = world->utilization;
    *lag_s = world->lag_s;
    return worker < world->workers;
}

static inline struct config *config_of(const char *text)
{
    char path[] = "/tmp/admin_test_XXXXXX";
    char *const env[] = {NULL};
    int fd = mkstemp(path);
    struct faults *faults = faults_new();
    struct config *config;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    config = config_load(path, env, faults);
    unlink(path);
    if (config == NULL)
        fail_msg("configuration: %.*s", STR_ARG(faults_text(faults, 0)));
    faults_free(&faults);
    return config;
}

static inline struct world *world_new(const char *config_text)
{
    struct world *world = calloc(1, sizeof(*world));
    struct admin_hooks hooks = {.reload = fake_reload, .worker_load = fake_load, .arg = world};
    struct config *config = config_of(config_text);
    struct fail why = {""};

    assert_non_null(world);
    world->shared.seed = (struct hash_key){{1, 2}};
    world->shared.cache = cache_new(UINT64_C(16) << 20, UINT64_C(1) << 20, &world->shared.seed);
    world->shared.limiter = limiter_new(1000, &world->shared.seed);
    world->shared.upstreams = upstreams_new();
    world->shared.metrics = metrics_new();
    world->loop = loop_new(&why);
    assert_true(upstreams_adopt(world->shared.upstreams, config));
    world->rules = request_rules_new(config, &world->shared, &why);
    config_release(&config);
    assert_non_null(world->rules);
    world->arena = arena_new(16 * 1024, 512 * 1024);
    world->text = buf_new(TEXT_MOST);
    world->workers = 2;
    world->reload_is_sound = true;
    world->admin = admin_new(&world->shared, world->loop, &hooks);
    assert_non_null(world->admin);
    return world;
}

static inline void world_free(struct world *world)
{
    admin_free(&world->admin);
    request_rules_release(&world->rules);
    buf_free(&world->text);
    arena_free(&world->arena);
    loop_free(&world->loop);
    cache_free(&world->shared.cache);
    limiter_free(&world->shared.limiter);
    upstreams_free(&world->shared.upstreams);
    metrics_free(&world->shared.metrics);
    free(world);
}

/* For the group: audit lines are many. */
static inline int logs_off(void **state)
{
    struct log_options options = {"off", "off", false, LOG_INFO};
    struct fail why = {""};

    (void)state;
    return log_open(&options, &why) ? 0 : -1;
}

static inline int logs_end(void **state)
{
    (void)state;
    log_close();
    return 0;
}

/* ---- questions ---- */

struct ask {
    const char *method, *path, *query;
    const char *fields[8]; /* name, value, name, value … */
    const char *peer, *body;
    bool is_public;
};

/* The answer's slices live until the next question. */
static inline struct request_system question(struct world *world, const struct ask *ask)
{
    struct request_system q = {
        .method = str_of(ask->method != NULL ? ask->method : "GET"),
        .path = str_of(ask->path),
        .query = str_of(ask->query),
        .peer = str_of(ask->peer != NULL ? ask->peer : "127.0.0.1"),
        .body = str_of(ask->body),
        .request_id = STR("request-1"),
        .is_public = ask->is_public,
        .rules = world->rules,
        .loop = world->loop,
    };
    struct http_fields fields;

    arena_reset(world->arena);
    buf_clear(&world->text);
    q.arena = world->arena;
    q.text = world->text;
    assert_true(http_fields_init(&fields, world->arena, 8));
    q.fields = &fields;
    for (size_t i = 0; i + 1 < COUNT_OF(ask->fields) && ask->fields[i] != NULL; i += 2)
        assert_true(http_fields_add(&fields, str_of(ask->fields[i]), str_of(ask->fields[i + 1])));
    for (uint32_t i = 0; i < fields.count; i++)
        fields.at[i].id = http_name_of(fields.at[i].name);
    admin_answer(world->admin, &q);
    world->text = q.text;
    q.fields = NULL;
    return q;
}

/* The answer as JSON, which must be sound; the caller's to delete. */
static inline cJSON *json_of(struct world *world, const struct ask *ask, int status)
{
    struct request_system q = question(world, ask);
    cJSON *json;

    if (q.status != status)
        fail_msg("%s: status %d, want %d: %.*s", ask->path, q.status, status, STR_ARG(q.answer));
    assert_true(str_eq(q.content_type, STR("application/json")));
    json = cJSON_ParseWithLength(q.answer.ptr, q.answer.len);
    if (json == NULL)
        fail_msg("%s: no JSON: %.*s", ask->path, STR_ARG(q.answer));
    return json;
}

/* "a.b.0.c" */
static inline const cJSON *member(const cJSON *json, const char *path)
{
    struct str rest = str_of(path), name;
    char text[128];

    while (json != NULL && str_split(&rest, '.', &name)) {
        uint64_t index;

        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        json = cJSON_IsArray(json) && str_to_u64(name, &index)
                   ? cJSON_GetArrayItem(json, (int)index)
                   : cJSON_GetObjectItemCaseSensitive(json, text);
    }
    if (json == NULL)
        fail_msg("no member \"%s\"", path);
    return json;
}

static inline void assert_number(const cJSON *json, const char *path, double want)
{
    const cJSON *number = member(json, path);

    if (!cJSON_IsNumber(number) || number->valuedouble - want > 1e-6 ||
        want - number->valuedouble > 1e-6)
        fail_msg("%s: got %g, want %g", path, number->valuedouble, want);
}

static inline void assert_text(const cJSON *json, const char *path, const char *want)
{
    const char *text = cJSON_GetStringValue(member(json, path));

    if (text == NULL || strcmp(text, want) != 0)
        fail_msg("%s: got \"%s\", want \"%s\"", path, text != NULL ? text : "(no text)", want);
}

/* ---- entries ---- */

struct stored {
    const char *host, *target, *user, *tag, *vary, *header, *value;
    uint16_t port;
};

static inline void no_room(void *arg)
{
    (void)arg;
}

static inline struct http_fields fields_of(struct arena *arena, const char *name, const char *value)
{
    struct http_fields fields;

    assert_true(http_fields_init(&fields, arena, 4));
    if (name != NULL)
        assert_true(http_fields_add(&fields, str_of(name), str_of(value)));
    for (uint32_t i = 0; i < fields.count; i++)
        fields.at[i].id = http_name_of(fields.at[i].name);
    return fields;
}

static inline void store(struct world *world, const struct stored *what)
{
    struct arena *arena = arena_new(16 * 1024, 1 << 20);
    struct http_fields request = fields_of(arena, what->header, what->value);
    struct http_fields answer = fields_of(arena, what->vary != NULL ? "Vary" : NULL, what->vary);
    struct cache_key_parts parts = {
        .host = str_of(what->host != NULL ? what->host : "example.com"),
        .port = what->port,
        .target = str_of(what->target),
        .path = http_split_target(str_of(what->target)).path,
        .user = str_of(what->user != NULL ? what->user : ""),
        .route = &request_rules_config(world->rules)->routes[0],
        .request = &request,
    };
    struct cache_key key;
    struct http_verdict verdict = {.may_store = true,
                                   .why = "stored",
                                   .source = HTTP_LIFETIME_MAX_AGE,
                                   .lifetime_s = 60,
                                   .stale_if_unreachable_s = 7};
    struct str tag = str_of(what->tag);
    struct str_list tags = {&tag, what->tag != NULL ? 1 : 0};
    struct cache_intent intent = {.key = &key,
                                  .request = &request,
                                  .verdict = &verdict,
                                  .response_us = loop_now_us(world->loop),
                                  .route = STR("products"),
                                  .tags = &tags};
    struct fill_head head = {200, &answer, true, 5};
    struct fill *fill = fill_new(world->shared.cache, world->loop, no_room, NULL);

    assert_true(cache_key_build(world->shared.cache, &parts, arena, &key));
    intent.stamp = cache_stamp(world->shared.cache);
    assert_true(fill_begin(fill, &head, &intent));
    assert_true(fill_write(fill, STR("hello")));
    assert_true(fill_end(&fill));
    arena_free(&arena);
}

#endif
