/* leave_test.c - the client leaves, in every state a request can be in.
 *
 * Each visit's memory is overwritten when it ends, and world_free() wants no request left. */
#include "request_fixture.h"

#define CONFIG                                                                                     \
    "{\"limits\":{\"enabled\":false},\"admin\":{\"token\":\"of the test\",\"public\":true},"       \
    "\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:%u\"],\"retry\":{\"attempts\":0}}},"    \
    "\"routes\":[{\"name\":\"cached\",\"match\":{\"path\":\"/cached/*\"},\"upstream\":\"u\","      \
    "\"cache\":{\"ttl\":\"1m\"}},"                                                                 \
    "{\"name\":\"all\",\"match\":{\"path\":\"/*\"},\"upstream\":\"u\"}]}"

static struct script_server server;

static const struct step silent[] = {{S_HEAD, NULL, 0}, {S_DRAIN, NULL, 0}};
static const struct step half[] = {
    {S_HEAD, NULL, 0},
    {S_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nhello", 0},
    {S_DRAIN, NULL, 0}};
static const struct step slow[] = {
    {S_HEAD, NULL, 0},
    {S_PAUSE, NULL, 100},
    {S_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nhello", 0},
    {S_PAUSE, NULL, 100},
    {S_SEND, "world", 0},
    {S_END, NULL, 0}};
static const struct step serve[] = {{S_SERVE, NULL, 0}};

static struct world *begin(const struct step *script)
{
    static const struct step *scripts[1];

    scripts[0] = script;
    server_start(&server, scripts, 1);
    return world_new(CONFIG, server.port);
}

static void end(struct world **world)
{
    world_free(*world);
    *world = NULL;
    server_stop(&server);
}

static void until_seen(struct world *world, const char *text)
{
    for (int i = 0; server_saw(&server, text) == 0 && i < 4000; i++) {
        settle(world);
        server_pause(1);
    }
    assert_true(server_saw(&server, text) > 0);
}

static void before_anything(void **state)
{
    struct world *world = begin(silent);
    struct visit *visit = visit_new(world, "GET /a HTTP/1.1", HOST);

    (void)state;
    visit_end(&visit, REQUEST_CLIENT_LEFT);
    end(&world);
}

static void while_the_head_is_awaited(void **state)
{
    static const char *const paths[] = {"GET /a HTTP/1.1", "GET /cached/a HTTP/1.1"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct world *world = begin(silent);
        struct visit *visit = visit_new(world, paths[i], HOST);

        assert_int_equal(request_run(visit->request), REQUEST_WAITS);
        until_seen(world, "GET /");
        visit_end(&visit, REQUEST_CLIENT_LEFT);
        end(&world);
    }
}

static void within_the_answers_body(void **state)
{
    struct world *world = begin(half);
    struct visit *visit = visit_new(world, "GET /a HTTP/1.1", HOST);

    (void)state;
    assert_int_equal(visit_run(visit)->status, 200);
    visit_end(&visit, REQUEST_CLIENT_LEFT);
    settle(world);
    assert_int_equal(request_context_live(world->context), 0); /* nobody stores it: it is cut */
    end(&world);
}

/* The answer is being stored, so the fetch goes on; request_context_abort() ends it. */
static void within_the_body_of_what_is_stored(void **state)
{
    struct world *world = begin(half);
    struct visit *visit = visit_new(world, "GET /cached/a HTTP/1.1", HOST);

    (void)state;
    assert_int_equal(visit_run(visit)->status, 200);
    visit_end(&visit, REQUEST_CLIENT_LEFT);
    settle(world);
    assert_int_equal(request_context_live(world->context), 1);
    request_context_abort(world->context);
    assert_int_equal(request_context_live(world->context), 0);
    end(&world);
}

static void the_first_of_two_who_want_the_same(void **state)
{
    struct world *world = begin(slow);
    struct visit *first = visit_new(world, "GET /cached/a HTTP/1.1", HOST);
    struct visit *second;

    (void)state;
    assert_int_equal(request_run(first->request), REQUEST_WAITS);
    second = visit_new(world, "GET /cached/a HTTP/1.1", HOST);
    assert_int_equal(request_run(second->request), REQUEST_WAITS);
    until_seen(world, "GET /cached/a");
    visit_end(&first, REQUEST_CLIENT_LEFT);
    visit_wait(second);
    assert_int_equal(visit_run(second)->status, 200);
    assert_true(visit_read(second));
    assert_int_equal(second->body_len, 10);
    assert_memory_equal(second->body, "helloworld", 10);
    assert_int_equal(server_saw(&server, "GET /"), 1);
    visit_end(&second, REQUEST_DONE);
    end(&world);
}

static void the_second_of_two_who_want_the_same(void **state)
{
    struct world *world = begin(slow);
    struct visit *first = visit_new(world, "GET /cached/a HTTP/1.1", HOST);
    struct visit *second;

    (void)state;
    assert_int_equal(request_run(first->request), REQUEST_WAITS);
    second = visit_new(world, "GET /cached/a HTTP/1.1", HOST);
    assert_int_equal(request_run(second->request), REQUEST_WAITS);
    visit_end(&second, REQUEST_CLIENT_LEFT);
    visit_wait(first);
    assert_int_equal(visit_run(first)->status, 200);
    assert_true(visit_read(first));
    assert_int_equal(first->body_len, 10);
    visit_end(&first, REQUEST_DONE);
    assert_int_equal(visit_whole(world, "GET /cached/a HTTP/1.1", HOST), 200);
    assert_int_equal(server_saw(&server, "GET /"), 1);
    end(&world);
}

static void both_of_two_who_want_the_same(void **state)
{
    struct world *world = begin(silent);
    struct visit *first = visit_new(world, "GET /cached/a HTTP/1.1", HOST);
    struct visit *second;

    (void)state;
    assert_int_equal(request_run(first->request), REQUEST_WAITS);
    second = visit_new(world, "GET /cached/a HTTP/1.1", HOST);
    assert_int_equal(request_run(second->request), REQUEST_WAITS);
    until_seen(world, "GET /");
    visit_end(&first, REQUEST_CLIENT_LEFT); /* the fetch goes on for the second */
    assert_int_equal(request_context_live(world->context), 2);
    visit_end(&second, REQUEST_CLIENT_LEFT);
    request_context_abort(world->context);
    end(&world);
}

static void within_its_own_body(void **state)
{
    static const char *const fields[] = {"Host: t", "Content-Length: 200000", NULL};
    static char bytes[100000];
    struct world *world = begin(silent);
    struct visit *visit = visit_new(world, "POST /a HTTP/1.1", fields);
    ptrdiff_t taken;

    (void)state;
    assert_int_equal(request_run(visit->request), REQUEST_WANTS_BODY);
    taken = request_body(visit->request, str_at(bytes, sizeof(bytes)));
    assert_true(taken > 0 && taken < (ptrdiff_t)sizeof(bytes)); /* full: it would be suspended */
    visit_end(&visit, REQUEST_CLIENT_LEFT);
    end(&world);
}

/* ---- a question for the admin room is on its way ---- */

static void while_the_admin_room_thinks(void **state)
{
    struct world *world = begin(serve);
    struct visit *visit = visit_new(world, "GET /system/health?a=b HTTP/1.1",
                                    (const char *const[]){"Host: t", "X-Word: kept", NULL});
    struct request_system *question;

    (void)state;
    assert_int_equal(request_run(visit->request), REQUEST_WAITS);
    question = world->question;
    assert_non_null(question);
    visit_end(&visit, REQUEST_CLIENT_LEFT);
    /* all that was asked is still there */
    assert_true(str_eq(question->method, STR("GET")));
    assert_true(str_eq(question->path, STR("/system/health")));
    assert_true(str_eq(question->query, STR("a=b")));
    assert_true(str_eq(question->peer, STR("192.0.2.77")));
    assert_true(str_eq(http_fields_find(question->fields, STR("x-word")), STR("kept")));
    assert_int_equal(request_context_live(world->context), 1);
    question->status = 200;
    request_system_done(question);
    assert_int_equal(request_context_live(world->context), 0);
    end(&world);
}

static void the_admin_rooms_answer(void **state)
{
    static const char *const fields[] = {"Host: t", "Content-Length: 4", NULL};
    struct world *world = begin(serve);
    struct visit *visit = visit_new(world, "POST /api/v1/system/purge HTTP/1.1", fields);

    (void)state;
    assert_int_equal(request_run(visit->request), REQUEST_WANTS_BODY);
    assert_int_equal(request_body(visit->request, STR("body")), 4);
    request_body_end(visit->request);
    assert_int_equal(request_run(visit->request), REQUEST_WAITS);
    assert_true(str_eq(world->question->path, STR("/system/purge")));
    assert_true(str_eq(world->question->body, STR("body")));
    assert_true(world->question->is_public);
    world->question->status = 200;
    world->question->content_type = STR("application/json");
    world->question->answer = STR("{}");
    request_system_done(world->question);
    assert_int_equal(visit->wakes, 1);
    assert_int_equal(visit_run(visit)->status, 200);
    assert_true(str_eq(visit_field(visit, "Cache-Control"), STR("no-store")));
    visit_end(&visit, REQUEST_DONE);
    end(&world);
}

static void a_question_too_large(void **state)
{
    static const char *const fields[] = {"Host: t", "Transfer-Encoding: chunked", NULL};
    static char bytes[300000];
    struct world *world = begin(serve);
    struct visit *visit = visit_new(world, "POST /system/purge HTTP/1.1", fields);

    (void)state;
    assert_int_equal(request_run(visit->request), REQUEST_WANTS_BODY);
    assert_int_equal(request_body(visit->request, str_at(bytes, sizeof(bytes))),
                     REQUEST_BODY_REFUSED);
    assert_int_equal(request_answer(visit->request)->status, 413);
    assert_true(request_answer(visit->request)->closes);
    visit_end(&visit, REQUEST_DONE);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_anything),
        cmocka_unit_test(while_the_head_is_awaited),
        cmocka_unit_test(within_the_answers_body),
        cmocka_unit_test(within_the_body_of_what_is_stored),
        cmocka_unit_test(the_first_of_two_who_want_the_same),
        cmocka_unit_test(the_second_of_two_who_want_the_same),
        cmocka_unit_test(both_of_two_who_want_the_same),
        cmocka_unit_test(within_its_own_body),
        cmocka_unit_test(while_the_admin_room_thinks),
        cmocka_unit_test(the_admin_rooms_answer),
        cmocka_unit_test(a_question_too_large),
    };

    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
