/* tls_test.c - https: who is believed, and what comes of everything else.
 *
 * The certificate is made by the test (openssl, valid for localhost); the server is GnuTLS
 * in threads. */
#include "probe.h"
#include "script_server.h"

#include <gnutls/gnutls.h>
#include <signal.h>
#include <stdatomic.h>

enum { MOST_CONNECTIONS = 16 };
struct tls_server;
struct tls_connection {
    struct tls_server *server;
    int fd;
    pthread_t thread;
};
struct tls_server {
    int listener;
    uint16_t port;
    pthread_t thread;
    const char *priority;
    gnutls_certificate_credentials_t credentials;
    struct tls_connection at[MOST_CONNECTIONS];
    atomic_int connections;
};

static char directory[] = "/tmp/gateway-tls-XXXXXX";
static char cert_path[64], key_path[64], other_path[64], other_key_path[64];

static void make_certificate(const char *cert, const char *key)
{
    char command[512];

    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout %s -out %s "
             "2>/dev/null",
             key, cert);
    assert_int_equal(system(command), 0);
}

static int make_certificates(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", directory);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", directory);
    snprintf(other_path, sizeof(other_path), "%s/other.pem", directory);
    snprintf(other_key_path, sizeof(other_key_path), "%s/other-key.pem", directory);
    make_certificate(cert_path, key_path);
    make_certificate(other_path, other_key_path);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    unlink(cert_path);
    unlink(key_path);
    unlink(other_path);
    unlink(other_key_path);
    return rmdir(directory);
}

static void echo(gnutls_session_t session)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                 "Upgrade: echo\r\n\r\nhello ";
    char bytes[16384];
    ssize_t got = (ssize_t)sizeof(answer) - 1;

    memcpy(bytes, answer, sizeof(answer) - 1);
    while (got > 0) {
        for (ssize_t sent = 0, part; sent < got; sent += part)
            if ((part = gnutls_record_send(session, bytes + sent, (size_t)(got - sent))) <= 0)
                return;
        got = gnutls_record_recv(session, bytes, sizeof(bytes));
    }
    (void)gnutls_bye(session, GNUTLS_SHUT_WR);
}

static void serve_one(gnutls_session_t session)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    char head[4096];
    size_t len = 0;

    for (;;) {
        ssize_t got = gnutls_record_recv(session, head + len, sizeof(head) - 1 - len);

        if (got <= 0)
            return;
        len += (size_t)got;
        head[len] = '\0';
        if (strstr(head, "\r\n\r\n") == NULL)
            continue;
        if (strstr(head, "/echo ") != NULL) {
            echo(session);
            return;
        }
        len = 0;
        if (gnutls_record_send(session, answer, sizeof(answer) - 1) <= 0)
            return;
    }
}

static void *tls_run_connection(void *arg)
{
    struct tls_connection *connection = arg;
    gnutls_session_t session;

    gnutls_init(&session, GNUTLS_SERVER);
    gnutls_priority_set_direct(session, connection->server->priority, NULL);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, connection->server->credentials);
    gnutls_transport_set_int(session, connection->fd);
    if (gnutls_handshake(session) == 0)
        serve_one(session);
    gnutls_deinit(session);
    close(connection->fd);
    return NULL;
}

static void *tls_run(void *arg)
{
    struct tls_server *server = arg;
    struct timeval most = {5, 0};
    int fd;

    while (server->connections < MOST_CONNECTIONS &&
           (fd = accept(server->listener, NULL, NULL)) >= 0) {
        struct tls_connection *connection = &server->at[server->connections];

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
        connection->server = server;
        connection->fd = fd;
        if (pthread_create(&connection->thread, NULL, tls_run_connection, connection) != 0)
            abort();
        server->connections++;
    }
    return NULL;
}

static void tls_start(struct tls_server *server, const char *priority)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);

    memset(server, 0, sizeof(*server));
    server->priority = priority;
    gnutls_certificate_allocate_credentials(&server->credentials);
    assert_int_equal(gnutls_certificate_set_x509_key_file(server->credentials, cert_path, key_path,
                                                          GNUTLS_X509_FMT_PEM),
                     0);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&at, &len), 0);
    server->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, tls_run, server), 0);
}

static void tls_stop(struct tls_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (int i = 0; i < server->connections; i++)
        pthread_join(server->at[i].thread, NULL);
    gnutls_certificate_free_credentials(server->credentials);
}

#define MODERN "NORMAL"
#define OLD    "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"

static void who_is_believed(void **state)
{
    static const struct {
        const char *name, *host, *ca, *priority;
        bool verify;
        enum client_outcome outcome;
    } rows[] = {
        {"its own authority, right name", "localhost", cert_path, MODERN, true, CLIENT_OK},
        {"TLS 1.2", "localhost", cert_path, "NORMAL:-VERS-ALL:+VERS-TLS1.2", true, CLIENT_OK},
        {"wrong name", "127.0.0.1", cert_path, MODERN, true, CLIENT_TLS_FAILED},
        {"another authority", "localhost", other_path, MODERN, true, CLIENT_TLS_FAILED},
        {"the system's authorities", "localhost", "", MODERN, true, CLIENT_TLS_FAILED},
        {"an authority that is not there", "localhost", "/nonexistent.pem", MODERN, true,
         CLIENT_TLS_FAILED},
        {"not verified", "127.0.0.1", "", MODERN, false, CLIENT_OK},
        {"TLS 1.1", "localhost", cert_path, OLD, false, CLIENT_TLS_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_server server;
        struct bench bench;
        struct probe p = {0}, again = {0};

        probe_case = rows[i].name;
        tls_start(&server, rows[i].priority);
        bench_start(&bench, server.port);
        bench.target = (struct client_target){
            true,     str_of(rows[i].host), server.port, str_of(rows[i].ca), rows[i].verify,
            STR_NONE, CLIENT_AUTO,          64,          STR_NONE,           STR_NONE,
            STR_NONE};
        probe_get(&bench, &p, STR("GET"), STR("/"));
        if (p.outcome != rows[i].outcome)
            fail_msg("%s: %s (%s)", rows[i].name, outcome_names[p.outcome], p.reason);
        if (p.outcome == CLIENT_OK) {
            probe_get(&bench, &again, STR("POST"), STR("/"));
            assert_int_equal(again.outcome, CLIENT_OK);
            assert_string_equal(again.body, "hi");
            assert_true(again.times.is_reused);
            assert_int_equal(server.connections, 1);
        } else {
            assert_int_equal(p.times.connected_us, 0); /* nothing was sent */
        }
        bench_stop(&bench);
        tls_stop(&server);
    }
}

static void no_tls_on_the_other_side(void **state)
{
    static const struct step banner[] = {{S_SEND, "HTTP/1.1 400 Bad\r\n\r\n", 0},
                                         {S_DRAIN, NULL, 0}};
    static const struct step stalls[] = {{S_HANG, NULL, 0}};
    const struct step *scripts[] = {banner, stalls};
    struct script_server *server = malloc(sizeof(*server));
    struct client_request request = {
        .method = STR("GET"), .path = STR("/"), .connect_timeout_ms = 5000};
    struct bench bench;
    struct probe p = {0}, stalled = {0};

    (void)state;
    assert_non_null(server);
    server_start(server, scripts, 2);
    bench_start(&bench, server->port);
    bench.target.is_https = true;
    probe_run(&bench, &p, &request);
    assert_int_equal(p.outcome, CLIENT_TLS_FAILED);
    request.connect_timeout_ms = 100;
    probe_run(&bench, &stalled, &request);
    assert_int_equal(stalled.outcome, CLIENT_CONNECT_TIMEOUT);
    bench_stop(&bench);
    server_stop(server);
    free(server);
}

/* One client serves both: the handles that plain and https requests leave behind are shared. */
static void plain_and_https_by_turns(void **state)
{
    static const struct step serve[] = {{S_SERVE, NULL, 0}};
    const struct step *scripts[] = {serve};
    struct script_server *plain = malloc(sizeof(*plain));
    struct tls_server tls;
    struct bench bench;

    (void)state;
    assert_non_null(plain);
    server_start(plain, scripts, 1);
    tls_start(&tls, MODERN);
    bench_start(&bench, plain->port);
    for (int i = 0; i < 6; i++) {
        struct probe p = {0};

        if (i % 2 == 0) {
            bench.target = (struct client_target){
                true,     STR("localhost"), tls.port,    str_of(i == 2 ? "" : cert_path),
                true,     STR_NONE,         CLIENT_AUTO, 64,
                STR_NONE, STR_NONE,         STR_NONE};
            probe_get(&bench, &p, STR("GET"), STR("/"));
            assert_int_equal(p.outcome, i == 2 ? CLIENT_TLS_FAILED : CLIENT_OK);
        } else {
            bench.target = (struct client_target){false,    STR("127.0.0.1"), plain->port, STR_NONE,
                                                  true,     STR_NONE,         CLIENT_AUTO, 64,
                                                  STR_NONE, STR_NONE,         STR_NONE};
            bench_canary(&bench, "by turns");
        }
    }
    bench_stop(&bench);
    tls_stop(&tls);
    server_stop(plain);
    free(plain);
}

/* Connected to by its address, believed by its name; a kept connection is its address' own. */
static void at_an_address_of_a_name(void **state)
{
    static const struct {
        const char *host, *address;
        enum client_outcome want;
    } rows[] = {
        {"localhost", "127.0.0.1", CLIENT_OK}, {"localhost", "127.0.0.9", CLIENT_CONNECT_FAILED},
        {"localhost", "127.0.0.1", CLIENT_OK}, {"other.test", "127.0.0.1", CLIENT_TLS_FAILED},
        {"localhost", "", CLIENT_OK},
    };
    struct tls_server tls;
    struct bench bench;

    (void)state;
    tls_start(&tls, MODERN);
    bench_start(&bench, tls.port);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct probe p = {0};

        bench.target = (struct client_target){.is_https = true,
                                              .host = str_of(rows[i].host),
                                              .port = tls.port,
                                              .tls_ca = str_of(cert_path),
                                              .tls_verify = true,
                                              .keepalive = 64,
                                              .address = str_of(rows[i].address)};
        probe_get(&bench, &p, STR("GET"), STR("/"));
        if (p.outcome != rows[i].want)
            fail_msg("%zu: %s at %s: %d (%s)", i, rows[i].host, rows[i].address, (int)p.outcome,
                     p.reason);
    }
    bench_stop(&bench);
    tls_stop(&tls);
}

/* ---- what changes its protocol -------------------------------------------- */

static void start_change(struct bench *bench, struct probe *p, struct str path)
{
    struct client_request request = {
        .method = STR("GET"), .path = path, .upgrades = true, .connect_timeout_ms = 5000};

    probe_start(bench, p, &request);
}

static void aim(struct bench *bench, const struct tls_server *server, struct str host)
{
    bench->target = (struct client_target){.is_https = true,
                                           .host = host,
                                           .port = server->port,
                                           .tls_ca = str_of(cert_path),
                                           .tls_verify = true,
                                           .keepalive = 64};
}

/* Everything comes back, whatever waits on either side, until we close ours. */
static void bytes_both_ways_after_101(void **state)
{
    static const struct {
        const char *name;
        uint64_t bytes;
        bool refuses;
    } rows[] = {{"a word", 5, false}, {"much", 3000000, false}, {"much, taken late", 300000, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_server server;
        struct bench bench;
        struct probe p = {.upload_repeat = rows[i].bytes, .refuses = rows[i].refuses};

        probe_case = rows[i].name;
        tls_start(&server, MODERN);
        bench_start(&bench, server.port);
        aim(&bench, &server, STR("localhost"));
        start_change(&bench, &p, STR("/echo"));
        bench_run(&bench);
        if (p.status != 101 || p.body_bytes != rows[i].bytes + 6)
            fail_msg("%s: %d, %llu bytes, %s (%s)", rows[i].name, p.status,
                     (unsigned long long)p.body_bytes, outcome_names[p.outcome], p.reason);
        assert_memory_equal(p.body, "hello xxxx", 10);
        bench_stop(&bench);
        tls_stop(&server);
    }
}

static void a_change_that_comes_to_nothing(void **state)
{
    struct tls_server server;
    struct bench bench;
    struct probe refused = {0}, wrong = {0}, nobody = {0};

    (void)state;
    tls_start(&server, MODERN);
    bench_start(&bench, server.port);
    aim(&bench, &server, STR("localhost"));
    start_change(&bench, &refused, STR("/plain"));
    bench_run(&bench);
    assert_int_equal(refused.status, 200); /* an answer like any other */
    assert_string_equal(refused.body, "hi");
    assert_int_equal(refused.outcome, CLIENT_OK);
    aim(&bench, &server, STR("127.0.0.1"));
    start_change(&bench, &wrong, STR("/echo"));
    bench_run(&bench);
    assert_int_equal(wrong.outcome, CLIENT_TLS_FAILED);
    tls_stop(&server);
    start_change(&bench, &nobody, STR("/echo"));
    bench_run(&bench);
    assert_int_equal(nobody.outcome, CLIENT_CONNECT_FAILED);
    assert_int_equal(client_counts(bench.client).active, 0);
    bench_stop(&bench);
}

/* In every phase of it, and with the whole client. The number of a socket that was given up while
 * it connected is the next one's, of which nothing may be lost. */
static void a_change_that_is_given_up(void **state)
{
    struct tls_server server;
    struct bench bench;
    struct probe at_once = {0}, later = {0}, in_head = {.cancels = CANCEL_IN_HEAD},
                 in_body = {.cancels = CANCEL_IN_BODY, .upload_repeat = 100000}, left = {0};

    (void)state;
    tls_start(&server, MODERN);
    bench_start(&bench, server.port);
    aim(&bench, &server, STR("localhost"));
    start_change(&bench, &at_once, STR("/echo"));
    client_cancel(&at_once.exchange);
    start_change(&bench, &later, STR("/echo"));
    bench_idle(&bench, 1);
    client_cancel(&later.exchange);
    bench_idle(&bench, 20);
    probe_case = "in head";
    start_change(&bench, &in_head, STR("/echo"));
    bench_run(&bench);
    probe_case = "in body";
    start_change(&bench, &in_body, STR("/echo"));
    bench_run(&bench);
    assert_true(in_head.is_cancelled && in_body.is_cancelled);
    bench_idle(&bench, 20);
    assert_int_equal(client_counts(bench.client).active, 0);
    left.pauses_now = true;
    left.upload_pause_ms = 60000;
    start_change(&bench, &left, STR("/echo"));
    bench_idle(&bench, 100);
    deadline_clear(bench.loop, &left.later_read);
    bench_stop(&bench);
    tls_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_believed),
        cmocka_unit_test(no_tls_on_the_other_side),
        cmocka_unit_test(plain_and_https_by_turns),
        cmocka_unit_test(at_an_address_of_a_name),
        cmocka_unit_test(bytes_both_ways_after_101),
        cmocka_unit_test(a_change_that_comes_to_nothing),
        cmocka_unit_test(a_change_that_is_given_up),
    };

    signal(SIGPIPE, SIG_IGN); /* as the gateway does: OpenSSL writes without MSG_NOSIGNAL */
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
