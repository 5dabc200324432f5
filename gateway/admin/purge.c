/* purge.c - the four ways to make the cache forget, and their dry runs.
 *
 * Each becomes one or two purges of the cache, added up. `deleted` counts variants that could
 * have been served until now. A bare user id may be a user's or a key's, so both are
 * purged: to forget too much is a miss, to forget too little an old answer.
 * Main thread: the cache walks in short steps. */
#include "admin/admin_priv.h"

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

static void run(struct call *call, const struct purge *purge, struct purge_result *sum)
{
    struct admin *admin = call->admin;
    struct cache_counts before, after;
    struct purge_result result;

    cache_counts(admin->shared->cache, &before);
    cache_purge(admin->shared->cache, purge, loop_now_us(admin->loop), call->question->arena,
                &result);
    cache_counts(admin->shared->cache, &after);
    if (!purge->dry_run && purge->soft)
        admin->soft_purged += result.matched;
    else if (!purge->dry_run)
        admin->hard_purged += after.invalidations - before.invalidations;
    add_result(sum, &result);
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

static void answer_purge(struct call *call, const struct purge *purge,
                         const struct purge_result *result)
{
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
    buf_addf(&call->question->text, "{\"deleted\":%" PRIu64 "%s}", result->matched,
             result->complete ? "" : ",\"complete\":false");
    answer_json(call, 200);
}

static void purge_once(struct call *call, const struct purge *purge)
{
    struct purge_result sum = {.complete = true, .is_done = true};

    run(call, purge, &sum);
    answer_purge(call, purge, &sum);
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
static void purge_user(struct call *call, struct purge *purge, struct purge_result *sum)
{
    struct str id = call->segment;
    struct str names[2];
    uint32_t count = 0;

    if (str_starts(id, STR("user:")))
        id = str_from(id, sizeof("user:") - 1);
    if (str_starts(id, STR("key:"))) {
        names[count++] = id;
    } else {
        names[count++] = arena_printf(call->question->arena, "user:%.*s", STR_ARG(id));
        names[count++] = arena_printf(call->question->arena, "key:%.*s", STR_ARG(id));
    }
    for (uint32_t i = 0; i < count; i++) {
        purge->text = names[i];
        if (purge->text.ptr == NULL)
            sum->is_done = false;
        else
            run(call, purge, sum);
    }
}

void delete_cache_user(struct call *call)
{
    struct purge purge = {.kind = PURGE_USER};
    struct purge_result sum = {.complete = true, .is_done = true};

    if (!read_common(call, &purge))
        return;
    purge_user(call, &purge, &sum);
    answer_purge(call, &purge, &sum);
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
