/* log_test.c - one line for each request, whole and without secrets.
 *
 * The log is one for the process, so the tests write to one file and each looks at what came
 * to it. A line is awaited for at most a few seconds: another thread writes it. */
#include "request_fixture.h"

#include <cjson/cJSON.h>

#define CONFIG                                                                                     \
    "{\"identity\":{\"api_key\":{\"query\":\"api_key\",\"keys\":{"                                 \
    "\"d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272\":"                        \
    "{\"id\":\"acme\",\"tier\":\"free\"}}}},"                                                      \
    "\"tiers\":{\"free\":{\"per_minute\":100}},"                                                   \
    "\"upstreams\":{\"u\":{\"targets\":[\"http://127.0.0.1:%u\"],\"retry\":{\"attempts\":0}}},"    \
    "\"routes\":[{\"name\":\"all\",\"match\":{\"path\":\"/all/*\"},\"upstream\":\"u\","            \
    "\"cache\":{\"ttl\":\"1m\"}}]}"

static char path[] = "/tmp/request_log_XXXXXX";
static long read_to;

static int log_to_file(void **state)
{
    struct log_options options = {path, "off", false, LOG_INFO};
    struct fail why = {""};
    int fd = mkstemp(path);

    (void)state;
    if (fd < 0)
        return -1;
    close(fd);
    return log_open(&options, &why) ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    log_close();
    return unlink(path);
}

/* What has come since the last look, when it ends with a newline. */
static char *next_lines(void)
{
    static char text[65536];

    for (int i = 0; i < 5000; i++) {
        FILE *file = fopen(path, "r");
        size_t len;

        assert_non_null(file);
        assert_int_equal(fseek(file, read_to, SEEK_SET), 0);
        len = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
        text[len] = '\0';
        if (len > 0 && text[len - 1] == '\n') {
            read_to += (long)len;
            return text;
        }
        server_pause(1);
    }
    fail_msg("no line came");
    return NULL;
}

static cJSON *the_one_line(const char *name)
{
    char *text = next_lines();
    cJSON *json;

    if (strchr(text, '\n') != text + strlen(text) - 1)
        fail_msg("%s: more than one line: %s", name, text);
    json = cJSON_Parse(text);
    if (json == NULL)
        fail_msg("%s: no JSON: %s", name, text);
    return json;
}

static void assert_member(const char *name, const cJSON *json, const char *member, const char *want)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, member);
    char number[32] = "";

    if (cJSON_IsNumber(item))
        snprintf(number, sizeof(number), "%.0f", item->valuedouble);
    if (want == NULL
            ? item != NULL
            : item == NULL || strcmp(cJSON_IsString(item) ? item->valuestring : number, want) != 0)
        fail_msg("%s: %s is %s, want %s", name, member,
                 item == NULL           ? "absent"
                 : cJSON_IsString(item) ? item->valuestring
                                        : number,
                 want != NULL ? want : "none");
}

static const struct {
    const char *name, *line, *fields[4];
    enum request_outcome outcome;
    const char *status, *route, *path, *client, *reason, *cache;
} cases[] = {
    {"health",
     "GET /health?token=s3cret HTTP/1.1",
     {"Host: t"},
     REQUEST_DONE,
     "200",
     "none",
     "/health",
     NULL,
     NULL,
     NULL},
    {"no route",
     "GET /nowhere?s3cret HTTP/1.1",
     {"Host: t"},
     REQUEST_DONE,
     "404",
     "none",
     "/nowhere",
     NULL,
     "no_route",
     NULL},
    {"refused by the validator",
     "GET /a HTTP/1.1",
     {"Host: t", "Host: s3cret"},
     REQUEST_DONE,
     "400",
     "none",
     NULL,
     NULL,
     "bad_host",
     NULL},
    {"a key",
     "GET /all/a?x=s3cret HTTP/1.1",
     {"Host: t", "X-API-Key: sesame"},
     REQUEST_DONE,
     "502",
     "all",
     "/all/a",
     "key:acme",
     "connect",
     "miss"},
    {"a key in the query",
     "GET /all/a?api_key=sesame HTTP/1.1",
     {"Host: t"},
     REQUEST_DONE,
     "502",
     "all",
     "/all/a",
     "key:acme",
     "connect",
     "miss"},
    {"a false key",
     "GET /all/a HTTP/1.1",
     {"Host: t", "X-API-Key: s3cret-guess"},
     REQUEST_DONE,
     "401",
     "all",
     "/all/a",
     NULL,
     "key_unknown",
     NULL},
    {"Authorization",
     "GET /all/a HTTP/1.1",
     {"Host: t", "Authorization: Basic s3cret"},
     REQUEST_DONE,
     "502",
     "all",
     "/all/a",
     NULL,
     "connect",
     "miss"},
    {"the client left",
     "GET /all/a HTTP/1.1",
     {"Host: t"},
     REQUEST_CLIENT_LEFT,
     "499",
     "all",
     "/all/a",
     NULL,
     "connect",
     "miss"},
    {"quotes in the path",
     "GET /all/%22%5C HTTP/1.1",
     {"Host: t"},
     REQUEST_DONE,
     "502",
     "all",
     "/all/%22%5C",
     NULL,
     "connect",
     "miss"},
};

static void a_line_says_what_happened_and_no_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world *world = world_new(CONFIG, 1);
        struct visit *visit = visit_new(world, cases[i].line, cases[i].fields);
        const char *name = cases[i].name;
        char *printed;
        cJSON *json;

        assert_non_null(visit_run(visit));
        visit_end(&visit, cases[i].outcome);
        json = the_one_line(name);
        printed = cJSON_PrintUnformatted(json);
        if (strstr(printed, "s3cret") != NULL || strstr(printed, "sesame") != NULL ||
            strstr(printed, "192.0.2") != NULL)
            fail_msg("%s: a secret: %s", name, printed);
        assert_member(name, json, "status", cases[i].status);
        assert_member(name, json, "route", cases[i].route);
        assert_member(name, json, "path", cases[i].path);
        assert_member(name, json, "reason", cases[i].reason);
        assert_member(name, json, "cache", cases[i].cache);
        if (cases[i].client != NULL)
            assert_member(name, json, "client", cases[i].client);
        assert_true(cJSON_GetObjectItemCaseSensitive(json, "duration_ms")->valuedouble < 60000);
        cJSON_free(printed);
        cJSON_Delete(json);
        world_free(world);
    }
}

/* The series of /metrics, by their text. */
static bool has_series(struct world *world, const char *line)
{
    struct buf text = buf_new(1 << 20);
    bool is_there;

    assert_true(metrics_write(world->shared.metrics, &text));
    assert_true(buf_add_char(&text, '\0'));
    is_there = strstr(text.ptr, line) != NULL;
    buf_free(&text);
    return is_there;
}

static void a_request_is_counted_once(void **state)
{
    struct world *world = world_new(CONFIG, 1);

    (void)state;
    assert_int_equal(visit_whole(world, "GET /all/a HTTP/1.1", HOST), 502);
    assert_int_equal(visit_whole(world, "GET /nowhere HTTP/1.1", HOST), 404);
    (void)next_lines();
    assert_true(has_series(
        world, "gateway_requests_total{route=\"all\",method=\"GET\",status=\"502\"} 1\n"));
    assert_true(has_series(
        world, "gateway_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1\n"));
    assert_true(
        has_series(world, "gateway_cache_requests_total{route=\"all\",status=\"miss\"} 1\n"));
    assert_true(has_series(world, "gateway_requests_in_flight 0\n"));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_happened_and_no_secret),
        cmocka_unit_test(a_request_is_counted_once),
    };

    return cmocka_run_group_tests(tests, log_to_file, remove_file);
}
