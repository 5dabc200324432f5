/* trace.c - the spans of one request: its own, and one for each try upstream.
 *
 * Ids are made when the head is there, because every hop has to be told its parent, sampled or not;
 * whether anything is written is known at the end: a sampled trace always, any other when the
 * request failed. Names of attributes are OpenTelemetry's (HTTP semantic conventions); what is not
 * in them begins with "gateway.". No header, query, credential or raw client address: what a span
 * may hold is what the access log may. A request that is not traced has no struct request_trace
 * and pays a look at a pointer. Worker's thread. */
#include "request/request_priv.h"

enum { PATH_MOST = 256 };

struct request_trace {
    struct trace_context context;
    uint64_t span;
};

/* ---- while it goes on ---- */

static struct str caller_of(const struct request *r)
{
    struct str value = http_fields_get(&r->head.fields, HTTP_TRACEPARENT);

    if (value.len == 0 || !http_traceparent_is_valid(value) ||
        http_fields_count_of(&r->head.fields, HTTP_TRACEPARENT) != 1)
        return STR_NONE;
    return value;
}

void trace_request(struct request *r)
{
    const struct trace_config *config = &r->config->trace;

    if (config->otlp.url.len == 0 || !trace_is_on(r->context->traces) || r->arrival.is_admin)
        return;
    r->trace = arena_zero(r->arena, sizeof(*r->trace)); /* without memory it is not traced */
    if (r->trace == NULL)
        return;
    r->trace->context = trace_begin(caller_of(r), config->sample);
    r->trace->span = trace_new_span();
}

struct str trace_parent(struct request *r)
{
    char *text = r->trace != NULL ? arena_take(r->arena, TRACE_PARENT_LEN) : NULL;

    if (text == NULL)
        return STR_NONE;
    trace_write_parent(text, &r->trace->context, r->trace->span);
    return str_at(text, TRACE_PARENT_LEN);
}

uint64_t trace_try(const struct request *r, char *traceparent)
{
    uint64_t span = r->trace != NULL ? trace_new_span() : 0;

    if (span != 0 && traceparent != NULL)
        trace_write_parent(traceparent, &r->trace->context, span);
    return span;
}

/* ---- at its end ---- */

bool trace_is_told(const struct request *r, bool has_failed, struct trace_context *context)
{
    struct str caller;

    if (r->trace != NULL) {
        *context = r->trace->context;
        return context->is_sampled || has_failed;
    }
    caller = caller_of(r); /* somebody else may trace */
    if (caller.len == 0)
        return false;
    *context = trace_begin(caller, 0);
    return context->is_sampled;
}

static struct str method_of(const struct request *r)
{
    struct str method = observe_method(r->head.method);

    return str_eq(method, STR("other")) ? STR("_OTHER") : method;
}

static struct str cut(struct str text, size_t most)
{
    return text.len > most ? str_at(text.ptr, most) : text;
}

/* error.type: the status, or the slug of what came in its place. */
static void put_error(struct request *r, struct trace_span *span, int status, const char *slug)
{
    if (slug != NULL)
        trace_put(span, "error.type", str_of(slug));
    else
        trace_put(span, "error.type", reply_number(r, (uint64_t)status));
}

static void write_server(struct request *r, const struct trace_span_head *head,
                         const struct request_end *end)
{
    struct str method = method_of(r), route = r->route != NULL ? r->route->match.path : STR_NONE;
    struct str name = arena_printf(r->arena, "%.*s%s%.*s",
                                   STR_ARG(str_eq(method, STR("_OTHER")) ? STR("HTTP") : method),
                                   route.len > 0 ? " " : "", STR_ARG(cut(route, 100)));
    struct trace_span *span = trace_open(r->context->traces, head, name);

    trace_put(span, "http.request.method", method);
    trace_put_number(span, "http.response.status_code", end->status);
    trace_put(span, "http.route", cut(route, 100));
    trace_put(span, "url.scheme", r->arrival.is_tls ? STR("https") : STR("http"));
    trace_put(span, "network.protocol.name", STR("http"));
    trace_put(span, "network.protocol.version",
              r->facts.version == HTTP_1_0 ? STR("1.0") : STR("1.1"));
    trace_put(span, "server.address", cut(r->facts.host, 100));
    trace_put_number(span, "http.response.body.size", (int64_t)end->bytes_out);
    trace_put(span, "gateway.route", r->cells->name);
    trace_put(span, "gateway.request_id", r->id);
    if (r->is_known)
        trace_put(span, "gateway.tier", r->who.caller.tier->name);
    if (r->cache.status != CACHE_OFF)
        trace_put(span, "gateway.cache", str_of(cache_status_name(r->cache.status)));
    if (r->reason != NULL)
        trace_put(span, "gateway.reason", str_of(r->reason));
    if (head->has_failed)
        put_error(r, span, end->status, r->reason);
    trace_put(span, "url.path", cut(r->path, PATH_MOST)); /* last: the longest */
    trace_close(r->context->traces, span);
}

static bool try_has_failed(const struct request_try *one)
{
    return one->ended_us > 0 && (one->kind != UPSTREAM_OK || one->status >= 400);
}

/* The query is left out: people put keys there. */
static void put_url(struct request *r, struct trace_span *span, const struct target_config *target)
{
    struct str path = cut(http_split_target(r->upstream_target).path, PATH_MOST);

    if (target->unix_path.len > 0) {
        trace_put(span, "server.address", target->unix_path);
        trace_put(span, "url.path", path);
        return;
    }
    trace_put(span, "server.address", target->host);
    trace_put_number(span, "server.port", target->port);
    trace_put(span, "url.full",
              arena_printf(r->arena, "%.*s%.*s", STR_ARG(target->url), STR_ARG(path)));
}

static void write_try(struct request *r, const struct request_try *one,
                      const struct trace_span_head *head)
{
    struct str method = method_of(r);
    struct trace_span *span =
        trace_open(r->context->traces, head, str_eq(method, STR("_OTHER")) ? STR("HTTP") : method);

    trace_put(span, "http.request.method", method);
    if (one->status > 0)
        trace_put_number(span, "http.response.status_code", one->status);
    if (one->number > 1)
        trace_put_number(span, "http.request.resend_count", one->number - 1);
    trace_put(span, "gateway.upstream", r->upstream->name);
    if (head->has_failed)
        put_error(r, span, one->status,
                  one->kind != UPSTREAM_OK ? upstream_kind_name(one->kind) : NULL);
    put_url(r, span, one->target);
    trace_close(r->context->traces, span);
}

void trace_finish(struct request *r, const struct request_end *end, bool has_failed)
{
    const struct request_trace *trace = r->trace;
    uint64_t began_us = r->arrival.started_us, ended_us = began_us + end->duration_us;
    int64_t wall_us = loop_wall_us(r->context->loop) - (int64_t)loop_now_us(r->context->loop);
    struct trace_span_head head;

    if (trace == NULL || (!trace->context.is_sampled && !has_failed))
        return;
    head = (struct trace_span_head){
        .context = trace->context,
        .id = trace->span,
        .parent = trace->context.parent,
        .start_us = wall_us + (int64_t)began_us,
        .duration_us = end->duration_us,
        .has_failed = has_failed,
    };
    write_server(r, &head, end);
    head.is_client = true;
    head.parent = trace->span;
    for (uint32_t i = 0; i < r->try_count; i++) {
        const struct request_try *one = &r->tries[i];
        uint64_t until_us = one->ended_us > 0 ? one->ended_us : ended_us;

        head.id = one->span;
        head.start_us = wall_us + (int64_t)one->started_us;
        head.duration_us = until_us > one->started_us ? until_us - one->started_us : 0;
        head.has_failed = try_has_failed(one);
        write_try(r, one, &head);
    }
}
