/* events.c - GET /system/events: what happens, as server-sent events.
 *
 * Each follower is a fill that we write and its request reads, on whatever thread that is.
 * Rows are written when the ring's bell rings; a comment every quarter of a minute keeps
 * proxies between us from hanging up. Who does not read is dropped as soon as what a fill
 * may hold is full: nothing waits for a slow reader, and Last-Event-ID brings it back to
 * where it was, as far as the ring reaches. Without followers nobody listens and no timer
 * runs. Main thread. */
#include "admin/admin_priv.h"

#include <stdlib.h>

enum { MOST_STREAMS = 64, HEARTBEAT_US = 15 * 1000 * 1000 };

struct stream {
    struct stream *next, **back;
    struct admin *admin;
    struct fill *fill;
    uint64_t after; /* id of the last row written */
};

static void stream_free(struct stream *stream)
{
    struct streams *streams = &stream->admin->streams;

    *stream->back = stream->next;
    if (stream->next != NULL)
        stream->next->back = stream->back;
    if (--streams->count == 0) {
        events_listen(stream->admin->shared->events, NULL, NULL, NULL);
        deadline_clear(stream->admin->loop, &streams->heartbeat);
    }
    free(stream);
}

/* False: the reader is too slow, and was dropped. */
static bool stream_write(struct stream *stream, struct str text)
{
    if (fill_write(stream->fill, text))
        return true;
    stream->admin->streams.dropped++;
    fill_fail(&stream->fill);
    stream_free(stream);
    return false;
}

static void write_row(struct buf *out, const struct stream *stream, const struct event_row *row)
{
    if (row->id != stream->after + 1 && stream->after != 0)
        buf_add_str(out, STR(": events before this one are not kept any more\n\n"));
    buf_addf(out, "id: %" PRIu64 "\nevent: ", row->id);
    buf_add_str(out, event_kind_name(row->kind));
    buf_add_str(out, STR("\ndata: "));
    buf_add_str(out, str_at(row->text, row->len));
    buf_add_str(out, STR("\n\n"));
}

/* All that is new for this one, in one piece; false: it is gone. */
static bool stream_catch_up(struct stream *stream)
{
    struct buf text = buf_new(64 * 1024);
    uint64_t after = stream->after;
    struct event_row row;
    bool is_there = true;

    while (is_there && events_read(stream->admin->shared->events, &after, &row)) {
        write_row(&text, stream, &row);
        stream->after = after;
        if (text.len > text.max / 2) {
            is_there = stream_write(stream, buf_str(&text));
            buf_clear(&text);
        }
    }
    if (is_there && text.len > 0)
        is_there = stream_write(stream, buf_str(&text));
    buf_free(&text);
    return is_there;
}

static void on_rows(void *arg)
{
    struct admin *admin = arg;

    for (struct stream *stream = admin->streams.first, *next; stream != NULL; stream = next) {
        next = stream->next;
        (void)stream_catch_up(stream);
    }
}

static void on_heartbeat(void *arg)
{
    struct admin *admin = arg;

    for (struct stream *stream = admin->streams.first, *next; stream != NULL; stream = next) {
        next = stream->next;
        (void)stream_write(stream, STR(": heartbeat\n\n"));
    }
    if (admin->streams.count > 0)
        CHECK(deadline_set(admin->loop, &admin->streams.heartbeat,
                           loop_now_us(admin->loop) + HEARTBEAT_US));
}

/* The reader has room again, or has left. */
static void on_room(void *arg)
{
    struct stream *stream = arg;

    if (fill_readers(stream->fill) > 0)
        return;
    fill_fail(&stream->fill);
    stream_free(stream);
}

/* ---- the endpoint ---- */

static bool begin_head(struct stream *stream, struct arena *arena)
{
    struct http_fields fields;
    struct fill_head head = {.status = 200, .fields = &fields};

    return http_fields_init(&fields, arena, 4) &&
           http_fields_add_id(&fields, HTTP_CONTENT_TYPE, STR("text/event-stream")) &&
           http_fields_add_id(&fields, HTTP_CACHE_CONTROL, STR("no-store")) &&
           http_fields_add(&fields, STR("X-Accel-Buffering"), STR("no")) &&
           fill_begin(stream->fill, &head, NULL);
}

/* With its first followers the room begins to listen. */
static bool join(struct admin *admin, struct stream *stream)
{
    struct streams *streams = &admin->streams;

    if (streams->count == 0) {
        streams->heartbeat = (struct deadline){.fn = on_heartbeat, .arg = admin};
        if (!deadline_set(admin->loop, &streams->heartbeat,
                          loop_now_us(admin->loop) + HEARTBEAT_US))
            return false;
        events_listen(admin->shared->events, admin->loop, on_rows, admin);
    }
    streams->count++;
    stream->next = streams->first;
    stream->back = &streams->first;
    if (stream->next != NULL)
        stream->next->back = &stream->next;
    streams->first = stream;
    return true;
}

/* NULL: out of memory. */
static struct stream *stream_new(struct call *call)
{
    struct admin *admin = call->admin;
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL)
        return NULL;
    stream->admin = admin;
    stream->fill = fill_new(admin->shared->cache, admin->loop, on_room, stream);
    if (stream->fill != NULL && begin_head(stream, call->question->arena) &&
        request_system_stream(call->question, stream->fill) && join(admin, stream))
        return stream;
    fill_detach(&call->question->stream);
    fill_fail(&stream->fill);
    free(stream);
    return NULL;
}

/* Where it was, or from now on. An id from the future is of a clock that was set back. */
static uint64_t first_after(const struct call *call)
{
    struct str last = http_fields_find(call->question->fields, STR("Last-Event-ID"));
    uint64_t newest = events_newest(call->admin->shared->events), id;

    return last.len > 0 && str_to_u64(last, &id) && id < newest ? id : newest;
}

void get_events(struct call *call)
{
    struct admin *admin = call->admin;
    struct stream *stream;

    if (admin->shared->is_draining || admin->shared->events == NULL ||
        admin->streams.count >= MOST_STREAMS) {
        answer_refusal(call, 503,
                       admin->shared->is_draining
                           ? "The gateway drains."
                           : "As many as can be served follow the events already.");
        return;
    }
    stream = stream_new(call);
    if (stream == NULL) {
        answer_refusal(call, 503, "There is not enough memory for a stream.");
        return;
    }
    stream->after = first_after(call);
    if (stream_write(stream, STR("retry: 2000\n\n"))) /* a head that waits for a body is no news */
        (void)stream_catch_up(stream);
}

void streams_end(struct admin *admin)
{
    for (struct stream *stream = admin->streams.first, *next; stream != NULL; stream = next) {
        next = stream->next;
        (void)fill_end(&stream->fill);
        stream_free(stream);
    }
}
