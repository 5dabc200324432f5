/* exchange_test.c - tries, retries and deadlines against scripted targets. */
#include "stage.h"

#define OK_HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define BUSY  "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"

static const struct step hangs_up[] = {{S_HEAD, NULL, 0}, {S_END, NULL, 0}};
static const struct step is_busy[] = {{S_HEAD, NULL, 0}, {S_SEND, BUSY, 0}, {S_SERVE, NULL, 0}};
static const struct step is_deaf[] = {{S_HANG, NULL, 0}};
static const struct step falls_silent[] = {
    {S_HEAD, NULL, 0},
    {S_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", 0},
    {S_HANG, NULL, 0}};
static const struct step dies_kept[] = {
    {S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_HEAD, NULL, 0}, {S_END, NULL, 0}};
static const struct step goes_stale[] = {
    {S_HEAD, NULL, 0}, {S_SEND, OK_HI, 0}, {S_PAUSE, NULL, 5}, {S_END, NULL, 0}};
static const struct step takes_body_dies[] = {{S_UNTIL, "0123456789", 0}, {S_END, NULL, 0}};
static const struct step takes_body[] = {
    {S_UNTIL, "0123456789", 0}, {S_SEND, OK_HI, 0}, {S_SERVE, NULL, 0}};

/* A port that nobody listens on. */
static void add_nobody(struct stage *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    add_target(s, ntohs(at.sin_port));
}

static void a_plain_one(void **state)
{
    const struct step *scripts[] = {serve};
    struct stage s;
    struct seen seen = {0};

    (void)state;
    stage_start(&s);
    add_server(&s, scripts, 1);
    run(&s, &seen, "GET", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_OK);
    assert_int_equal(seen.result.attempts, 1);
    assert_int_equal(seen.status, 200);
    assert_string_equal(seen.body, "canary GET /x");
    assert_int_equal(seen.tries, 1);
    assert_int_equal(server_saw(s.servers[0], "Host: client.test"), 1);
    s.config.host = HOST_TARGET;
    seen = (struct seen){0};
    run(&s, &seen, "GET", 5000);
    assert_int_equal(server_saw(s.servers[0], "Host: 127.0.0.1:"), 1);
    s.config.host = HOST_NAME;
    s.config.host_name = STR("inner.test");
    seen = (struct seen){0};
    run(&s, &seen, "GET", 5000);
    assert_int_equal(server_saw(s.servers[0], "Host: inner.test"), 1);
    stage_stop(&s);
}

static void no_target_at_all(void **state)
{
    struct stage s;
    struct seen seen = {0};

    (void)state;
    stage_start(&s);
    run(&s, &seen, "GET", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_NO_TARGET);
    assert_int_equal(seen.result.attempts, 0);
    stage_stop(&s);
}

static void refused_goes_to_the_other(void **state)
{
    const struct step *scripts[] = {serve};
    struct stage s;
    struct seen seen = {0};

    (void)state;
    stage_start(&s);
    add_nobody(&s);
    add_server(&s, scripts, 1);
    run(&s, &seen, "POST", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_OK);
    assert_int_equal(seen.result.attempts, 2);
    assert_string_equal(seen.body, "canary POST /x");
    assert_true(str_eq(seen.result.target, s.targets[1].url));
    stage_stop(&s);
}

/* What comes of one script, by method; the second connection serves. */
static const struct {
    const char *name, *method;
    const struct step *first;
    bool has_body,
        is_warm; /* a kept connection is there; then `first` answers one request before */
    uint32_t on; /* added to what is retried */
    int64_t timeout_ms, first_byte_ms, idle_ms;
    enum upstream_kind kind;
    int status;
    uint32_t attempts;
    size_t saw; /* how often the request reached the target */
} rows[] = {
    /* clang-format off */
    {"hangs up, GET",               "GET",    hangs_up, false, false, 0, 5000, 2000, 2000, UPSTREAM_OK, 200, 2, 2},
    {"hangs up, POST",              "POST",   hangs_up, false, false, 0, 5000, 2000, 2000, UPSTREAM_EMPTY, 0, 1, 1},
    {"hangs up, DELETE",            "DELETE", hangs_up, false, false, 0, 5000, 2000, 2000, UPSTREAM_OK, 200, 2, 2},
    {"busy, GET",                   "GET",    is_busy, false, false, 0, 5000, 2000, 2000, UPSTREAM_OK, 200, 2, 2},
    {"busy, POST",                  "POST",   is_busy, false, false, 0, 5000, 2000, 2000, UPSTREAM_OK, 503, 1, 1},
    {"silent",                      "GET",    is_silent, false, false, 0, 5000, 60, 2000, UPSTREAM_FIRST_BYTE_TIMEOUT, 0, 1, 1},
    {"silent, tried again",         "GET",    is_silent, false, false, RETRY_TIMEOUT, 5000, 60, 2000, UPSTREAM_OK, 200, 2, 2},
    {"silent, POST",                "POST",   is_silent, false, false, RETRY_TIMEOUT, 5000, 60, 2000, UPSTREAM_FIRST_BYTE_TIMEOUT, 0, 1, 1},
    {"the whole time is over",      "GET",    is_silent, false, false, RETRY_TIMEOUT, 60, 2000, 2000, UPSTREAM_TOTAL_TIMEOUT, 0, 1, 1},
    {"falls silent",                "GET",    falls_silent, false, false, 0, 5000, 2000, 60, UPSTREAM_IDLE_TIMEOUT, 200, 1, 1},
    {"falls silent until the end",  "GET",    falls_silent, false, false, 0, 60, 2000, 2000, UPSTREAM_TOTAL_TIMEOUT, 200, 1, 1},
    {"kept one dies, GET",          "GET",    dies_kept, false, true, 0, 5000, 2000, 2000, UPSTREAM_OK, 200, 1, 3},
    {"kept one dies, POST",         "POST",   dies_kept, false, true, 0, 5000, 2000, 2000, UPSTREAM_EMPTY, 0, 1, 1},
    {"kept one is stale, POST",     "POST",   goes_stale, false, true, 0, 5000, 2000, 2000, UPSTREAM_OK, 200, 1, 1},
    {"dies with the body, PUT",     "PUT",    takes_body_dies, true, false, 0, 5000, 2000, 2000, UPSTREAM_OK, 200, 2, 2},
    {"dies with the body, POST",    "POST",   takes_body_dies, true, false, 0, 5000, 2000, 2000, UPSTREAM_EMPTY, 0, 1, 1},
    /* clang-format on */
};

static void run_row(size_t i)
{
    const struct step *scripts[] = {rows[i].first, rows[i].has_body ? takes_body : serve};
    struct stage s;
    struct seen warm = {0}, seen = {0};
    char line[64];

    stage_start(&s);
    add_server(&s, scripts, 2);
    if (rows[i].is_warm) {
        run(&s, &warm, "GET", 5000);
        assert_int_equal(warm.result.kind, UPSTREAM_OK);
        server_pause(20);
    }
    s.config.retry.on |= rows[i].on;
    s.config.first_byte_timeout_ms = rows[i].first_byte_ms;
    s.config.idle_timeout_ms = rows[i].idle_ms;
    if (rows[i].has_body)
        seen.upload = STR("0123456789");
    run(&s, &seen, rows[i].method, rows[i].timeout_ms);
    snprintf(line, sizeof(line), "%s /x ", rows[i].method);
    if (seen.result.kind != rows[i].kind || seen.status != rows[i].status ||
        seen.result.attempts != rows[i].attempts || server_saw(s.servers[0], line) != rows[i].saw)
        fail_msg("%s: got %s (%s), status %d, %" PRIu32 " attempts, seen %zu", rows[i].name,
                 upstream_kind_name(seen.result.kind), seen.result.reason, seen.status,
                 seen.result.attempts, server_saw(s.servers[0], line));
    assert_true(seen.is_done);
    stage_stop(&s);
}

static void one_target_of_every_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        run_row(i);
}

static void a_large_body_is_sent_once(void **state)
{
    static const struct step takes[] = {{S_HEAD, NULL, 0}, {S_BODY, NULL, 2000}, {S_END, NULL, 0}};
    const struct step *scripts[] = {takes, serve};
    static char bytes[2000];
    struct stage s;
    struct seen seen = {0};

    (void)state;
    memset(bytes, 'b', sizeof(bytes));
    stage_start(&s);
    add_server(&s, scripts, 2);
    seen.upload = str_at(bytes, sizeof(bytes));
    run(&s, &seen, "PUT", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_EMPTY);
    assert_int_equal(seen.result.attempts, 1);
    /* ... but goes to another target while nothing of it was read */
    stage_stop(&s);
    stage_start(&s);
    add_nobody(&s);
    scripts[0] = takes_body;
    add_server(&s, scripts, 1);
    memcpy(bytes + sizeof(bytes) - 10, "0123456789", 10);
    seen = (struct seen){.upload = str_at(bytes, sizeof(bytes))};
    run(&s, &seen, "POST", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_OK);
    assert_int_equal(seen.result.attempts, 2);
    stage_stop(&s);
}

static void a_stream_has_no_whole(void **state)
{
    static const struct step drips[] = {
        {S_HEAD, NULL, 0},   {S_SEND, "HTTP/1.1 200 OK\r\n\r\na", 0},
        {S_PAUSE, NULL, 60}, {S_SEND, "b", 0},
        {S_PAUSE, NULL, 60}, {S_SEND, "c", 0},
        {S_HANG, NULL, 0}};
    const struct step *scripts[] = {drips};
    struct stage s;
    struct seen seen = {.is_stream = true};

    (void)state;
    stage_start(&s);
    add_server(&s, scripts, 1);
    run(&s, &seen, "GET", 80);
    assert_int_equal(seen.result.kind, UPSTREAM_IDLE_TIMEOUT);
    assert_string_equal(seen.body, "abc");
    stage_stop(&s);
}

static void cancelled_is_silent(void **state)
{
    const struct step *scripts[] = {serve};
    struct stage s;
    struct seen seen = {.cancels_in_head = true};
    struct target_status status;

    (void)state;
    stage_start(&s);
    add_server(&s, scripts, 1);
    run(&s, &seen, "GET", 5000);
    assert_false(seen.is_done);
    assert_int_equal(seen.tries, 0);
    assert_true(upstreams_status(s.upstreams, &s.config, 0, 0, &status));
    assert_int_equal(status.failures, 0);
    stage_stop(&s);
}

static void ejected_by_failures(void **state)
{
    const struct step *scripts[] = {serve};
    struct stage s;
    struct target_status status;

    (void)state;
    stage_start(&s);
    add_nobody(&s);
    add_server(&s, scripts, 1);
    for (int i = 0; i < 20; i++) {
        struct seen seen = {0};

        run(&s, &seen, "GET", 5000);
        assert_int_equal(seen.result.kind, UPSTREAM_OK);
    }
    assert_true(upstreams_status(s.upstreams, &s.config, 0, loop_now_us(s.loop), &status));
    assert_int_equal(status.state, TARGET_EJECTED);
    assert_int_equal(status.requests, 5);
    assert_true(upstreams_status(s.upstreams, &s.config, 1, loop_now_us(s.loop), &status));
    assert_int_equal(status.requests, 20);
    assert_true(status.latency_s > 0);
    stage_stop(&s);
}

static void deaf_to_an_upload(void **state)
{
    const struct step *scripts[] = {is_deaf};
    static char bytes[8 << 20]; /* more than the sockets hold */
    struct stage s;
    struct seen seen = {.upload = {bytes, sizeof(bytes)}};

    (void)state;
    stage_start(&s);
    s.config.first_byte_timeout_ms = 100;
    add_server(&s, scripts, 1);
    run(&s, &seen, "POST", 5000);
    assert_int_equal(seen.result.kind, UPSTREAM_FIRST_BYTE_TIMEOUT);
    stage_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_one),
        cmocka_unit_test(no_target_at_all),
        cmocka_unit_test(refused_goes_to_the_other),
        cmocka_unit_test(one_target_of_every_kind),
        cmocka_unit_test(a_large_body_is_sent_once),
        cmocka_unit_test(a_stream_has_no_whole),
        cmocka_unit_test(cancelled_is_silent),
        cmocka_unit_test(ejected_by_failures),
        cmocka_unit_test(deaf_to_an_upload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
