/* context.c - what one worker keeps for its requests: the snapshot in use with its metric
 * cells, and spare requests, so that the usual one costs no allocation.
 *
 * Requests under way keep the snapshot they were born under; a snapshot's cells go with its
 * last request. Worker's thread, but for the rules' counted references. */
#include "request/request_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

struct request_rules *request_rules_new(struct config *config, const struct request_shared *shared,
                                        struct fail *why)
{
    struct request_rules *rules = calloc(1, sizeof(*rules));

    if (rules == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    atomic_init(&rules->references, 1);
    rules->config = config_hold(config);
    rules->routes = routes_new(config);
    rules->identify = identify_new(config, &shared->seed, shared->identify, why);
    if (rules->routes == NULL || rules->identify == NULL) {
        if (rules->routes == NULL)
            fail_set(why, "out of memory");
        request_rules_release(&rules);
    }
    return rules;
}

struct request_rules *request_rules_hold(struct request_rules *rules)
{
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

void request_rules_release(struct request_rules **rules)
{
    struct request_rules *old = *rules;

    *rules = NULL;
    if (old == NULL || atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) != 1)
        return;
    identify_free(&old->identify);
    routes_free(&old->routes);
    config_release(&old->config);
    free(old);
}

const struct config *request_rules_config(const struct request_rules *rules)
{
    return rules->config;
}

const struct identify *request_rules_identify(const struct request_rules *rules)
{
    return rules->identify;
}

const struct routes *request_rules_routes(const struct request_rules *rules)
{
    return rules->routes;
}

struct request_context *request_context_new(struct loop *loop, struct request_shared *shared,
                                            struct upstream_pool *pool, struct sheet *sheet)
{
    struct request_context *context = calloc(1, sizeof(*context));

    if (context == NULL)
        return NULL;
    context->loop = loop;
    context->shared = shared;
    context->pool = pool;
    context->sheet = sheet;
    context->line = buf_new(16 * 1024);
    context->text = buf_new(16 * 1024);
    context->in_flight = metrics_cell(sheet, M_REQUESTS_IN_FLIGHT);
    context->collapsed = metrics_cell(sheet, M_CACHE_COLLAPSED);
    context->decision = metrics_cell(sheet, M_RATE_LIMIT_DECISION);
    context->memory = identify_memory_new(shared->identify, loop);
    if (pool != NULL && shared->advise != NULL)
        context->observer = advise_join(shared->advise);
    if (pool != NULL && shared->tracer != NULL)
        context->traces = tracer_join(shared->tracer); /* without memory nothing is traced */
    if (context->memory == NULL ||
        (pool != NULL && shared->records != NULL && !records_join(shared->records, context)))
        request_context_free(&context);
    return context;
}

static void cells_free(struct route_cells *cells, uint32_t tiers)
{
    for (size_t i = 0; i < METHOD_LABELS; i++)
        free((void *)cells->requests[i]);
    free((void *)cells->limit_hits);
    free((void *)cells->limit_blocks);
    for (uint32_t i = 0; cells->policies != NULL && i < tiers * 2; i++)
        free((void *)(uintptr_t)cells->policies[i].ptr);
    free(cells->policies);
}

struct context_rules *context_rules_hold(struct context_rules *crules)
{
    crules->references++;
    return crules;
}

void context_rules_release(struct context_rules **crules)
{
    struct context_rules *old = *crules;

    *crules = NULL;
    if (old == NULL || --old->references > 0)
        return;
    for (uint32_t i = 0; old->routes != NULL && i <= old->config->route_count; i++)
        cells_free(&old->routes[i], old->config->tier_count);
    free(old->routes);
    request_rules_release(&old->rules);
    free(old);
}

void request_context_free(struct request_context **context)
{
    struct request_context *old = *context;

    *context = NULL;
    if (old == NULL)
        return;
    warm_abort(old);
    while (old->spares != NULL) {
        struct request *spare = old->spares;

        old->spares = spare->next_spare;
        arena_free(&spare->arena);
        free(spare);
    }
    mirrors_end(old);
    pictures_end(old);
    context_rules_release(&old->now);
    identify_memory_free(&old->memory);
    buf_free(&old->line);
    buf_free(&old->text);
    free(old);
}

static void cells_init(struct request_context *context, struct route_cells *cells, struct str name)
{
    cells->name = name;
    cells->duration = metrics_series(context->sheet, M_REQUEST_DURATION, 1, &name);
    cells->bytes = metrics_series(context->sheet, M_RESPONSE_BYTES, 1, &name);
}

void request_context_use(struct request_context *context, struct request_rules *rules)
{
    struct context_rules *crules = calloc(1, sizeof(*crules));
    const struct config *config = rules->config;

    CHECK(crules !=
          NULL); /* a reload without memory for a table of pointers cannot go on either way */
    crules->routes = calloc((size_t)config->route_count + 1, sizeof(*crules->routes));
    CHECK(crules->routes != NULL);
    crules->rules = request_rules_hold(rules);
    crules->config = config;
    crules->references = 1;
    crules->line_fields = line_fields(&config->log.fields);
    for (uint32_t i = 0; i < config->route_count; i++) {
        cells_init(context, &crules->routes[i], config->routes[i].name);
        if (context->observer != NULL && config->routes[i].cache.is_on)
            crules->routes[i].seen = advise_cells_of(context->observer, config->routes[i].name);
    }
    cells_init(context, &crules->routes[config->route_count], STR("none"));
    context_rules_release(&context->now);
    context->now = crules;
}

void request_context_use_jobs(struct request_context *context, struct jobs *jobs)
{
    context->jobs = jobs;
}

void request_context_use_pictures(struct request_context *context, struct picture_store *store)
{
    context->pictures.store = store;
}

void request_context_use_store(struct request_context *context, struct limit_store *store)
{
    context->store = store;
}

void request_context_use_level(struct request_context *context, struct cache_level *level)
{
    context->level = level;
}

const struct config *request_context_config(const struct request_context *context)
{
    return context->now->config;
}

struct sheet *request_context_sheet(const struct request_context *context)
{
    return context->sheet;
}

uint32_t request_context_live(const struct request_context *context)
{
    return context->live;
}

void request_context_abort(struct request_context *context)
{
    context->is_aborting = true;
    warm_abort(context);
    while (context->orphans != NULL)
        fetch_drop(context->orphans, FLIGHT_RETRY);
    mirrors_end(context);
}

struct route_cells *context_cells(struct context_rules *crules, const struct route_config *route)
{
    return &crules->routes[route != NULL ? route->index : crules->config->route_count];
}

static struct request *spare_or_new(struct request_context *context)
{
    struct request *r = context->spares;

    if (r != NULL) {
        struct arena *arena = r->arena;

        context->spares = r->next_spare;
        context->spare_count--;
        memset(r, 0, offsetof(struct request, match));
        r->arena = arena;
        return r;
    }
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->arena = arena_new(REQUEST_ARENA_BLOCK, REQUEST_ARENA_MAX);
    if (r->arena == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

struct request *request_new(struct request_context *context, const struct request_io *io,
                            void *io_arg)
{
    struct request *r = spare_or_new(context);

    if (r == NULL)
        return NULL;
    r->context = context;
    r->crules = context->now;
    r->crules->references++;
    r->config = r->crules->config;
    r->io = io;
    r->io_arg = io_arg;
    r->references = 1;
    r->arrival.started_us = loop_now_us(context->loop); /* its head may never come whole */
    r->cells = context_cells(r->crules, NULL);
    if (!http_fields_init(&r->head.fields, r->arena, 32) ||
        !http_fields_init(&r->out, r->arena, 32)) {
        request_release(r);
        return NULL;
    }
    context->live++;
    if (context->pool != NULL) { /* the admin listener's are not the clients' */
        atomic_fetch_add_explicit(&context->shared->in_flight, 1, memory_order_relaxed);
        cell_gauge_add(context->in_flight, 1);
    }
    return r;
}

struct request *request_new_without_client(const struct request *other)
{
    struct request_context *context = other->context;
    struct request *r = spare_or_new(context);

    if (r == NULL)
        return NULL;
    r->context = context;
    r->crules = other->crules;
    r->crules->references++;
    r->config = other->config;
    r->references = 1;
    r->is_finished = true;
    context->live++;
    if (http_fields_init(&r->head.fields, r->arena, 32) && http_fields_init(&r->out, r->arena, 0))
        return r;
    request_release(r);
    return NULL;
}

void request_hold(struct request *r)
{
    r->references++;
}

void request_release(struct request *r)
{
    struct request_context *context = r->context;

    if (--r->references > 0)
        return;
    cache_entry_release(&r->cache.entry);
    cache_entry_release(&r->cache.part);
    free(r->body.bytes);
    collect_release(r);
    buf_free(&r->system.text);
    if (r->fetch.is_refresh)
        refresh_ended(r);
    context_rules_release(&r->crules);
    if (r->is_finished)
        context->live--;
    if (context->spare_count >= REQUEST_SPARES) {
        arena_free(&r->arena);
        free(r);
        return;
    }
    arena_reset(r->arena);
    r->next_spare = context->spares;
    context->spares = r;
    context->spare_count++;
}

void request_wake(struct request *r)
{
    if (r->is_finished || !r->is_waiting)
        return;
    r->is_waiting = false;
    r->io->wake(r->io_arg);
}

/* The head's text lives in the connection, which goes: what outlives it moves to the arena. */
bool request_keep_head(struct request *r)
{
    struct http_fields *fields = &r->head.fields;

    r->head.method = arena_copy(r->arena, r->head.method);
    r->upstream_target = arena_copy(r->arena, r->upstream_target);
    r->facts.host = arena_copy(r->arena, r->facts.host);
    r->facts.authority = arena_copy(r->arena, r->facts.authority);
    r->facts.origin_form = arena_copy(r->arena, r->facts.origin_form);
    r->target = http_split_target(r->facts.origin_form);
    r->path = arena_copy(r->arena, r->path);
    r->id = arena_copy(r->arena, r->id);
    for (uint32_t i = 0; i < fields->count; i++) {
        fields->at[i].name = arena_copy(r->arena, fields->at[i].name);
        fields->at[i].value = arena_copy(r->arena, fields->at[i].value);
        if (fields->at[i].name.ptr == NULL || fields->at[i].value.ptr == NULL)
            return false;
    }
    return r->head.method.ptr != NULL && r->upstream_target.ptr != NULL &&
           r->facts.origin_form.ptr != NULL && r->path.ptr != NULL && r->id.ptr != NULL;
}
