/* fleet_test.c - workers as threads: they serve, take a new snapshot, drain, are cut. */
#include "worker_fixture.h"

#define CONFIG(port, body)                                                                         \
    "{\"server\":{\"listen\":[\"127.0.0.1:0\"],\"workers\":2},\"limits\":{\"enabled\":false},"     \
    "\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:" port                                  \
    "\"],\"retry\":{\"attempts\":0}}},"                                                            \
    "\"routes\":[{\"name\":\"" body "\",\"match\":{\"path\":\"/" body "/*\"},\"upstream\":\"u\","  \
    "\"cache\":{\"ttl\":\"1m\"}}]}"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: t\r\n\r\n"

static struct script_server origin;

static void begin(struct house *house, const struct step *script)
{
    static const struct step *scripts[1];
    char text[1024];

    scripts[0] = script;
    server_start(&origin, scripts, 1);
    snprintf(text, sizeof(text), CONFIG("%u", "old"), origin.port);
    house_start(house, text);
}

static void end(struct house *house)
{
    house_stop(house);
    server_stop(&origin);
}

static const struct step serve[] = {{S_SERVE, NULL, 0}};
static const struct step slow[] = {{S_HEAD, NULL, 0},
                                   {S_PAUSE, NULL, 150},
                                   {S_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow", 0},
                                   {S_END, NULL, 0}};
static const struct step endless[] = {
    {S_HEAD, NULL, 0},
    {S_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n", 0},
    {S_HANG, NULL, 0}};

static void workers_serve(void **state)
{
    struct house house;

    (void)state;
    begin(&house, serve);
    for (int i = 0; i < 20; i++) {
        char received[4096] = "";
        int fd = dial(house.port);

        say(fd, GET("/old/a"));
        assert_true(hear(fd, "canary GET /old/a", received, sizeof(received)));
        close(fd);
    }
    end(&house);
}

/* A new snapshot serves new requests on old connections; one under way keeps its own. */
static void a_new_snapshot_is_for_new_requests(void **state)
{
    struct house house;
    char received[8192] = "", text[1024];
    int fd;

    (void)state;
    begin(&house, slow);
    fd = dial(house.port);
    say(fd, GET("/old/a"));
    while (server_saw(&origin, "/old/a") == 0)
        server_pause(1);
    snprintf(text, sizeof(text), CONFIG("%u", "new"), origin.port);
    house_use(&house, text);
    assert_true(hear(fd, "\r\n\r\nslow", received, sizeof(received)));
    received[0] = '\0';
    say(fd, GET("/old/a"));
    assert_true(hear(fd, "404 Not Found", received, sizeof(received)));
    assert_true(hear(fd, "\"status\":404", received, sizeof(received)));
    received[0] = '\0';
    say(fd, GET("/new/a"));
    assert_true(hear(fd, "\r\n\r\nslow", received, sizeof(received)));
    close(fd);
    end(&house);
}

/* Draining: what is under way is answered and told to close, nobody new gets in. */
static void a_drain_loses_no_request(void **state)
{
    struct house house;
    char received[4096] = "";
    int busy, idle;

    (void)state;
    begin(&house, slow);
    idle = dial(house.port);
    say(idle, GET("/health"));
    assert_true(hear(idle, "\"ok\"}\n", received, sizeof(received)));
    busy = dial(house.port);
    say(busy, GET("/old/a"));
    while (server_saw(&origin, "/old/a") == 0)
        server_pause(1);
    atomic_store(&house.shared.is_draining, true);
    fleet_stop_accepting(house.fleet);
    received[0] = '\0';
    assert_true(hear(idle, NULL, received, sizeof(received)));
    assert_string_equal(received, "");
    assert_true(hear(busy, NULL, received, sizeof(received)));
    assert_non_null(strstr(received, "200 OK"));
    assert_non_null(strstr(received, "Connection: close\r\n"));
    assert_non_null(strstr(received, "\r\n\r\nslow"));
    assert_int_equal(dial(house.port), -1);
    assert_true(becomes_empty(&house));
    close(busy);
    close(idle);
    end(&house);
}

/* The grace is over: an answer that never ends is cut, and a fetch whose client has left. */
static void an_abort_ends_everything(void **state)
{
    struct house house;
    char received[4096] = "";
    int stays, leaves;

    (void)state;
    begin(&house, endless);
    stays = dial(house.port);
    say(stays, GET("/old/a"));
    assert_true(hear(stays, "begun", received, sizeof(received)));
    leaves = dial(house.port);
    say(leaves, GET("/old/b"));
    received[0] = '\0';
    assert_true(hear(leaves, "begun", received, sizeof(received)));
    close(leaves);
    fleet_stop_accepting(house.fleet);
    server_pause(50);
    assert_false(fleet_is_empty(house.fleet));
    fleet_abort(house.fleet);
    assert_true(becomes_empty(&house));
    while (recv(stays, received, sizeof(received), 0) > 0)
        continue;
    close(stays);
    end(&house);
}

static void a_fleet_that_is_just_freed(void **state)
{
    struct house house;
    char received[4096] = "";
    int fd;

    (void)state;
    begin(&house, endless);
    fd = dial(house.port);
    say(fd, GET("/old/a"));
    assert_true(hear(fd, "begun", received, sizeof(received)));
    end(&house);
    close(fd);
}

static void a_port_that_is_taken(void **state)
{
    struct house house;
    struct fleet_parts parts;
    struct fail why = {""};
    char text[1024];
    bool bad_listener = false;

    (void)state;
    begin(&house, serve);
    snprintf(text, sizeof(text),
             "{\"server\":{\"listen\":[\"127.0.0.1:%u\"],\"workers\":1},\"limits\":{\"enabled\":"
             "false},\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:1\"]}},\"routes\":"
             "[{\"match\":{\"path\":\"/*\"},\"upstream\":\"u\"}]}",
             house.port);
    parts = (struct fleet_parts){&house.shared, house.counts, house.loop, NULL};
    request_rules_release(&house.rules);
    server_tls_release(&house.tls);
    rules_of(&house, text);
    assert_null(fleet_new(&parts, house.rules, house.tls, &bad_listener, &why));
    assert_true(bad_listener);
    assert_non_null(strstr(why.text, "in use"));
    end(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_serve),
        cmocka_unit_test(a_new_snapshot_is_for_new_requests),
        cmocka_unit_test(a_drain_loses_no_request),
        cmocka_unit_test(an_abort_ends_everything),
        cmocka_unit_test(a_fleet_that_is_just_freed),
        cmocka_unit_test(a_port_that_is_taken),
    };

    return cmocka_run_group_tests(tests, logs_off, logs_end);
}
