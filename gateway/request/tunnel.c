/* tunnel.c - a WebSocket's way through a request (RFC 6455 §4, RFC 9110 §7.8).
 *
 * It is a GET like any other until the upstream says 101: route, identity and limits have been
 * asked, and any other answer is passed on as it is. After 101 the same two buffers that carry
 * bodies carry the frames: up through the ring of a request's body, down through the fill, each
 * with its back-pressure. Nothing looks into the frames here.
 *
 * Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

bool tunnel_is_asked(const struct request *r)
{
    return r->route->websocket && r->facts.version == HTTP_1_1 && !r->facts.has_body &&
           str_eq(r->head.method, STR("GET")) &&
           http_fields_has_token(&r->head.fields, HTTP_CONNECTION, STR("upgrade")) &&
           http_fields_has_token(&r->head.fields, HTTP_UPGRADE, STR("websocket"));
}

bool tunnel_add_fields(struct http_fields *fields)
{
    return http_fields_add_id(fields, HTTP_CONNECTION, STR("Upgrade")) &&
           http_fields_add_id(fields, HTTP_UPGRADE, STR("websocket"));
}

enum step reply_tunnel(struct request *r, const struct fill_head *head)
{
    r->out.count = 0;
    r->answer = (struct request_answer){
        .status = 101, .fields = &r->out, .body = REQUEST_BODY_TUNNEL, .closes = true};
    if (!tunnel_add_fields(&r->out))
        return reply_out_of_memory(r);
    for (uint32_t i = 0; i < head->fields->count; i++)
        if (!http_fields_add_field(&r->out, &head->fields->at[i]))
            return reply_out_of_memory(r);
    if (!reply_common(r))
        return reply_out_of_memory(r);
    r->tunnel = metrics_series(r->context->sheet, M_WEBSOCKETS, 1, &r->cells->name);
    cell_gauge_add(r->tunnel, 1);
    return STEP_ANSWER;
}

void tunnel_finish(struct request *r)
{
    if (r->tunnel != NULL)
        cell_gauge_add(r->tunnel, -1);
    r->tunnel = NULL;
}

size_t request_tunnel_room(struct request *request)
{
    struct body_buffer *body = &request->body;
    size_t room = REQUEST_BODY_ROOM - body->len;

    if (room == 0) {
        body->writer_waits = true;
        request->is_waiting = true;
    }
    return room;
}

bool request_tunnel_is_drained(struct request *request)
{
    struct body_buffer *body = &request->body;

    if (body->len == 0 || body->discards || request->fetch.is_done)
        return true;
    body->writer_waits = true;
    request->is_waiting = true;
    return false;
}

void request_tunnel_write(struct request *request, struct str bytes)
{
    struct body_buffer *body = &request->body;
    size_t at, first;

    if (body->discards || request->fetch.is_done)
        return;
    if (body->bytes == NULL && (body->bytes = malloc(REQUEST_BODY_ROOM)) == NULL) {
        body->discards = true; /* the read callback gives up, and the tunnel ends */
    } else {
        CHECK(bytes.len <= REQUEST_BODY_ROOM - body->len);
        if (body->len == 0)
            body->start = 0; /* the same pages again */
        at = (body->start + body->len) % REQUEST_BODY_ROOM;
        first = REQUEST_BODY_ROOM - at < bytes.len ? REQUEST_BODY_ROOM - at : bytes.len;
        memcpy(body->bytes + at, bytes.ptr, first);
        memcpy(body->bytes, bytes.ptr + first, bytes.len - first);
        body->len += bytes.len;
        body->received += bytes.len;
    }
    if (body->reader_waits && request->fetch.exchange != NULL) {
        body->reader_waits = false;
        upstream_resume_body(request->fetch.exchange);
    }
}
