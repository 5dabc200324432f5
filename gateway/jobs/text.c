/* text.c - jobs as applications write them: keys, and what of a value clients see.
 *
 * A progress is {progress, message, stage, updated_at}; Celery's result is {status, result,
 * traceback, …}. A traceback tells strangers how the backend is made, so it stays inside.
 * Pure; any thread. */
#include "jobs/jobs.h"

#include <cjson/cJSON.h>

bool job_id_is_sane(struct str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = ascii_lower(id.ptr[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return id.len > 0 && id.len <= 64;
}

bool job_write_key(enum job_kind kind, struct str prefix, struct str id, struct buf *out)
{
    if (!buf_add_str(out, prefix))
        return false;
    switch (kind) {
    case JOB_PROGRESS:
        return buf_addf(out, "job:%.*s:progress", STR_ARG(id));
    case JOB_CELERY:
        return buf_addf(out, "celery-task-meta-%.*s", STR_ARG(id));
    }
    return false;
}

static bool is_one_of(const cJSON *item, const char *const *words)
{
    if (!cJSON_IsString(item))
        return false;
    for (; *words != NULL; words++)
        if (str_ieq(str_of(item->valuestring), str_of(*words)))
            return true;
    return false;
}

static bool is_over_now(enum job_kind kind, const cJSON *json)
{
    static const char *const ends[] = {"success",  "failure",   "revoked",  "completed",
                                       "complete", "done",      "finished", "failed",
                                       "error",    "cancelled", "canceled", NULL};
    const cJSON *progress = cJSON_GetObjectItemCaseSensitive(json, "progress");

    if (is_one_of(cJSON_GetObjectItemCaseSensitive(json, "status"), ends))
        return true;
    if (kind == JOB_CELERY)
        return false;
    return is_one_of(cJSON_GetObjectItemCaseSensitive(json, "stage"), ends) ||
           (cJSON_IsNumber(progress) && progress->valuedouble >= 100);
}

bool job_show(enum job_kind kind, struct str value, struct buf *out, bool *is_over)
{
    cJSON *json = cJSON_ParseWithLength(value.ptr, value.len);
    char *text = NULL;
    bool ok = false;

    *is_over = false;
    if (!cJSON_IsObject(json))
        goto done;
    *is_over = is_over_now(kind, json);
    if (kind == JOB_CELERY)
        cJSON_DeleteItemFromObjectCaseSensitive(json, "traceback");
    text = cJSON_PrintUnformatted(json);
    ok = text != NULL && buf_add_str(out, str_of(text));
done:
    cJSON_free(text);
    cJSON_Delete(json);
    return ok;
}
