/* files_test.c - files that are missing, wrong, or very large; and the small parsers.
 *
 * Ten thousand routes must load in less than a second of this thread's time; under
 * sanitizers it takes longer, so the bound there is a generous one. */
#include "config_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

static void write_file(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void want_fault(const char *path, const char *want)
{
    struct faults *faults = faults_new();
    char joined[JOINED_BYTES];

    assert_null(config_load(path, NULL, faults));
    join_faults(faults, joined);
    assert_string_equal(joined, want);
    faults_free(&faults);
}

static void files_that_cannot_be_read(void **state)
{
    char path[] = "/tmp/config_test_XXXXXX", want[256];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    want_fault("/tmp", "/tmp: is a directory, not a file");
    want_fault("/tmp/config_test/none",
               "/tmp/config_test/none: cannot be opened: No such file or directory");
    snprintf(want, sizeof(want), "%s:1:1: the file is empty, expected an object", path);
    want_fault(path, want);
    char *large = malloc(TREE_MAX_BYTES + 1);
    assert_non_null(large);
    memset(large, ' ', TREE_MAX_BYTES + 1);
    write_file(path, large, TREE_MAX_BYTES + 1);
    free(large);
    snprintf(want, sizeof(want), "%s: larger than 4194304 bytes", path);
    want_fault(path, want);
    static const char dos[] = "{\r\n\"log\": {\"level\": \"warn\"}\r\n}";
    write_file(path, dos, sizeof(dos) - 1);
    struct faults *faults = faults_new();
    struct config *config = config_load(path, NULL, faults);
    assert_non_null(config);
    assert_int_equal(config->log.level, LOG_WARN);
    assert_string_equal(config->source.ptr, path);
    config_release(&config);
    faults_free(&faults);
    unlink(path);
}

static void ten_thousand_routes(void **state)
{
    struct buf text = buf_new(TREE_MAX_BYTES);
    char joined[JOINED_BYTES];
    uint64_t start;

    (void)state;
    buf_addf(&text, "{\"upstreams\": {");
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "%s\"u%d\": {\"targets\": [\"http://127.0.0.1:1\"]}", i > 0 ? "," : "", i);
    buf_addf(&text, "}, \"routes\": [");
    for (int i = 0; i < 10000; i++)
        buf_addf(&text,
                 "%s{\"name\": \"r%d\", \"match\": {\"path\": \"/r%d/*\"}, \"upstream\": \"u%d\", "
                 "\"cache\": {\"ttl\": \"5m\"}}\n",
                 i > 0 ? "," : "", i, i, i % 1000);
    buf_addf(&text, "]}");
    assert_false(text.is_broken);
    start = clock_thread_cpu_us();
    struct config *config = load_bytes(text.ptr, text.len, NULL, joined);
    uint64_t took_us = clock_thread_cpu_us() - start;
    assert_non_null(config);
    assert_int_equal(config->route_count, 10000);
    assert_string_equal(config->routes[9999].upstream->name.ptr, "u999");
    print_message("%zu bytes in %" PRIu64 " us\n", text.len, took_us);
#ifdef __SANITIZE_ADDRESS__
    assert_true(took_us < 10000000);
#else
    assert_true(took_us < 1000000);
#endif
    config_release(&config);
    buf_free(&text);
}

static const struct {
    const char *block, *address;
    bool is_block, is_inside;
} blocks[] = {
    {"10.0.0.0/8", "10.255.1.2", true, true},
    {"10.0.0.0/8", "11.0.0.1", true, false},
    {"10.1.2.3/8", "10.9.9.9", true, true},
    {"10.0.0.0/8", "::ffff:10.1.1.1", true, true},
    {"192.0.2.1", "192.0.2.1", true, true},
    {"192.0.2.1", "192.0.2.2", true, false},
    {"0.0.0.0/0", "203.0.113.9", true, true},
    {"0.0.0.0/0", "2001:db8::1", true, false},
    {"::/0", "203.0.113.9", true, true},
    {"2001:db8::/33", "2001:db8:7fff::1", true, true},
    {"2001:db8::/33", "2001:db8:8000::1", true, false},
    {"::ffff:10.0.0.0/104", "10.1.1.1", true, true},
    {"::1/128", "::1", true, true},
    {"10.0.0.0/33", "", false, false},
    {"10.0.0/8", "", false, false},
    {"10.0.0.0/", "", false, false},
    {"10.0.0.0/-1", "", false, false},
    {"::1/129", "", false, false},
    {"[::1]/128", "", false, false},
    {"fe80::1%eth0/64", "", false, false},
    {"", "", false, false},
    {"/8", "", false, false},
};

static void blocks_of_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        struct cidr block;
        struct cidr_list list = {&block, 1};
        uint8_t address[16];
        bool is_block = cidr_parse(str_of(blocks[i].block), &block);
        bool is_inside = is_block && address_parse(str_of(blocks[i].address), address) &&
                         cidr_list_has(&list, address);
        if (is_block != blocks[i].is_block || is_inside != blocks[i].is_inside)
            fail_msg("%s %s", blocks[i].block, blocks[i].address);
    }
}

/* The reader by hand against the library's. */
static void addresses_are_read_as_the_library_does(void **state)
{
    static const char *const forms[] = {
        "0.0.0.0",   "255.255.255.255", "192.0.2.1", "1.2.3.4",    "01.2.3.4",       "1.2.3.00",
        "1.2.3",     "1.2.3.4.5",       "1..3.4",    ".1.2.3.4",   "1.2.3.4.",       "256.1.1.1",
        "1.2.3.256", "1.2.3.1000",      "1.2.3.-4",  " 1.2.3.4",   "1.2.3.4 ",       "1.2.3.a",
        "0x1.2.3.4", "16909060",        "1.2.3.0",   "100.10.1.0", "1.2.3.0004",     "a",
        "::1",       "2001:db8::1",     "::1.2.3.4", ":1.2.3.4",   "::ffff:1.2.3.4",
    };
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        uint8_t got[16], want[16];
        bool is_one = inet_pton(AF_INET6, forms[i], want) == 1;

        if (!is_one) {
            memcpy(want, mapped, sizeof(mapped));
            is_one = inet_pton(AF_INET, forms[i], want + sizeof(mapped)) == 1;
        }
        if (address_parse(str_of(forms[i]), got) != is_one ||
            (is_one && memcmp(got, want, sizeof(got)) != 0))
            fail_msg("%s", forms[i]);
    }
}

static const struct {
    const char *text;
    int64_t want_ms; /* -1: not one */
} durations[] = {
    {"250ms", 250},    {"5s", 5000},  {"1.5s", 1500}, {"5m", 300000}, {"1h", 3600000},
    {"7d", 604800000}, {"10", 10000}, {"0", 0},       {"0.25", 250},  {"", -1},
    {"s", -1},         {"5 s", -1},   {"-5s", -1},    {"5S", -1},     {"1e3s", -1},
    {"1.s", -1},       {".5s", -1},   {"1.2.3s", -1}, {"5ss", -1},    {"99999999999999999999d", -1},
    {"0x10s", -1},
};

static void durations_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        int64_t got;
        if (!duration_parse(str_of(durations[i].text), &got))
            got = -1;
        if (got != durations[i].want_ms)
            fail_msg("\"%s\": got %" PRId64 ", want %" PRId64, durations[i].text, got,
                     durations[i].want_ms);
    }
}

static const struct {
    const char *text;
    int64_t want_s; /* -1: not one */
} moments[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2027-01-01T00:00:00Z", 1798761600},
    {"2027-01-01t02:00:00.5+02:00", 1798761600},
    {"2024-02-29T00:00:00Z", 1709164800},
    {"2023-02-29T00:00:00Z", -1},
    {"2027-13-01T00:00:00Z", -1},
    {"2027-01-01", -1},
    {"2027-01-01T00:00:00", -1},
    {"2027-01-01 00:00:00Z", -1},
    {"2027-01-01T24:00:00Z", -1},
    {"2027-01-01T00:00:00+0200", -1},
    {"2027-01-01T00:00:00.Z", -1},
    {"", -1},
};

static void moments_of_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(moments); i++) {
        int64_t got;
        if (!time_parse(str_of(moments[i].text), &got))
            got = -1;
        if (got != moments[i].want_s)
            fail_msg("\"%s\": got %" PRId64 ", want %" PRId64, moments[i].text, got,
                     moments[i].want_s);
    }
}

static void cores_are_counted(void **state)
{
    (void)state;
    assert_true(cores_usable() >= 1);
    assert_true(cores_usable() <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(ten_thousand_routes),
        cmocka_unit_test(blocks_of_addresses),
        cmocka_unit_test(durations_of_every_form),
        cmocka_unit_test(addresses_are_read_as_the_library_does),
        cmocka_unit_test(moments_of_every_form),
        cmocka_unit_test(cores_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
