/* purge.c - the four ways to make the cache forget, and their dry runs.
 *
 * Each becomes one or two purges of the cache, added up. `deleted` counts variants that could
 * have been served until now. A bare user id may be a user's or a key's, so both are
 * purged: to forget too much is a miss, to forget too little an old answer.
 * Main thread; the walks on a thread of the pool, in short steps. */
#include "admin/admin_priv.h"

#include <stdlib.h>

enum { GLOB_WALK_US = 250 * 1000 }; /* then the answer comes, and says that it is not complete */

/* What all four have in common. False: answered. */
static bool read_common(struct call *call, struct purge *purge)
{
    if (purge->kind == PURGE_GLOB)
        purge->walk_us = GLOB_WALK_US;
    return parameter_flag(call, "dry_run", &purge->dry_run) &&
           parameter_flag(call, "soft", &purge->soft) && parameter_host(call, &purge->host);
}

static void add_result(struct purge_result *sum, const struct purge_result *more)
{
    sum->matched += more->matched;
    sum->bytes += more->bytes;
    for (uint32_t i = 0; i < more->sample_count && sum->sample_count < COUNT_OF(sum->sample); i++)
        sum->sample[sum->sample_count++] = more->sample[i];
    sum->complete = sum->complete && more->complete;
    sum->is_done = sum->is_done && more->is_done;
}

/* What one call asks for, on its way through a thread of the pool. */
struct job {
    struct call *call;
    struct purge purges[2];
    uint32_t count;
    uint64_t now_us, invalidations; /* invalidations: entries that left meanwhile */
    struct arena *arena;            /* of the samples: the request's is another thread's */
    struct purge_result sum;
    bool is_shared; /* the other gateways were told: */
    uint32_t known, applied;
};

static void work(void *arg)
{
    struct job *job = arg;
    struct cache *cache = job->call->admin->shared->cache;
    struct cache_counts before, after;
    struct purge_result result;

    cache_counts(cache, &before);
    for (uint32_t i = 0; i < job->count; i++) {
        cache_purge(cache, &job->purges[i], job->now_us, job->arena, &result);
        add_result(&job->sum, &result);
    }
    cache_counts(cache, &after);
    job->invalidations = after.invalidations - before.invalidations;
}

static void answer_dry_run(struct call *call, const struct purge_result *result)
{
    struct buf *out = &call->question->text;

    buf_addf(out, "{\"dry_run\":true,\"matched\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sample\":[",
             result->matched, result->bytes);
    for (uint32_t i = 0; i < result->sample_count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_json(out, result->sample[i]);
    }
    buf_addf(out, "]%s}", result->complete ? "" : ",\"complete\":false");
    answer_json(call, 200);
}

static void answer_purge(struct call *call, const struct job *job)
{
    const struct purge *purge = &job->purges[0];
    const struct purge_result *result = &job->sum;

    if (!result->is_done) {
        answer_refusal(call, 503, "There is not enough memory to purge; nothing is certain.");
        return;
    }
    call->detail = arena_printf(call->question->arena, "%s=%" PRIu64 "%s",
                                purge->dry_run ? "matched" : "deleted", result->matched,
                                purge->soft ? " soft=true" : "");
    if (purge->dry_run) {
        answer_dry_run(call, result);
        return;
    }
    buf_addf(&call->question->text, "{\"deleted\":%" PRIu64 "%s", result->matched,
             result->complete ? "" : ",\"complete\":false");
    if (job->is_shared)
        buf_addf(&call->question->text,
                 ",\"gateways\":{\"known\":%" PRIu32 ",\"applied\":%" PRIu32 "}", job->known,
                 job->applied);
    buf_add_char(&call->question->text, '}');
    answer_json(call, 200);
}

static void tell(const struct job *job)
{
    static const char *const kinds[] = {[PURGE_ALL] = "all",
                                        [PURGE_URL] = "url",
                                        [PURGE_GLOB] = "pattern",
                                        [PURGE_TAG] = "tag",
                                        [PURGE_USER] = "user"};
    const struct purge *purge = &job->purges[0];
    struct loop *loop = job->call->admin->loop;
    struct events *events = job->call->admin->shared->events;
    struct buf members = buf_new(EVENT_BYTES);

    if (purge->dry_run || !events_wants(events, EVENT_INVALIDATION, loop_now_us(loop)))
        return;
    buf_addf(&members, "\"by\":\"operator\",\"kind\":\"%s\",\"soft\":%s,\"deleted\":%" PRIu64,
             kinds[purge->kind], purge->soft ? "true" : "false", job->sum.matched);
    if (purge->kind != PURGE_ALL && purge->kind != PURGE_USER && purge->text.len < 200) {
        buf_add_str(&members, STR(",\"text\":"));
        buf_add_json(&members, purge->text);
    }
    if (!members.is_broken)
        events_add(events, EVENT_INVALIDATION, loop_wall_us(loop), buf_str(&members));
    buf_free(&members);
}

static void finish(struct job *job)
{
    struct call *call = job->call;

    answer_purge(call, job);
    if (job->sum.is_done)
        tell(job);
    arena_free(&job->arena);
    free(job);
    if (call->is_pending)
        call_conclude(call);
}

static void told(void *arg, uint32_t known, uint32_t applied)
{
    struct job *job = arg;

    job->is_shared = true;
    job->known = known;
    job->applied = applied;
    finish(job);
}

/* True: the answer waits for the other gateways. */
static bool is_being_shared(struct job *job)
{
    const struct admin_hooks *hooks = &job->call->admin->hooks;

    if (hooks->share_purges == NULL || hooks->answered == NULL || job->purges[0].dry_run ||
        !job->sum.is_done || !hooks->share_purges(hooks->arg, job->purges, job->count, told, job))
        return false;
    job->call->is_pending = true;
    return true;
}

static void done(void *arg)
{
    struct job *job = arg;
    struct admin *admin = job->call->admin;

    if (!job->purges[0].dry_run && job->purges[0].soft)
        admin->soft_purged += job->sum.matched;
    else if (!job->purges[0].dry_run)
        admin->hard_purged += job->invalidations;
    if (!is_being_shared(job))
        finish(job);
}

/* One URL is a look into one bucket; what walks does so on a thread of the pool, so that health and
 * metrics are answered meanwhile. */
static void purge_all_of(struct call *call, const struct purge *purges, uint32_t count)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job != NULL)
        job->arena = arena_new(16 * 1024, 1 << 20);
    if (job == NULL || job->arena == NULL) {
        free(job);
        answer_refusal(call, 503, "There is not enough memory to purge.");
        return;
    }
    job->call = call;
    job->count = count;
    job->now_us = loop_now_us(call->admin->loop);
    job->sum = (struct purge_result){.complete = true, .is_done = true};
    memcpy(job->purges, purges, count * sizeof(*purges));
    if (purges[0].kind == PURGE_URL) {
        work(job);
        done(job);
        return;
    }
    call->is_pending = call->admin->hooks.answered != NULL;
    admin_work(call->admin, work, done, job);
}

static void purge_once(struct call *call, const struct purge *purge)
{
    purge_all_of(call, purge, 1);
}

void delete_cache(struct call *call)
{
    struct purge purge = {.kind = PURGE_ALL};

    if (read_common(call, &purge))
        purge_once(call, &purge);
}

void delete_cache_endpoint(struct call *call)
{
    struct purge purge = {.kind = PURGE_GLOB};

    if (!read_common(call, &purge) || !parameter_path(call, "endpoint_pattern", &purge.text))
        return;
    if (purge.text.ptr == NULL)
        answer_refusal(call, 400, "endpoint_pattern: is needed, for example /products/*.");
    else
        purge_once(call, &purge);
}

/* ---- by user ---- */

/* Entries of a caller carry its name: "key:acme", "user:42". The tag before it, "user:", may be
 * written too. */
void delete_cache_user(struct call *call)
{
    struct purge purge = {.kind = PURGE_USER}, purges[2];
    struct arena *arena = call->question->arena;
    struct str id = call->segment;

    if (!read_common(call, &purge))
        return;
    if (str_starts(id, STR("user:")))
        id = str_from(id, sizeof("user:") - 1);
    purges[0] = purges[1] = purge;
    purges[0].text = id;
    if (!str_starts(id, STR("key:"))) {
        purges[0].text = arena_printf(arena, "user:%.*s", STR_ARG(id));
        purges[1].text = arena_printf(arena, "key:%.*s", STR_ARG(id));
    }
    if (purges[0].text.ptr == NULL || (!str_starts(id, STR("key:")) && purges[1].text.ptr == NULL))
        answer_refusal(call, 503, "There is not enough memory to purge.");
    else
        purge_all_of(call, purges, str_starts(id, STR("key:")) ? 1 : 2);
}

/* ---- by pattern, URL or tag ---- */

/* False: answered. */
static bool read_what(struct call *call, struct purge *purge)
{
    struct str pattern = STR_NONE, url = STR_NONE, tag = parameter(call, "tag");
    int given = 0;

    if (!parameter_path(call, "pattern", &pattern) || !parameter_path(call, "url", &url))
        return false;
    given = (pattern.ptr != NULL) + (url.ptr != NULL) + (tag.ptr != NULL);
    if (given != 1) {
        answer_refusal(call, 400, "pattern, url, tag: exactly one of them is needed.");
        return false;
    }
    if (tag.ptr != NULL && tag.len == 0) {
        answer_refusal(call, 400, "tag: must not be empty.");
        return false;
    }
    if (url.ptr != NULL && str_find(url, '/') == url.len) {
        answer_refusal(call, 400, "url: must be /path?query, with the host in front if need be.");
        return false;
    }
    purge->kind = pattern.ptr != NULL ? PURGE_GLOB : url.ptr != NULL ? PURGE_URL : PURGE_TAG;
    purge->text = pattern.ptr != NULL ? pattern : url.ptr != NULL ? url : tag;
    return true;
}

void post_cache_invalidate(struct call *call)
{
    struct purge purge = {.kind = PURGE_GLOB};

    if (!read_common(call, &purge) || !read_what(call, &purge))
        return;
    if (purge.kind != PURGE_GLOB)
        purge.walk_us = 0;
    purge_once(call, &purge);
}
