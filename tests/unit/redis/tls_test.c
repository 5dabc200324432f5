/* tls_test.c - TLS to a real redis-server: verified by authority and by name, with a certificate of
 * our own where it wants one, for replies and commands larger than a record. */
#include "redis/redis_priv.h"

#include "server_fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static char dir[64] = "/tmp/redis_tls_XXXXXX";
static pid_t server;
static uint16_t tls_port, plain_port;

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
    char command[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void await_port(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool is_up = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;

        close(fd);
        if (is_up)
            return;
        usleep(10000);
    }
    fail_msg("redis-server did not come up");
}

static void start(const char *auth_clients)
{
    char port[8], second[8], cert[96], key[96], ca[96];

    tls_port = free_port();
    plain_port = free_port();
    snprintf(port, sizeof(port), "%u", tls_port);
    snprintf(second, sizeof(second), "%u", plain_port);
    snprintf(cert, sizeof(cert), "%s/server.pem", dir);
    snprintf(key, sizeof(key), "%s/server.key", dir);
    snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(127);
        execlp("redis-server", "redis-server", "--port", second, "--tls-port", port, "--bind",
               "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file",
               ca, "--tls-auth-clients", auth_clients, "--save", "", "--dir", dir, (char *)NULL);
        _exit(127);
    }
    await_port(tls_port);
    await_port(plain_port);
}

static void stop(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

/* ca.pem signs server.pem (for localhost) and client.pem; other.pem is another authority. */
static int make_certificates(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    run("cd %s && for a in ca other; do openssl req -x509 -newkey ec -pkeyopt "
        "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=$a -keyout $a.key -out $a.pem "
        "2>/dev/null || exit 1; done",
        dir);
    run("cd %s && printf 'subjectAltName=DNS:localhost\\n' >names && for a in server client; do "
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$a -keyout "
        "$a.key -out $a.csr 2>/dev/null && openssl x509 -req -in $a.csr -CA ca.pem -CAkey ca.key "
        "-days 2 -extfile names -out $a.pem 2>/dev/null || exit 1; done",
        dir);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    run("rm -rf %s", dir);
    return 0;
}

struct found {
    struct loop *loop;
    bool is_up;
    char why[160];
    struct deadline look;
    struct redis *redis;
};

static void on_change(void *arg, bool is_up, struct str why)
{
    struct found *found = arg;

    (void)why;
    found->is_up = is_up;
    if (is_up)
        loop_stop(found->loop);
}

/* It never comes up: what it says after a while. */
static void on_look(void *arg)
{
    struct found *found = arg;

    snprintf(found->why, sizeof(found->why), "%s", redis_why(found->redis));
    if (str_has(str_of(found->why), STR("TLS")) || str_has(str_of(found->why), STR("closed")))
        loop_stop(found->loop);
    else
        assert_true(deadline_set(found->loop, &found->look, loop_now_us(found->loop) + 10000));
}

static struct redis *begin(struct found *found, const char *host, uint16_t port, const char *ca,
                           bool shows_certificate)
{
    char text[128];
    struct fail why = {""};
    struct redis_options options = {
        .name = "test", .changed = on_change, .arg = found, .connect_ms = 20000, .stall_ms = 20000};

    snprintf(text, sizeof(text), "redis://%s:%u", host, port);
    if (port == plain_port)
        options.connect_ms = 300; /* Redis 7 waits for the end of a line, 8 answers */
    assert_true(redis_url_parse(str_of(text), &options.url, &why));
    options.url.is_tls = true; /* where the scheme is refused, too */
    snprintf(options.url.ca, sizeof(options.url.ca), "%s/%s", dir, ca);
    if (shows_certificate) {
        snprintf(options.url.cert, sizeof(options.url.cert), "%s/client.pem", dir);
        snprintf(options.url.key, sizeof(options.url.key), "%s/client.key", dir);
    }
    *found = (struct found){.loop = loop_new(&why), .look = {.fn = on_look, .arg = found}};
    found->redis = redis_new(found->loop, &options);
    assert_non_null(found->redis);
    assert_true(deadline_set(found->loop, &found->look, loop_now_us(found->loop) + 10000));
    run_loop(found->loop);
    deadline_clear(found->loop, &found->look);
    return found->redis;
}

static void end(struct found *found)
{
    redis_free(&found->redis);
    deadline_clear(found->loop, &found->look);
    loop_free(&found->loop);
}

static void who_is_believed(void **state)
{
    static const struct {
        const char *name, *host, *ca, *auth_clients, *why;
        bool is_plain, shows_certificate;
    } rows[] = {
        {"its authority and its name", "localhost", "ca.pem", "no", NULL, false, false},
        {"another authority", "localhost", "other.pem", "no", "TLS: ", false, false},
        {"an address that it is not for", "127.0.0.1", "ca.pem", "no", "TLS: IP address mismatch",
         false, false},
        {"a server without TLS", "localhost", "ca.pem", "no", "TLS", true, false},
        {"ours is wanted and shown", "localhost", "ca.pem", "yes", NULL, false, true},
        {"ours is wanted and there is none", "localhost", "ca.pem", "yes", "", false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct found found;

        start(rows[i].auth_clients);
        (void)begin(&found, rows[i].host, rows[i].is_plain ? plain_port : tls_port, rows[i].ca,
                    rows[i].shows_certificate);
        if (found.is_up != (rows[i].why == NULL) ||
            (rows[i].why != NULL && !str_has(str_of(found.why), str_of(rows[i].why))))
            fail_msg("%s: up %d, \"%s\"", rows[i].name, found.is_up, found.why);
        end(&found);
        stop();
    }
}

static void files_that_cannot_be_used(void **state)
{
    static const struct {
        const char *ca, *cert, *key;
    } rows[] = {{"none.pem", NULL, NULL},
                {"ca.key", NULL, NULL},
                {"ca.pem", "none.pem", "client.key"},
                {"ca.pem", "client.pem", "server.key"},
                {"ca.pem", "client.pem", "names"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_url url = {.is_tls = true};
        struct fail why = {""};

        snprintf(url.ca, sizeof(url.ca), "%s/%s", dir, rows[i].ca);
        if (rows[i].cert != NULL) {
            snprintf(url.cert, sizeof(url.cert), "%s/%s", dir, rows[i].cert);
            snprintf(url.key, sizeof(url.key), "%s/%s", dir, rows[i].key);
        }
        assert_null(tls_files_new(&url, &why));
        assert_true(str_has(str_of(why.text), str_of(dir)));
    }
}

static void take_echo(void *arg, enum redis_outcome outcome, const struct redis_reply *reply)
{
    uint32_t *left = arg;

    assert_int_equal(outcome, REDIS_OK);
    assert_int_equal(reply->text.len, 20000);
    assert_int_equal(reply->text.ptr[19999], 'x');
    --*left;
}

/* 4 MB there and back in one turn: many records, and more than a socket takes at once. */
static void more_than_a_record_each_way(void **state)
{
    static char large[20000];
    struct found found;
    struct answer last;
    uint32_t left = 200;
    struct str words[] = {STR("ECHO"), str_at(large, sizeof(large))};
    struct redis_command command = {.words = words, .count = 2, .fn = take_echo, .arg = &left};

    (void)state;
    start("no");
    memset(large, 'x', sizeof(large));
    (void)begin(&found, "localhost", tls_port, "ca.pem", false);
    assert_true(found.is_up);
    last = (struct answer){.loop = found.loop, .stops = true};
    for (uint32_t i = 0; i < 200; i++)
        assert_non_null(redis_send(found.redis, &command));
    assert_non_null(ask(found.redis, "nothing", 0, &last));
    run_loop(found.loop);
    assert_int_equal(left, 0);
    assert_int_equal(last.outcome, REDIS_OK);
    end(&found);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_cannot_be_used),
        cmocka_unit_test(who_is_believed),
        cmocka_unit_test(more_than_a_record_each_way),
    };

    if (system("redis-server --version >/dev/null 2>&1 && openssl version >/dev/null 2>&1") != 0) {
        print_message("redis-server or openssl is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
