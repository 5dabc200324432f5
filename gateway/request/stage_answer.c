/* stage_answer.c - routes that answer by themselves: respond and redirect.
 *
 * Who asks is known and limited like anybody else. Worker's thread. */
#include "request/request_priv.h"

enum { FILLED_MOST = 128 * 1024 };

static struct str fill(struct request *r, struct str text)
{
    struct route_place place = {.host = r->facts.host, .uri = r->facts.origin_form};
    struct buf draft = buf_new(FILLED_MOST);
    struct str filled = route_fill(&r->match, text, place, &draft)
                            ? arena_copy(r->arena, buf_str(&draft))
                            : STR_NONE;

    buf_free(&draft);
    return filled;
}

static enum step redirect(struct request *r)
{
    struct str to = fill(r, r->route->redirect.to);
    enum step step;

    if (to.ptr == NULL)
        return reply_out_of_memory(r);
    /* "{uri}" of a request for //elsewhere would name another server (RFC 3986 §4.2) */
    if (str_starts(to, STR("//")) && !str_starts(r->route->redirect.to, STR("//")))
        return reply_problem(r, 400, "injection_blocked", "The target cannot be redirected safely.",
                             STR_NONE);
    step = reply_empty(r, (int)r->route->redirect.status);
    return reply_field(r, HTTP_LOCATION, to) ? step : reply_out_of_memory(r);
}

static enum step respond(struct request *r)
{
    const struct pair_list *headers = &r->route->respond.headers;
    struct str type = STR("text/plain; charset=utf-8"), body = fill(r, r->route->respond.body);
    int status = (int)r->route->respond.status;
    enum step step;

    if (body.ptr == NULL && r->route->respond.body.len > 0)
        return reply_out_of_memory(r);
    for (uint32_t i = 0; i < headers->count; i++)
        if (str_ieq(headers->at[i].name, STR("Content-Type")))
            type = headers->at[i].value;
    step = status == 204 || status == 304 || body.len == 0 ? reply_empty(r, status)
                                                           : reply_text(r, status, type, body);
    for (uint32_t i = 0; i < headers->count; i++)
        if (!str_ieq(headers->at[i].name, STR("Content-Type")) &&
            !http_fields_add(&r->out, headers->at[i].name, headers->at[i].value))
            return reply_out_of_memory(r);
    return step;
}

enum step stage_answer(struct request *r)
{
    if (r->route->respond.is_on)
        return respond(r);
    if (r->route->redirect.to.len > 0)
        return redirect(r);
    if (r->route->job.is_on)
        return stage_job(r);
    return STEP_NEXT;
}
