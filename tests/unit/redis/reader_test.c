/* reader_test.c - bytes to replies, whole, in pieces, hostile; errors to outcomes. */
#include "redis/redis_priv.h"

#include <setjmp.h>

#include <cmocka.h>

static void write_reply(struct buf *out, const struct redis_reply *reply)
{
    switch (reply->form) {
    case REDIS_NIL:
        buf_addf(out, "nil");
        return;
    case REDIS_INTEGER:
        buf_addf(out, "%" PRId64, reply->integer);
        return;
    case REDIS_STRING:
        buf_addf(out, "'%.*s'", STR_ARG(reply->text));
        return;
    case REDIS_STATUS:
        buf_addf(out, "+%.*s", STR_ARG(reply->text));
        return;
    case REDIS_FAULT:
        buf_addf(out, "-%.*s", STR_ARG(reply->text));
        return;
    case REDIS_ARRAY:
        buf_addf(out, "[");
        for (size_t i = 0; i < reply->count; i++) {
            write_reply(out, reply->items[i]);
            buf_addf(out, ",");
        }
        buf_addf(out, "]");
    }
}

static const struct {
    const char *name, *bytes, *want; /* replies one after the other; "!" the end of it, "…" more */
} cases[] = {
    {"status", "+OK\r\n", "+OK "},
    {"error", "-ERR no\r\n", "-ERR no "},
    {"integer", ":-12\r\n", "-12 "},
    {"string", "$3\r\na\nb\r\n", "'a\nb' "},
    {"empty string", "$0\r\n\r\n", "'' "},
    {"nil", "$-1\r\n", "nil "},
    {"nil array", "*-1\r\n", "nil "},
    {"empty array", "*0\r\n", "[] "},
    {"nested", "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n-E\r\n", "[1,['x',nil,],-E,] "},
    {"two in one", "+A\r\n+B\r\n", "+A +B "},
    {"half a string", "$5\r\nabc", ""},
    {"half an array", "*2\r\n:1\r\n", ""},
    {"another protocol", "HTTP/1.1 400 Bad Request\r\n", "!"},
    {"after a reply", "+A\r\nnonsense\r\n", "+A !"},
    {"RESP3 map", "%1\r\n+a\r\n+b\r\n", "!"},
    {"RESP3 push", ">1\r\n+a\r\n", "!"},
    {"an array of two billion", "*2000000000\r\n", "!"},
    {"a string of 100 terabytes waits for its bytes", "$99999999999999\r\nabc", ""},
    {"nested too deeply for hiredis 0.14",
     "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"
     "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
     "!"},
};

static void take(struct reader *reader, struct buf *got)
{
    const struct redis_reply *reply;
    enum reader_result result;

    while ((result = reader_next(reader, &reply)) == READER_REPLY) {
        write_reply(got, reply);
        buf_add_char(got, ' ');
    }
    if (result == READER_BROKEN && !str_has(buf_str(got), STR("!")))
        buf_add_char(got, '!');
}

static void check(const char *name, const char *bytes, const char *want, size_t step)
{
    struct reader *reader = reader_new(4096);
    struct buf got = buf_new(4096);
    size_t len = strlen(bytes);

    assert_non_null(reader);
    for (size_t at = 0; at < len; at += step) {
        if (!reader_feed(reader, bytes + at, len - at < step ? len - at : step))
            break;
        take(reader, &got);
    }
    if (!str_eq(buf_str(&got), str_of(want)))
        fail_msg("%s in steps of %zu: %.*s", name, step, STR_ARG(buf_str(&got)));
    buf_free(&got);
    reader_free(&reader);
}

static void replies_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check(cases[i].name, cases[i].bytes, cases[i].want, 1000);
        check(cases[i].name, cases[i].bytes, cases[i].want, 1);
    }
}

static void a_reply_has_a_ceiling(void **state)
{
    struct reader *reader = reader_new(4096);
    char bytes[1000] = {0};
    int fed = 0;

    (void)state;
    assert_true(reader_feed(reader, "$999999\r\n", 9));
    while (fed < 100 && reader_feed(reader, bytes, sizeof(bytes)))
        fed++;
    assert_true(fed >= 3 && fed <= 4);
    reader_free(&reader);
}

static void errors_by_their_first_word(void **state)
{
    static const struct {
        const char *text;
        enum redis_outcome want;
    } errors[] = {
        {"LOADING Redis is loading the dataset in memory", REDIS_NOT_READY},
        {"BUSY Redis is busy running a script.", REDIS_NOT_READY},
        {"BUSYGROUP Consumer Group name already exists", REDIS_REFUSED},
        {"MASTERDOWN Link with MASTER is down", REDIS_NOT_READY},
        {"CLUSTERDOWN Hash slot not served", REDIS_NOT_READY},
        {"TRYAGAIN Multiple keys request during rehashing of slot", REDIS_NOT_READY},
        {"READONLY You can't write against a read only replica.", REDIS_READONLY},
        {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_NO_MEMORY},
        {"ERR Error running script: @user_script:1: -OOM command not allowed", REDIS_NO_MEMORY},
        {"WRONGTYPE Operation against a key holding the wrong kind of value", REDIS_WRONG_TYPE},
        {"NOAUTH Authentication required.", REDIS_DENIED},
        {"WRONGPASS invalid username-password pair", REDIS_DENIED},
        {"NOPERM this user has no permissions", REDIS_DENIED},
        {"ERR unknown command", REDIS_REFUSED},
        {"", REDIS_REFUSED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (error_outcome(str_of(errors[i].text)) != errors[i].want)
            fail_msg("%s: %s", errors[i].text,
                     redis_outcome_word(error_outcome(str_of(errors[i].text))));
}

static void redirections(void **state)
{
    static const struct {
        const char *text, *host;
        bool ok, is_ask;
        uint32_t slot;
        uint16_t port;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", true, false, 3999, 6381},
        {"ASK 0 10.0.0.1:1", "10.0.0.1", true, true, 0, 1},
        {"MOVED 1 fe80::1:6379", "fe80::1", true, false, 1, 6379},
        {"MOVED 1 :6379", "", true, false, 1, 6379},
        {"ASK 1 ?:6379", "", true, true, 1, 6379},
        {"MOVED 16384 h:1", NULL, false, false, 0, 0},
        {"MOVED x h:1", NULL, false, false, 0, 0},
        {"MOVED 1 h", NULL, false, false, 0, 0},
        {"MOVED 1", NULL, false, false, 0, 0},
        {"MOVED", NULL, false, false, 0, 0},
        {"ASKING 1 h:1", NULL, false, false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_place place;
        uint32_t slot = 0;
        bool is_ask = false, ok = redirection_parse(str_of(rows[i].text), &is_ask, &slot, &place);

        if (ok != rows[i].ok ||
            (ok && (is_ask != rows[i].is_ask || slot != rows[i].slot ||
                    place.port != rows[i].port || strcmp(place.host, rows[i].host) != 0)))
            fail_msg("%s", rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_of_every_form),
        cmocka_unit_test(a_reply_has_a_ceiling),
        cmocka_unit_test(errors_by_their_first_word),
        cmocka_unit_test(redirections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
