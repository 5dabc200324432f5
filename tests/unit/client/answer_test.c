/* answer_test.c - the collector of head lines, without a network. */
#include "client/answer_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

static const struct http_answer_limits limits = {8, 256};

static const struct {
    const char *name, *lines; /* each ended by LF */
    enum answer_step last;
    int status;
    const char *reason; /* NULL: not looked at */
} rows[] = {
    {"a head", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", ANSWER_HEAD, 200, NULL},
    {"no reason phrase", "HTTP/1.1 200\r\n\r\n", ANSWER_HEAD, 200, NULL},
    {"an interim", "HTTP/1.1 103 E\r\nLink: x\r\n\r\n", ANSWER_INTERIM, 103, NULL},
    {"a head after an interim", "HTTP/1.1 103 E\n\nHTTP/1.1 404 N\n\n", ANSWER_HEAD, 404, NULL},
    {"nothing before the blank line", "HTTP/1.1 200 OK\r\nA: b\r\n", ANSWER_MORE, 200, NULL},
    {"HTTP/1.2", "HTTP/1.2 200 OK\r\n", ANSWER_NONSENSE, 0, "bad_version"},
    {"HTTP/2", "HTTP/2 200\r\n", ANSWER_NONSENSE, 0, "bad_version"},
    {"lower case", "http/1.1 200 OK\r\n", ANSWER_NONSENSE, 0, "bad_version"},
    {"empty", "\r\n", ANSWER_NONSENSE, 0, "bad_version"},
    {"two digits", "HTTP/1.1 20 OK\r\n", ANSWER_NONSENSE, 0, "bad_status"},
    {"four digits", "HTTP/1.1 2000 OK\r\n", ANSWER_NONSENSE, 0, "bad_status"},
    {"101", "HTTP/1.1 101 S\r\n", ANSWER_NONSENSE, 101, "switching_protocols"},
    {"a line without colon", "HTTP/1.1 200 OK\r\nab\r\n", ANSWER_NONSENSE, 200, "bad_header_name"},
    {"a fold without a field", "HTTP/1.1 200 OK\r\n a\r\n", ANSWER_NONSENSE, 200,
     "bad_header_name"},
    {"blank in a name", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n", ANSWER_NONSENSE, 200,
     "bad_header_name"},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     ANSWER_NONSENSE, 200, "multi_cl"},
    {"nine fields", "HTTP/1.1 200 OK\nA:\nA:\nA:\nA:\nA:\nA:\nA:\nA:\nA:\n", ANSWER_TOO_LARGE, 200,
     "too_many_headers"},
    {"too many folds",
     "HTTP/1.1 200 OK\nA: 0123456789\n 0123456789012345678901234567890123456789\n"
     " 0123456789012345678901234567890123456789\n 0123456789012345678901234567890123456789\n"
     " 0123456789012345678901234567890123456789\n 0123456789012345678901234567890123456789\n"
     " 0123456789012345678901234567890123456789\n",
     ANSWER_TOO_LARGE, 200, "headers_too_large"},
};

static enum answer_step feed(struct answer *answer, const char *lines)
{
    struct str rest = str_of(lines), line;
    enum answer_step step = ANSWER_MORE;

    while (rest.len > 0 && step != ANSWER_NONSENSE && step != ANSWER_TOO_LARGE) {
        size_t len = str_find(rest, '\n') + 1;

        line = str_at(rest.ptr, len);
        rest = str_from(rest, len);
        step = answer_line(answer, line);
    }
    return step;
}

static void heads_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena *arena = arena_new(1024, answer_most_bytes(&limits));
        struct answer answer;
        enum answer_step step;

        assert_non_null(arena);
        answer_begin(&answer, arena, &limits);
        step = feed(&answer, rows[i].lines);
        if (step != rows[i].last || answer.status != rows[i].status ||
            (rows[i].reason != NULL && strcmp(rows[i].reason, answer.reason) != 0))
            fail_msg("%s: step %d, status %d, reason %s", rows[i].name, (int)step, answer.status,
                     answer.reason);
        arena_free(&arena);
    }
}

static void another_version_where_it_was_asked_for(void **state)
{
    static const struct {
        const char *lines;
        bool may_be;
        enum answer_step last;
    } heads[] = {
        {"HTTP/2 200 \nserver: x\n\n", true, ANSWER_HEAD},
        {"HTTP/2 204\n\n", true, ANSWER_HEAD},
        {"HTTP/1.1 200 OK\n\n", true, ANSWER_HEAD},
        {"HTTP/2 2000\n", true, ANSWER_NONSENSE},
        {"HTTP/2 20\n", true, ANSWER_NONSENSE},
        {"HTTP/3 200\n", true, ANSWER_NONSENSE},
        {"HTTP/2 200 \n", false, ANSWER_NONSENSE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        struct arena *arena = arena_new(1024, answer_most_bytes(&limits));
        struct answer answer;

        assert_non_null(arena);
        answer_begin(&answer, arena, &limits);
        answer.may_be_http2 = heads[i].may_be;
        if (feed(&answer, heads[i].lines) != heads[i].last)
            fail_msg("%s: status %d, reason %s", heads[i].lines, answer.status, answer.reason);
        arena_free(&arena);
    }
}

static void trailers_are_filtered(void **state)
{
    struct arena *arena = arena_new(1024, answer_most_bytes(&limits));
    struct answer answer;

    (void)state;
    assert_non_null(arena);
    answer_begin(&answer, arena, &limits);
    assert_int_equal(feed(&answer, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"), ANSWER_HEAD);
    assert_true(answer.facts.is_chunked);
    assert_int_equal(feed(&answer, "X-Sum: 1\nContent-Length: 1\nnonsense\nb c: d\n fold\n"),
                     ANSWER_MORE);
    assert_int_equal(answer.place, ANSWER_AT_TRAILERS);
    assert_int_equal(answer.fields.count, 1);
    assert_true(str_eq(answer.fields.at[0].name, STR("X-Sum")));
    arena_free(&arena);
}

static void interims_are_bounded(void **state)
{
    struct arena *arena = arena_new(1024, answer_most_bytes(&limits));
    struct answer answer;
    enum answer_step step = ANSWER_INTERIM;
    int count = 0;

    (void)state;
    assert_non_null(arena);
    answer_begin(&answer, arena, &limits);
    while (step == ANSWER_INTERIM && ++count < 100)
        step = feed(&answer, "HTTP/1.1 103 E\r\n\r\n");
    assert_int_equal(step, ANSWER_TOO_LARGE);
    assert_int_equal(count, ANSWER_MOST_INTERIMS + 1);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_every_form),
        cmocka_unit_test(another_version_where_it_was_asked_for),
        cmocka_unit_test(trailers_are_filtered),
        cmocka_unit_test(interims_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
