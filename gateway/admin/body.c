/* body.c - the body of a question, where an endpoint takes one: a flat JSON object.
 *
 * The table names the members that may come, as it does for parameters, so a misspelt one is
 * told instead of ignored; and a body for an endpoint that takes none is refused. Values are
 * texts, numbers or booleans; nothing nests. Main thread. */
#include "admin/admin_priv.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static struct str trimmed(struct str body)
{
    static const char blanks[] = " \t\r\n";

    while (body.len > 0 && memchr(blanks, body.ptr[0], sizeof(blanks) - 1) != NULL)
        body = str_from(body, 1);
    while (body.len > 0 && memchr(blanks, body.ptr[body.len - 1], sizeof(blanks) - 1) != NULL)
        body.len--;
    return body;
}

static bool is_known(const struct call *call, struct str name)
{
    struct str rest = str_of(call->endpoint->members), word;

    while (str_split(&rest, ' ', &word))
        if (word.len > 0 && str_eq(word, name))
            return true;
    return false;
}

/* A member's value as text; ptr NULL: it is no plain value. */
static struct str text_of(const struct call *call, const cJSON *item)
{
    struct arena *arena = call->question->arena;

    if (cJSON_IsString(item))
        return arena_copy(arena, str_of(item->valuestring));
    if (cJSON_IsBool(item))
        return cJSON_IsTrue(item) ? STR("true") : STR("false");
    if (cJSON_IsNumber(item))
        return arena_printf(arena, "%.17g", item->valuedouble);
    return STR_NONE;
}

static bool read_one(struct call *call, const cJSON *item)
{
    struct parameter *next = &call->members[call->member_count];
    struct str name = str_of(item->string);

    if (!is_known(call, name)) {
        answer_refusal(call, 400, "body: there is no member \"%.*s\" here; there are: %s.",
                       name.len < 60 ? (int)name.len : 60, name.ptr, call->endpoint->members);
        return false;
    }
    if (body_member(call, item->string).ptr != NULL) {
        answer_refusal(call, 400, "body: %s is given more than once.", item->string);
        return false;
    }
    next->name = arena_copy(call->question->arena, name);
    next->value = text_of(call, item);
    if (next->name.ptr == NULL || next->value.ptr == NULL) {
        answer_refusal(call, 400, "body: %s must be a text, a number or a boolean.", item->string);
        return false;
    }
    call->member_count++;
    return true;
}

static bool read_members(struct call *call, struct str body)
{
    cJSON *json = cJSON_ParseWithLengthOpts(body.ptr, body.len, NULL, false);
    bool ok = cJSON_IsObject(json);

    if (!ok)
        answer_refusal(call, 400, "body: must be a JSON object.");
    for (const cJSON *item = ok ? json->child : NULL; item != NULL && ok; item = item->next) {
        /* names are known and come once each, so the table bounds how many there are */
        CHECK(call->member_count < ADMIN_MAX_PARAMETERS);
        ok = read_one(call, item);
    }
    cJSON_Delete(json);
    return ok;
}

bool members_read(struct call *call)
{
    struct str body = trimmed(call->question->body);

    if (body.len == 0 || str_eq(body, STR("{}")))
        return true;
    if (call->endpoint->members != NULL && strcmp(call->endpoint->members, "*") == 0)
        return true; /* it nests: the endpoint reads it */
    if (call->endpoint->members != NULL)
        return read_members(call, body);
    answer_refusal(call, 400, "body: this endpoint takes none; use parameters in the query.");
    return false;
}

struct str body_member(const struct call *call, const char *name)
{
    for (uint32_t i = 0; i < call->member_count; i++)
        if (str_eq(call->members[i].name, str_of(name)))
            return call->members[i].value;
    return STR_NONE;
}
