/* problem.c - the body of an answer that the gateway itself gives.
 *
 * Always the same four members (contract: error, message, status, request_id), so
 * that one client-side function reads every refusal; RFC 9457's own members stand
 * beside them when the client asked for that format. Any thread. */
#include "http/message.h"

/* buf_add_json() with the member's name; `name` is written as it is. */
static bool add_member(struct buf *out, const char *name, struct str value)
{
    return buf_add_str(out, str_of(name)) && buf_add_json(out, value);
}

static bool add_problem_members(struct buf *out, const struct http_problem *problem)
{
    return add_member(out, "\"type\":", STR("about:blank")) &&
           add_member(out, ",\"title\":", str_of(http_reason(problem->status))) &&
           add_member(out, ",\"detail\":", problem->message) &&
           buf_add_str(out, STR(",\"instance\":\"/system/explain/")) &&
           buf_add_str(out, http_request_id_is_sane(problem->request_id) ? problem->request_id
                                                                         : STR("unknown")) &&
           buf_add_str(out, STR("\","));
}

bool http_problem_write(struct buf *out, const struct http_problem *problem, bool as_problem)
{
    struct str error = str_of(problem->error);

    if (error.len == 0)
        error = problem->status == 429 ? STR("Rate limit exceeded")
                                       : str_of(http_reason(problem->status));
    return buf_add_char(out, '{') && (!as_problem || add_problem_members(out, problem)) &&
           add_member(out, "\"error\":", error) &&
           add_member(out, ",\"message\":", problem->message) &&
           buf_add_str(out, STR(",\"status\":")) &&
           buf_add_u64(out, problem->status > 0 ? (uint64_t)problem->status : 0) &&
           add_member(out, ",\"request_id\":", problem->request_id) &&
           (problem->extra.len == 0 ||
            (buf_add_char(out, ',') && buf_add_str(out, problem->extra))) &&
           buf_add_char(out, '}');
}

/* "q=0", "q=0.000": not wanted (RFC 9110 §12.4.2). */
static bool is_zero_weight(struct str parameter)
{
    struct str value = str_from(parameter, 2);

    if (parameter.len < 3 || ascii_lower(parameter.ptr[0]) != 'q' || parameter.ptr[1] != '=')
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != '0' && !(value.ptr[i] == '.' && i == 1))
            return false;
    return true;
}

static bool names_problem(struct str media_range)
{
    struct str rest = media_range, part;
    bool is_wanted;

    if (!str_split(&rest, ';', &part))
        return false;
    is_wanted = str_ieq(str_trim(part), STR("application/problem+json"));
    while (is_wanted && str_split(&rest, ';', &part))
        is_wanted = !is_zero_weight(str_trim(part));
    return is_wanted;
}

bool http_accepts_problem(const struct http_fields *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        struct str rest = request->at[i].value, media_range;

        if (request->at[i].id != HTTP_ACCEPT)
            continue;
        while (http_list_next(&rest, &media_range))
            if (names_problem(media_range))
                return true;
    }
    return false;
}
