/* tracer.c - batches of spans to the collector, tries, and what is lost.
 *
 * Four times a second the workers' queues are looked into. What they hold becomes one request of
 * at most BATCH_SPANS spans; while it is under way, or waits to be tried again, no other is made:
 * queues fill up then and drop, so that a collector that is away costs no memory. As the protocol
 * asks, 429, 502, 503, 504 and lost connections are tried again, with pauses that double or last as
 * long as the collector says; any other answer is final. Main thread. */
#include "client/client.h"
#include "trace/trace_priv.h"

#include <stdlib.h>

#define LOOK_US        250000
#define ANSWER_US      5000000
#define CONNECT_MS     2000
#define PAUSE_LEAST_US 500000
#define PAUSE_MOST_US  30000000
enum {
    BATCH_SPANS = 512,
    BATCH_BYTES = 4 * 1024 * 1024, /* five times what a batch of full spans takes */
    ANSWER_BYTES = 64 * 1024,
    TRIES = 5 /* of one batch: about eight seconds */
};

struct tracer {
    struct loop *loop;
    struct client *client;
    struct trace_queue *queues;
    struct cell *sent, *dropped, *failed;
    char *url, *host, *authority, *path, *service; /* owned; url NULL: off */
    struct client_target target;
    struct deadline look, give_up;
    struct client_exchange *exchange;
    struct buf body, answer;
    size_t uploaded;
    uint32_t spans, tries; /* of the batch; spans 0: there is none */
    uint64_t pause_us, not_before_us;
    int status;
    int64_t retry_after_s; /* -1: the answer did not say */
    bool is_failing;       /* the last exchange came to nothing */
    char instance[37];
};

/* ---- the end of an exchange ---- */

static void look_at(struct tracer *tracer, uint64_t at_us)
{
    CHECK(deadline_set(tracer->loop, &tracer->look, at_us)); /* its place in the heap exists */
}

static void end_batch(struct tracer *tracer)
{
    tracer->spans = tracer->tries = 0;
    tracer->pause_us = tracer->not_before_us = 0;
    buf_clear(&tracer->body);
}

static void on_taken(struct tracer *tracer)
{
    uint64_t refused = otlp_rejected(buf_str(&tracer->answer));

    if (refused > tracer->spans)
        refused = tracer->spans;
    cell_add(tracer->sent, tracer->spans - refused);
    cell_add(tracer->failed, refused);
    if (tracer->is_failing)
        log_line(LOG_INFO, "trace.otlp: the collector takes spans again");
    tracer->is_failing = false;
    end_batch(tracer);
    look_at(tracer, loop_now_us(tracer->loop)); /* there may be more */
}

static bool is_final(const struct tracer *tracer)
{
    return tracer->tries >= TRIES ||
           (tracer->status != 0 && tracer->status != 429 && tracer->status != 502 &&
            tracer->status != 503 && tracer->status != 504);
}

static void on_lost(struct tracer *tracer, const char *why)
{
    if (!tracer->is_failing)
        log_line(LOG_WARN,
                 "trace.otlp: the collector does not take spans (%s, status %d); what "
                 "does not fit the queues is dropped",
                 why, tracer->status);
    tracer->is_failing = true;
    if (is_final(tracer)) {
        cell_add(tracer->failed, tracer->spans);
        end_batch(tracer);
        return;
    }
    tracer->pause_us = tracer->pause_us == 0 ? PAUSE_LEAST_US : tracer->pause_us * 2;
    if (tracer->retry_after_s >= 0)
        tracer->pause_us = (uint64_t)tracer->retry_after_s * 1000000;
    if (tracer->pause_us > PAUSE_MOST_US)
        tracer->pause_us = PAUSE_MOST_US;
    tracer->not_before_us = loop_now_us(tracer->loop) + tracer->pause_us;
}

static void end_exchange(struct tracer *tracer, const char *why)
{
    deadline_clear(tracer->loop, &tracer->give_up);
    if (why == NULL && tracer->status >= 200 && tracer->status < 300)
        on_taken(tracer);
    else
        on_lost(tracer, why != NULL ? why : "another status than 200");
}

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct tracer *tracer = arg;
    struct str after = http_fields_get(fields, HTTP_RETRY_AFTER);
    uint64_t seconds = 0;

    (void)facts;
    tracer->status = status;
    if (str_to_u64(after, &seconds))
        tracer->retry_after_s = seconds < 3600 ? (int64_t)seconds : 3600;
}

/* Over its ceiling the buffer is broken: then nothing is known of spans that were refused. */
static bool on_body(void *arg, struct str bytes)
{
    struct tracer *tracer = arg;

    (void)buf_add_str(&tracer->answer, bytes);
    return true;
}

static ptrdiff_t on_read(void *arg, char *to, size_t room)
{
    struct tracer *tracer = arg;
    size_t taken = buf_read(&tracer->body, &tracer->uploaded, to, room);

    return taken > 0 ? (ptrdiff_t)taken : CLIENT_READ_END;
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct tracer *tracer = arg;

    tracer->exchange = NULL;
    if (outcome != CLIENT_OK)
        tracer->status = 0;
    if (outcome == CLIENT_OK)
        reason = NULL;
    else if (reason == NULL)
        reason = "it could not be reached";
    end_exchange(tracer, reason);
}

static const struct client_handler handler = {
    .head = on_head, .body = on_body, .read = on_read, .done = on_done};

static void on_give_up(void *arg)
{
    struct tracer *tracer = arg;

    client_cancel(&tracer->exchange);
    tracer->status = 0;
    end_exchange(tracer, "it took too long");
}

/* ---- an exchange ---- */

static bool start(struct tracer *tracer, struct arena *arena)
{
    struct http_fields fields;
    struct client_request request = {
        .target = &tracer->target,
        .method = STR("POST"),
        .path = str_of(tracer->path),
        .host = str_of(tracer->authority),
        .fields = &fields,
        .body = CLIENT_BODY_SIZED,
        .body_length = tracer->body.len,
        .connect_timeout_ms = CONNECT_MS,
        .may_reuse = tracer->tries == 1,
    };

    if (arena == NULL || !http_fields_init(&fields, arena, 4) ||
        !http_fields_add_id(&fields, HTTP_CONTENT_TYPE, STR("application/json")) ||
        !http_fields_add_id(&fields, HTTP_USER_AGENT, STR("gateway/" GATEWAY_VERSION)))
        return false;
    tracer->exchange = client_start(tracer->client, &request, &handler, tracer);
    return tracer->exchange != NULL;
}

static void send_batch(struct tracer *tracer)
{
    struct arena *arena = arena_new(1024, 16 * 1024);
    uint64_t now_us = loop_now_us(tracer->loop);

    tracer->tries++;
    tracer->uploaded = 0;
    tracer->status = 0;
    tracer->retry_after_s = -1;
    buf_clear(&tracer->answer);
    if (!deadline_set(tracer->loop, &tracer->give_up, now_us + ANSWER_US) || !start(tracer, arena))
        end_exchange(tracer, "out of memory");
    arena_free(&arena);
}

/* ---- a batch ---- */

static struct otlp_source source_of(const struct tracer *tracer)
{
    return (struct otlp_source){str_of(tracer->service), str_of(GATEWAY_VERSION),
                                str_of(tracer->instance)};
}

/* One span of each queue in turn would be fairer; a queue is emptied within two batches. */
static void gather(struct tracer *tracer)
{
    struct otlp_source source = source_of(tracer);
    const struct trace_span *span;

    otlp_begin(&tracer->body, &source);
    for (struct trace_queue *queue = tracer->queues; queue != NULL; queue = queue->next)
        while (tracer->spans < BATCH_SPANS && (span = queue_oldest(queue)) != NULL) {
            otlp_span(&tracer->body, span, tracer->spans == 0);
            queue_forget(queue);
            tracer->spans++;
        }
    otlp_end(&tracer->body);
    if (tracer->spans > 0 && !tracer->body.is_broken)
        return;
    cell_add(tracer->failed, tracer->spans); /* out of memory */
    end_batch(tracer);
}

static bool has_spans(const struct tracer *tracer)
{
    for (const struct trace_queue *queue = tracer->queues; queue != NULL; queue = queue->next)
        if (!queue_is_empty(queue))
            return true;
    return false;
}

static void count_dropped(struct tracer *tracer)
{
    uint64_t dropped = 0, was = cell_count(tracer->dropped);

    for (const struct trace_queue *queue = tracer->queues; queue != NULL; queue = queue->next)
        dropped += atomic_load_explicit(&queue->dropped, memory_order_relaxed);
    if (dropped > was)
        cell_add(tracer->dropped, dropped - was);
}

static void on_look(void *arg)
{
    struct tracer *tracer = arg;
    uint64_t now_us = loop_now_us(tracer->loop);

    look_at(tracer, now_us + LOOK_US);
    count_dropped(tracer);
    if (tracer->exchange != NULL || now_us < tracer->not_before_us)
        return;
    if (tracer->spans == 0 && has_spans(tracer))
        gather(tracer);
    if (tracer->spans > 0)
        send_batch(tracer);
}

void tracer_flush(struct tracer *tracer)
{
    if (tracer->url != NULL)
        look_at(tracer, loop_now_us(tracer->loop));
}

bool tracer_is_idle(const struct tracer *tracer)
{
    return tracer->url == NULL || tracer->is_failing ||
           (tracer->exchange == NULL && tracer->spans == 0 && !has_spans(tracer));
}

/* ---- the collector ---- */

static void forget_collector(struct tracer *tracer)
{
    client_cancel(&tracer->exchange);
    deadline_clear(tracer->loop, &tracer->give_up);
    deadline_clear(tracer->loop, &tracer->look);
    cell_add(tracer->failed, tracer->spans);
    end_batch(tracer);
    free(tracer->url);
    free(tracer->host);
    free(tracer->authority);
    free(tracer->path);
    free(tracer->service);
    tracer->url = tracer->host = tracer->authority = tracer->path = tracer->service = NULL;
    tracer->is_failing = false;
}

static char *copy(struct str text)
{
    return strndup(text.len > 0 ? text.ptr : "", text.len);
}

static bool take_collector(struct tracer *tracer, const struct trace_config *config)
{
    const struct service_config *otlp = &config->otlp;
    struct str rest = str_from(otlp->url, otlp->is_https ? 8 : 7);
    bool has_path = !str_eq(otlp->path, STR("/"));

    tracer->host = copy(otlp->host);
    tracer->authority = copy(str_at(rest.ptr, str_find(rest, '/')));
    tracer->path = copy(has_path ? otlp->path : STR("/v1/traces"));
    tracer->service = copy(config->service);
    tracer->url = copy(otlp->url);
    if (tracer->url == NULL || tracer->host == NULL || tracer->authority == NULL ||
        tracer->path == NULL || tracer->service == NULL)
        return false;
    tracer->target = (struct client_target){.is_https = otlp->is_https,
                                            .host = str_of(tracer->host),
                                            .port = otlp->port,
                                            .keepalive = 1,
                                            .tls_verify = true};
    return true;
}

static bool is_same(const struct tracer *tracer, const struct trace_config *config)
{
    if (tracer->url == NULL)
        return config->otlp.url.len == 0;
    return str_eq(str_of(tracer->url), config->otlp.url) &&
           str_eq(str_of(tracer->service), config->service);
}

bool tracer_use(struct tracer *tracer, const struct config *config)
{
    bool is_whole = true;

    if (is_same(tracer, &config->trace))
        return true;
    forget_collector(tracer);
    if (config->trace.otlp.url.len == 0)
        return true;
    for (struct trace_queue *queue = tracer->queues; queue != NULL; queue = queue->next)
        is_whole = queue_provide(queue) && is_whole;
    if (!is_whole || !take_collector(tracer, &config->trace) ||
        !deadline_set(tracer->loop, &tracer->look, loop_now_us(tracer->loop) + LOOK_US)) {
        forget_collector(tracer);
        return false;
    }
    return true;
}

/* ---- building ---- */

struct trace_queue *tracer_join(struct tracer *tracer)
{
    struct trace_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL || (tracer->url != NULL && !queue_provide(queue))) {
        free(queue);
        return NULL;
    }
    queue->next = tracer->queues;
    tracer->queues = queue;
    return queue;
}

static struct cell *cell_of(struct sheet *sheet, const char *outcome)
{
    struct str name = str_of(outcome);

    return metrics_series(sheet, M_TRACE_SPANS, 1, &name);
}

struct tracer *tracer_new(struct loop *loop, struct sheet *sheet, struct fail *why)
{
    static const struct client_options options = {.keepalive = 1,
                                                  .idle_timeout_ms = 60000,
                                                  .max_headers = 100,
                                                  .max_header_bytes = 32 * 1024};
    struct tracer *tracer = calloc(1, sizeof(*tracer));

    if (tracer == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    tracer->loop = loop;
    tracer->sent = cell_of(sheet, "sent");
    tracer->dropped = cell_of(sheet, "dropped");
    tracer->failed = cell_of(sheet, "failed");
    tracer->look = (struct deadline){.fn = on_look, .arg = tracer};
    tracer->give_up = (struct deadline){.fn = on_give_up, .arg = tracer};
    tracer->body = buf_new(BATCH_BYTES);
    tracer->answer = buf_new(ANSWER_BYTES);
    uuid7_write(tracer->instance, loop_wall_us(loop));
    tracer->client = client_new(loop, &options, why);
    if (tracer->client == NULL)
        tracer_free(&tracer);
    return tracer;
}

void tracer_free(struct tracer **tracer)
{
    struct tracer *old = *tracer;
    struct trace_queue *next;

    *tracer = NULL;
    if (old == NULL)
        return;
    forget_collector(old);
    for (struct trace_queue *queue = old->queues; queue != NULL; queue = next) {
        next = queue->next;
        free(queue->spans);
        free(queue);
    }
    if (old->client != NULL)
        client_free(&old->client);
    buf_free(&old->body);
    buf_free(&old->answer);
    free(old);
}
