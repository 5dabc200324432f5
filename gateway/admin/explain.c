/* explain.c - GET /system/explain/{request_id}: why a recent request got what it got.
 *
 * The decision record as JSON: the route, the caller as logs name it, every window before and
 * after, what the cache made of it, the target and the times. Kept for about the last thousand
 * requests of each worker, longer for what failed, was refused or slow. Main thread. */
#include "admin/admin_priv.h"

void get_explain(struct call *call)
{
    struct request_record record;

    if (call->admin->shared->records == NULL ||
        !request_records_find(call->admin->shared->records, call->segment, &record)) {
        answer_refusal(call, 404, "No request of this id is remembered.");
        return;
    }
    request_record_write(&call->question->text, &record);
    answer_json(call, 200);
}
