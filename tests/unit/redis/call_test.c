/* call_test.c - commands against a scripted server: order, deadlines, cancelling, losses. */
#include "server_fixture.h"

struct world {
    struct loop *loop;
    struct scripted server;
    struct redis *redis;
};

static struct world *begin(const char *const *lines, const struct redis_options *options)
{
    static struct world world;
    struct fail why = {""};
    char url[96];

    world.loop = loop_new(&why);
    assert_non_null(world.loop);
    scripted_start(&world.server, world.loop, lines);
    snprintf(url, sizeof(url), "redis://%s", world.server.path);
    world.redis = connect_to(world.loop, url, options);
    return &world;
}

static void end(struct world *world)
{
    redis_free(&world->redis);
    scripted_stop(&world->server);
    loop_free(&world->loop);
}

static const struct redis_options plain = {.connect_ms = 20000, .stall_ms = 20000};

static void commands_of_a_turn_leave_in_one_write(void **state)
{
    static const char *const lines[] = {":1\r\n", "$-1\r\n", "+three\r\n", "END"};
    struct world *world = begin(lines, &plain);
    struct answer a = {.loop = world->loop}, b = a, c = {.loop = world->loop, .stops = true};
    uint32_t chunks = world->server.chunks;

    (void)state;
    assert_non_null(ask(world->redis, "a", 0, &a));
    assert_non_null(ask(world->redis, "b", 0, &b));
    assert_non_null(ask(world->redis, "c", 0, &c));
    assert_int_equal(redis_queue(world->redis), 3);
    run_loop(world->loop);
    assert_int_equal(world->server.chunks - chunks, 1);
    assert_int_equal(a.integer, 1);
    assert_int_equal(b.form, REDIS_NIL);
    assert_string_equal(c.text, "three");
    assert_int_equal(redis_queue(world->redis), 0);
    end(world);
}

static const uint8_t *late_note;
static char late_text[64];
static void take_late(void *arg, const uint8_t note[REDIS_NOTE_BYTES], enum redis_outcome outcome,
                      const struct redis_reply *reply)
{
    static uint8_t copy[REDIS_NOTE_BYTES];

    memcpy(copy, note, sizeof(copy));
    late_note = copy;
    if (reply == NULL) {
        assert_int_equal(outcome, REDIS_LOST);
        snprintf(late_text, sizeof(late_text), "none");
        loop_stop(arg);
        return;
    }
    assert_int_equal(outcome, REDIS_OK);
    snprintf(late_text, sizeof(late_text), "%.*s", STR_ARG(reply->text));
    loop_stop(arg);
}

static void a_late_reply_is_told_apart(void **state)
{
    static const char *const lines[] = {NULL, "END"};
    struct world *world = begin(lines, &plain);
    struct answer first = {.loop = world->loop, .stops = true}, second = first;
    struct str words[] = {STR("INCR"), STR("k")};
    struct redis_command command = {.words = words,
                                    .count = 2,
                                    .deadline_us = loop_now_us(world->loop) + 5000,
                                    .fn = take_answer,
                                    .arg = &first,
                                    .late = take_late,
                                    .late_arg = world->loop,
                                    .note = "who"};

    (void)state;
    assert_non_null(redis_send(world->redis, &command));
    run_loop(world->loop);
    assert_int_equal(first.outcome, REDIS_LATE);
    assert_non_null(ask(world->redis, "b", 0, &second));
    scripted_say(&world->server, "$3\r\nold\r\n");
    run_loop(world->loop);
    assert_string_equal(late_text, "old");
    assert_string_equal((const char *)late_note, "who");
    assert_int_equal(second.count, 0);
    scripted_say(&world->server, "$3\r\nnew\r\n");
    run_loop(world->loop);
    assert_string_equal(second.text, "new");
    assert_int_equal(first.count, 1);

    command.deadline_us = loop_now_us(world->loop) + 5000;
    assert_non_null(redis_send(world->redis, &command));
    run_loop(world->loop);
    assert_int_equal(first.count, 2);
    scripted_say(&world->server, "CLOSE");
    run_loop(world->loop);
    assert_string_equal(late_text, "none");
    assert_int_equal(first.count, 2);
    end(world);
}

static void a_cancelled_call_is_silent(void **state)
{
    static const char *const lines[] = {"+gone\r\n", "+kept\r\n", "END"};
    struct world *world = begin(lines, &plain);
    struct answer *gone = malloc(sizeof(*gone)), kept = {.loop = world->loop, .stops = true};
    struct redis_call *call;

    (void)state;
    call = ask(world->redis, "a", loop_now_us(world->loop) + 1000000, gone);
    assert_non_null(call);
    redis_cancel(&call);
    assert_null(call);
    free(gone); /* the sanitizer sees whoever still writes there */
    assert_non_null(ask(world->redis, "b", 0, &kept));
    run_loop(world->loop);
    assert_string_equal(kept.text, "kept");
    end(world);
}

static void a_lost_connection_ends_all_calls_once(void **state)
{
    static const char *const lines[] = {NULL, NULL, "CLOSE", "+back\r\n", "END"};
    struct world *world = begin(lines, &plain);
    struct answer answers[3] = {{0}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        answers[i] = (struct answer){.loop = world->loop, .stops = i == 2};
        assert_non_null(ask(world->redis, "x", 0, &answers[i]));
    }
    run_loop(world->loop);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].outcome, REDIS_LOST);
    }
    assert_false(redis_is_up(world->redis));
    assert_true(redis_why(world->redis)[0] != '\0');
    assert_null(ask(world->redis, "y", 0, &answers[0])); /* away: said at once */
    run_loop(world->loop);                               /* until it is up again */
    answers[0] = (struct answer){.loop = world->loop, .stops = true};
    assert_non_null(ask(world->redis, "z", 0, &answers[0]));
    run_loop(world->loop);
    assert_string_equal(answers[0].text, "back");
    assert_int_equal(world->server.connections, 2);
    end(world);
}

static void garbage_ends_the_connection(void **state)
{
    static const char *const lines[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "END"};
    struct world *world = begin(lines, &plain);
    struct answer answer = {.loop = world->loop, .stops = true};

    (void)state;
    assert_non_null(ask(world->redis, "x", 0, &answer));
    run_loop(world->loop);
    assert_int_equal(answer.outcome, REDIS_LOST);
    assert_true(str_has(str_of(redis_why(world->redis)), STR("protocol")));
    end(world);
}

static void half_a_reply_meets_the_deadline_then_the_stall(void **state)
{
    static const char *const lines[] = {"$99999999999999\r\nabc", "END"};
    struct redis_options options = {.connect_ms = 20000, .stall_ms = 50, .changed = stop_on_up};
    struct world *world;
    struct answer answer = {.stops = true};

    (void)state;
    options.changed = NULL;
    world = begin(lines, &options);
    answer.loop = world->loop;
    assert_non_null(ask(world->redis, "x", loop_now_us(world->loop) + 2000, &answer));
    run_loop(world->loop);
    assert_int_equal(answer.outcome, REDIS_LATE);
    run_loop(world->loop); /* ended for owing a reply, and up again */
    assert_int_equal(world->server.connections, 2);
    assert_int_equal(answer.count, 1);
    end(world);
}

static void three_misses_end_the_asking_until_probes_pass(void **state)
{
    static const char *const lines[] = {NULL, NULL, NULL, "END"};
    struct world *world = begin(lines, &plain);
    struct answer answer = {.loop = world->loop, .stops = true};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(redis_is_up(world->redis));
        assert_non_null(ask(world->redis, "x", loop_now_us(world->loop) + 1000000 / 4, &answer));
        run_loop(world->loop);
        assert_int_equal(answer.outcome, REDIS_LATE);
    }
    assert_false(redis_is_up(world->redis));
    assert_null(ask(world->redis, "x", 0, &answer));
    scripted_say(&world->server, "+late\r\n+late\r\n+late\r\n");
    run_loop(world->loop); /* the server answers the probes */
    assert_true(redis_is_up(world->redis));
    end(world);
}

static void scripts_go_by_hash_and_once_by_source(void **state)
{
    static const char *const lines[] = {"-NOSCRIPT No matching script.\r\n", ":1\r\n", ":2\r\n",
                                        "END"};
    struct redis_script script;
    struct str words[] = {STR("1"), STR("key"), STR("arg")};
    struct world *world = begin(lines, &plain);
    struct answer answer = {.loop = world->loop, .stops = true};
    struct redis_command command = {
        .words = words, .count = 3, .script = &script, .fn = take_answer, .arg = &answer};

    (void)state;
    redis_script_init(&script, STR("return 1"));
    assert_string_equal(script.sha1, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    for (int i = 1; i <= 2; i++) {
        assert_non_null(redis_send(world->redis, &command));
        run_loop(world->loop);
        assert_int_equal(answer.outcome, REDIS_OK);
        assert_int_equal(answer.integer, i);
    }
    assert_true(str_has(buf_str(&world->server.seen),
                        STR("*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$3\r\nkey\r\n")));
    end(world);
}

static void too_much_is_not_taken(void **state)
{
    static const char *const lines[] = {"END"};
    struct redis_options options = {.connect_ms = 20000, .max_calls = 2, .max_out_bytes = 1000};
    struct world *world = begin(lines, &options);
    struct answer answer = {.loop = world->loop};
    char large[2000] = {0};

    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    assert_null(ask(world->redis, large, 0, &answer));
    assert_non_null(ask(world->redis, "a", 0, &answer));
    assert_non_null(ask(world->redis, "b", 0, &answer));
    assert_null(ask(world->redis, "c", 0, &answer));
    end(world);
    assert_int_equal(answer.count, 0); /* ended: silent */
}

static void free_in_callback(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    struct world *world = arg;

    (void)outcome;
    redis_free(&world->redis);
    assert_int_equal(reply->integer, 7); /* borrowed until we return */
    loop_stop(world->loop);
}

static void a_client_may_end_in_its_own_callback(void **state)
{
    static const char *const lines[] = {":7\r\n", ":8\r\n", "END"};
    struct world *world = begin(lines, &plain);
    struct answer answer = {.loop = world->loop};
    struct str words[] = {STR("GET"), STR("k")};
    struct redis_command command = {
        .words = words, .count = 2, .fn = free_in_callback, .arg = world};

    (void)state;
    assert_non_null(redis_send(world->redis, &command));
    assert_non_null(ask(world->redis, "after", 0, &answer));
    run_loop(world->loop);
    assert_int_equal(answer.count, 0);
    end(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_a_turn_leave_in_one_write),
        cmocka_unit_test(a_late_reply_is_told_apart),
        cmocka_unit_test(a_cancelled_call_is_silent),
        cmocka_unit_test(a_lost_connection_ends_all_calls_once),
        cmocka_unit_test(garbage_ends_the_connection),
        cmocka_unit_test(half_a_reply_meets_the_deadline_then_the_stall),
        cmocka_unit_test(three_misses_end_the_asking_until_probes_pass),
        cmocka_unit_test(scripts_go_by_hash_and_once_by_source),
        cmocka_unit_test(too_much_is_not_taken),
        cmocka_unit_test(a_client_may_end_in_its_own_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
