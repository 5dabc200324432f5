/* health.c - is a target well? Asked every interval, by a request or a mere connection.
 *
 * So many bad checks in a row take a target out, so many good ones bring it back: one lost
 * packet is no illness, and one lucky answer no cure. A check uses a connection of its
 * own, because a kept one says nothing about whether the next client would get one. The
 * answer's status counts, and, where the settings name a text, whether the beginning of its body
 * holds it; else the body is not read. Intervals are spread, or all gateways would ask in step.
 *
 * Thread: the main thread's loop. */
#include "upstream/upstream_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_WITHIN_US = 500000, MOST_BODY = 65536 };

struct check {
    struct check *next;
    struct upstream_keeper *keeper;
    const struct upstream_config *upstream;
    struct group *group;
    struct target *target;
    uint32_t origin;
    struct client_target client_target;
    struct client_exchange *exchange;
    struct buf body; /* as far as it came, where a text is looked for */
    struct resolution *query;
    struct socket_address at[2]; /* of a tcp check: where it knocks, one of each family */
    uint32_t at_count, at_next;
    struct watch *watch;
    int fd; /* -1: none */
    bool is_overdue;
    struct deadline due, limit;
    struct fail host;
};

/* ---- the verdict ------------------------------------------------------- */

bool health_note(struct target *target, const struct upstream_config *upstream, bool is_good,
                 uint64_t now_us)
{
    bool is_unhealthy = atomic_load(&target->is_unhealthy);

    target->good = is_good ? target->good + 1 : 0;
    target->bad = is_good ? 0 : target->bad + 1;
    if (is_unhealthy ? target->good < upstream->health.healthy
                     : target->bad < upstream->health.unhealthy)
        return false;
    target_set_healthy(target, is_unhealthy, now_us);
    return true;
}

static void close_door(struct check *check)
{
    watch_stop(&check->watch);
    if (check->fd >= 0)
        close(check->fd);
    check->fd = -1;
}

static void stop(struct check *check)
{
    client_cancel(&check->exchange);
    buf_free(&check->body);
    loop_resolve_cancel(&check->query);
    close_door(check);
    deadline_clear(check->keeper->loop, &check->limit);
}

static void finish(struct check *check, bool is_good, const char *reason)
{
    const struct target *target = check->target;

    stop(check);
    if (check->is_overdue) /* else a timeout near the interval would leave out every other check */
        CHECK(deadline_set(check->keeper->loop, &check->due, loop_now_us(check->keeper->loop)));
    check->is_overdue = false;
    atomic_fetch_add(is_good ? &check->group->checks_good : &check->group->checks_bad, 1);
    if (!health_note(check->target, check->upstream, is_good, loop_now_us(check->keeper->loop)))
        return;
    log_line(is_good ? LOG_INFO : LOG_WARN, "upstream %.*s: target %.*s%s%.*s is %s (%s)",
             STR_ARG(check->upstream->name), STR_ARG(target->url),
             target->address.len > 0 ? " at " : "", STR_ARG(target->address),
             is_good ? "healthy again" : "unhealthy", reason);
    if (is_good)
        target_tell_return(check->keeper->upstreams, check->upstream, target, "checks");
    else
        target_tell(check->keeper->upstreams, check->upstream->name, target,
                    target_state_name(TARGET_UNHEALTHY), "checks", 0);
}

static void on_limit(void *arg)
{
    finish(arg, false, "timeout");
}

/* ---- by a request ------------------------------------------------------ */

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct check *check = arg;
    bool is_expected = false;
    char reason[24];

    (void)fields;
    (void)facts;
    for (uint32_t i = 0; i < check->upstream->health.expect_count; i++)
        is_expected = is_expected || check->upstream->health.expect[i] == status;
    if (is_expected && check->upstream->health.body.len > 0)
        return; /* it depends on the body */
    snprintf(reason, sizeof(reason), "status %d", status);
    finish(check, is_expected, reason);
}

static bool on_body(void *arg, struct str bytes)
{
    struct check *check = arg;
    size_t room = MOST_BODY - check->body.len;

    if (bytes.len > room)
        bytes.len = room;
    if (!buf_add_str(&check->body, bytes))
        finish(check, false, "memory");
    else if (str_has(buf_str(&check->body), check->upstream->health.body))
        finish(check, true, "body matches");
    else if (check->body.len >= MOST_BODY)
        finish(check, false, "body does not match");
    return true;
}

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    (void)arg;
    (void)to;
    (void)room;
    return CLIENT_READ_END;
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct check *check = arg;

    check->exchange = NULL; /* a head would have ended it before, or the text in its body */
    finish(check, false, outcome == CLIENT_OK ? "body does not match" : reason);
}

static const struct client_handler handler = {
    .head = on_head, .body = on_body, .read = on_read, .done = on_done};

static bool ask(struct check *check)
{
    const struct upstream_config *upstream = check->upstream;
    const struct target_config *target = &upstream->targets[check->origin];
    struct http_field agent = {.name = STR("User-Agent"), .value = STR("gateway-health-check")};
    struct http_fields fields = {.at = &agent, .count = 1, .room = 1};
    struct client_request request = {.target = &check->client_target,
                                     .method = STR("GET"),
                                     .path = upstream->health.path,
                                     .fields = &fields,
                                     .connect_timeout_ms = upstream->health.timeout_ms};

    fail_set(&check->host, "%.*s:%u", STR_ARG(target->host), (unsigned)target->port);
    request.host = upstream->host == HOST_NAME ? upstream->host_name : str_of(check->host.text);
    check->client_target = target_for_client(upstream, check->origin, check->target);
    check->client_target.keepalive = 0;
    check->body = buf_new(MOST_BODY);
    check->exchange = client_start(check->keeper->client, &request, &handler, check);
    return check->exchange != NULL;
}

/* ---- by a connection --------------------------------------------------- */

static void knock(struct check *check);

static void on_connected(void *arg, int fd, int ready)
{
    struct check *check = arg;
    socklen_t len = sizeof(int);
    int error = 0;

    (void)ready;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0)
        finish(check, true, "connected");
    else
        knock(check);
}

/* At the next address, if there is one. */
static void knock(struct check *check)
{
    while (check->at_next < check->at_count) {
        const struct socket_address *at = &check->at[check->at_next++];

        close_door(check);
        check->fd = socket(at->as.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (check->fd >= 0 &&
            (connect(check->fd, &at->as.any, at->len) == 0 || errno == EINPROGRESS)) {
            check->watch =
                watch_start(check->keeper->loop, check->fd, WATCH_WRITE, on_connected, check);
            if (check->watch == NULL)
                stop(check); /* says nothing of the target */
            return;
        }
    }
    finish(check, false, "not connected");
}

static void on_resolved(void *arg, const struct resolved *resolved)
{
    struct check *check = arg;

    check->query = NULL;
    check->at_next = 0;
    check->at_count = resolved->count < COUNT_OF(check->at) ? resolved->count : COUNT_OF(check->at);
    memcpy(check->at, resolved->at, check->at_count * sizeof(check->at[0]));
    knock(check);
}

static void knock_at_path(struct check *check, struct str path)
{
    struct socket_address *to = &check->at[0];

    *to = (struct socket_address){.len = sizeof(to->as.path)};
    check->at_next = 0;
    check->at_count = path.len < sizeof(to->as.path.sun_path) ? 1 : 0;
    to->as.path.sun_family = AF_UNIX;
    memcpy(to->as.path.sun_path, path.ptr, check->at_count > 0 ? path.len : 0);
    knock(check);
}

/* False: it could not even begin, which says nothing of the target. */
static bool go_and_knock(struct check *check)
{
    struct client_target target = target_for_client(check->upstream, check->origin, check->target);
    struct str host = target.address.len > 0 ? target.address : target.host;

    if (target.unix_path.len > 0) {
        knock_at_path(check, target.unix_path);
        return true;
    }
    check->query = loop_resolve(check->keeper->loop, host, target.port, on_resolved, check);
    return check->query != NULL;
}

/* ---- when ---------------------------------------------------------------- */

static void on_due(void *arg)
{
    struct check *check = arg;
    struct loop *loop = check->keeper->loop;
    uint64_t now_us = loop_now_us(loop);
    uint64_t interval_us = (uint64_t)check->upstream->health.interval_ms * 1000;

    /* up to a tenth earlier; into the place that it just left, before anything else takes that */
    CHECK(deadline_set(loop, &check->due,
                       now_us + interval_us - random_u64() % (interval_us / 10 + 1)));
    check->is_overdue = check->exchange != NULL || check->fd >= 0 || check->query != NULL;
    if (check->is_overdue) /* it begins when the one before has ended */
        return;
    if (atomic_load(&check->target->named->word) == TARGET_DOWN)
        return;
    if (!deadline_set(loop, &check->limit,
                      now_us + (uint64_t)check->upstream->health.timeout_ms * 1000))
        return;
    if (!(check->upstream->health.type == HEALTH_TCP ? go_and_knock(check) : ask(check)))
        stop(check);
}

static bool add(struct upstream_keeper *keeper, const struct upstream_config *upstream,
                const struct members *members, uint32_t place)
{
    struct check *check = calloc(1, sizeof(*check));
    uint64_t interval_us = (uint64_t)upstream->health.interval_ms * 1000;
    uint64_t within_us = interval_us < FIRST_WITHIN_US ? interval_us : FIRST_WITHIN_US;

    if (check == NULL)
        return false;
    *check = (struct check){.keeper = keeper,
                            .upstream = upstream,
                            .group = members->group,
                            .target = members->targets[place],
                            .origin = members->origins[place],
                            .fd = -1};
    check->due = (struct deadline){.fn = on_due, .arg = check};
    check->limit = (struct deadline){.fn = on_limit, .arg = check};
    check->next = keeper->checks;
    keeper->checks = check;
    return deadline_set(keeper->loop, &check->due,
                        loop_now_us(keeper->loop) + random_u64() % within_us);
}

static bool begin(struct upstream_keeper *keeper, const struct upstream_config *upstream)
{
    struct members members;
    bool is_whole = true;

    if (!registry_resolve(keeper->upstreams, upstream, &members))
        return false;
    for (uint32_t i = 0; i < members.count; i++) {
        if (upstream->health.is_on)
            is_whole = add(keeper, upstream, &members, i) && is_whole;
        else if (atomic_load(&members.targets[i]->is_unhealthy)) /* nobody would bring it back */
            target_set_healthy(members.targets[i], true, loop_now_us(keeper->loop));
    }
    members_clear(&members);
    return is_whole;
}

bool health_begin(struct upstream_keeper *keeper)
{
    bool is_whole = true;

    for (uint32_t i = 0; i < keeper->config->upstream_count; i++)
        is_whole = begin(keeper, &keeper->config->upstreams[i]) && is_whole;
    return is_whole;
}

void health_end(struct upstream_keeper *keeper)
{
    for (struct check *check = keeper->checks, *next; check != NULL; check = next) {
        next = check->next;
        stop(check);
        deadline_clear(keeper->loop, &check->due);
        free(check);
    }
    keeper->checks = NULL;
}
