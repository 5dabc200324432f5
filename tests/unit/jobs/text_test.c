/* text_test.c - ids, keys, and what clients see of a job. */
#include "jobs/jobs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *name, *id;
    bool want;
} ids[] = {
    {"letters and digits", "Job-01_x", true},
    {"a UUID", "0a7b6f9e-1111-4222-8333-abcdefabcdef", true},
    {"64 of them", "0123456789012345678901234567890123456789012345678901234567890123", true},
    {"65 of them", "01234567890123456789012345678901234567890123456789012345678901234", false},
    {"none", "", false},
    {"another key", "a:progress", false},
    {"a pattern", "a*", false},
    {"a hash tag", "{a}", false},
    {"a blank", "a b", false},
    {"a line", "a\nb", false},
};

static void ids_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        if (job_id_is_sane(str_of(ids[i].id)) != ids[i].want)
            fail_msg("%s", ids[i].name);
}

static const struct {
    const char *name;
    enum job_kind kind;
    const char *value, *want; /* NULL: refused */
    bool is_over;
} values[] = {
    {"half way", JOB_PROGRESS, "{\"progress\": 50}", "{\"progress\":50}", false},
    {"all of it", JOB_PROGRESS, "{\"progress\": 100}", "{\"progress\":100}", true},
    {"a stage that is the last", JOB_PROGRESS, "{\"progress\":3,\"stage\":\"Failed\"}",
     "{\"progress\":3,\"stage\":\"Failed\"}", true},
    {"a stage on the way", JOB_PROGRESS, "{\"stage\":\"training\"}", "{\"stage\":\"training\"}",
     false},
    {"a text for a number", JOB_PROGRESS, "{\"progress\":\"100\"}", "{\"progress\":\"100\"}",
     false},
    {"many lines are one", JOB_PROGRESS, "{\n \"message\": \"a\\nb\"\n}", "{\"message\":\"a\\nb\"}",
     false},
    {"no object", JOB_PROGRESS, "[1]", NULL, false},
    {"no JSON", JOB_PROGRESS, "50 %", NULL, false},
    {"nothing", JOB_PROGRESS, "", NULL, false},
    {"a task that runs", JOB_CELERY, "{\"status\":\"STARTED\"}", "{\"status\":\"STARTED\"}", false},
    {"a task that tries again", JOB_CELERY, "{\"status\":\"RETRY\"}", "{\"status\":\"RETRY\"}",
     false},
    {"a task that is done", JOB_CELERY, "{\"status\":\"SUCCESS\",\"result\":1}",
     "{\"status\":\"SUCCESS\",\"result\":1}", true},
    {"a task that failed", JOB_CELERY, "{\"status\":\"FAILURE\",\"traceback\":\"File x.py\"}",
     "{\"status\":\"FAILURE\"}", true},
    {"a task was called off", JOB_CELERY, "{\"status\":\"REVOKED\"}", "{\"status\":\"REVOKED\"}",
     true},
    {"a task's result is not its state", JOB_CELERY, "{\"status\":\"STARTED\",\"progress\":100}",
     "{\"status\":\"STARTED\",\"progress\":100}", false},
};

static void values_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct buf out = buf_new(4096);
        bool is_over;
        bool ok = job_show(values[i].kind, str_of(values[i].value), &out, &is_over);

        if (ok != (values[i].want != NULL) || is_over != values[i].is_over)
            fail_msg("%s: %d, over %d", values[i].name, ok, is_over);
        if (ok && !str_eq(buf_str(&out), str_of(values[i].want)))
            fail_msg("%s: %.*s", values[i].name, STR_ARG(buf_str(&out)));
        buf_free(&out);
    }
}

static void keys_are_the_applications_own(void **state)
{
    struct buf out = buf_new(128);

    (void)state;
    assert_true(job_write_key(JOB_PROGRESS, STR_NONE, STR("a1"), &out));
    assert_true(str_eq(buf_str(&out), STR("job:a1:progress")));
    buf_clear(&out);
    assert_true(job_write_key(JOB_CELERY, STR_NONE, STR("a1"), &out));
    assert_true(str_eq(buf_str(&out), STR("celery-task-meta-a1")));
    buf_clear(&out);
    assert_true(job_write_key(JOB_CELERY, STR("shop:"), STR("a1"), &out));
    assert_true(str_eq(buf_str(&out), STR("shop:celery-task-meta-a1")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_every_form),
        cmocka_unit_test(values_of_every_form),
        cmocka_unit_test(keys_are_the_applications_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
