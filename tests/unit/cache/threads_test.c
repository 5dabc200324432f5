/* threads_test.c - the whole room under two loops on two threads.
 *
 * Clients on both loops ask for a few keys, as requests do: look up, join, lead or
 * follow or fetch alone, read at their own pace, leave at random moments; leaders
 * fail at random; a third thread purges, sweeps and lists. Every body must be the one
 * of its key, a key has one leader at a time, and a follower is told once. To be run
 * under SAN=thread as well. */
#include "cache_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { KEYS = 6, CLIENTS = 12, ROUNDS = 250, MEMORY = 3 << 20, MAX_OBJECT = 200000 };

struct side { /* one loop and its clients */
    struct cache *cache;
    struct loop *loop;
    uint64_t random;
    int busy;
    struct client *clients;
    int reads, leads, follows, hits, alone, lefts;
};

struct client {
    struct side *side;
    struct deadline step;
    struct arena *arena;
    struct cache_key key;
    struct http_fields request, fields;
    struct http_verdict verdict;
    int key_number, rounds;
    struct flight_wait wait;
    bool is_waiting, must_step;
    struct flight *flight;
    struct fill *fill;
    struct fill_reader *reader;
    uint64_t length, written, got; /* got: by the reader */
    bool has_length, will_fail;
};

static atomic_int leaders[KEYS];

static uint64_t roll(struct side *side, uint64_t below)
{
    side->random ^= side->random << 13;
    side->random ^= side->random >> 7;
    side->random ^= side->random << 17;
    return (side->random >> 11) % below;
}

static uint64_t length_of(int key) /* one is empty, one is larger than what is stored */
{
    static const uint64_t lengths[KEYS] = {0, 5, 3000, 70000, 150000, 300000};

    return lengths[key];
}

static char byte_of(int key, uint64_t offset)
{
    return (char)((uint64_t)key * 97 + offset * 31 + offset / 251);
}

static void on_client(void *arg);

static void go_on(struct client *client)
{
    assert_true(deadline_set(client->side->loop, &client->step, loop_now_us(client->side->loop)));
}

/* ---- reading ---- */

static void check_bytes(const struct client *client, const char *bytes, size_t len, uint64_t offset)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != byte_of(client->key_number, offset + i))
            fail_msg("key %d: wrong byte at %" PRIu64, client->key_number, offset + i);
}

static void leave(struct client *client)
{
    fill_detach(&client->reader);
    client->got = 0;
}

/* Reads a while; true when the reader has come to an end of some kind. */
static bool read_some(struct client *client)
{
    char bytes[20000];
    int pieces = 1 + (int)roll(client->side, 4);

    if (roll(client->side, 60) == 0) {
        client->side->lefts++;
        return true;
    }
    for (int i = 0; i < pieces; i++) {
        ptrdiff_t got =
            fill_read(client->reader, bytes, 1 + (size_t)roll(client->side, sizeof(bytes)));

        if (got == FILL_WAIT)
            return false;
        if (got == FILL_END) {
            assert_int_equal(client->got, length_of(client->key_number));
            client->side->reads++;
        }
        if (got < 0)
            return true;
        check_bytes(client, bytes, (size_t)got, client->got);
        client->got += (uint64_t)got;
    }
    client->must_step = true;
    return false;
}

/* ---- leading ---- */

static void close_flight(struct client *client, bool is_shared)
{
    if (client->flight == NULL)
        return;
    atomic_fetch_sub(&leaders[client->key_number], 1);
    flight_close(&client->flight, is_shared ? FLIGHT_RETRY : FLIGHT_GO,
                 !is_shared && roll(client->side, 2) == 0, loop_now_us(client->side->loop));
}

static void write_some(struct client *client)
{
    char bytes[16384];

    for (int i = 0; i < 3 && client->written < client->length; i++) {
        size_t len = 1 + (size_t)roll(client->side, sizeof(bytes));

        if (len > client->length - client->written)
            len = (size_t)(client->length - client->written);
        for (size_t j = 0; j < len; j++)
            bytes[j] = byte_of(client->key_number, client->written + j);
        if (!fill_write(client->fill, str_at(bytes, len)))
            return; /* room() comes */
        client->written += len;
    }
    client->must_step = true;
    if (client->will_fail && client->written * 2 >= client->length) {
        fill_fail(&client->fill);
        close_flight(client, true);
    } else if (client->written == client->length) {
        fill_end(&client->fill);
        close_flight(client, true);
    }
}

static void on_room(void *arg)
{
    struct client *client = arg;

    if (client->fill != NULL)
        go_on(client);
}

static void begin_fetch(struct client *client, bool is_stored)
{
    struct cache *cache = client->side->cache;
    struct cache_intent intent = {.key = &client->key,
                                  .request = &client->request,
                                  .verdict = &client->verdict,
                                  .stamp = cache_stamp(cache),
                                  .response_us = START_US,
                                  .route = STR("r")};

    client->length = length_of(client->key_number);
    client->written = 0;
    client->will_fail = roll(client->side, 6) == 0;
    client->has_length = roll(client->side, 2) == 0;
    client->fill = fill_new(cache, client->side->loop, on_room, client);
    client->reader = fill_attach(client->fill, client->side->loop, on_client, client);
    assert_non_null(client->reader);
    assert_true(fill_begin(
        client->fill, &(struct fill_head){200, &client->fields, client->has_length, client->length},
        is_stored ? &intent : NULL));
    if (client->flight != NULL && fill_is_storing(client->fill))
        flight_open(client->flight, client->fill);
    else
        close_flight(client, false);
}

/* ---- following ---- */

static void on_told(void *arg, enum flight_outcome outcome, struct fill_reader *reader)
{
    struct client *client = arg;

    assert_true(client->is_waiting); /* once, and never after leaving */
    client->is_waiting = false;
    assert_true((reader != NULL) == (outcome == FLIGHT_READ));
    client->reader = reader;
    if (outcome == FLIGHT_GO)
        begin_fetch(client, false);
    if (reader != NULL) {
        assert_true(fill_reader_fits(reader, &client->request, false, client->arena));
        assert_int_equal(fill_reader_head(reader)->status, 200);
    }
    go_on(client);
}

/* ---- one request after another ---- */

static bool look_up(struct client *client)
{
    bool vary_missed;
    struct cache_entry *entry = cache_find(client->side->cache, &client->key, &client->request,
                                           false, client->arena, &vary_missed);

    if (entry == NULL)
        return false;
    cache_entry_count_hit(entry);
    assert_int_equal(cache_entry_meta(entry).body.len, length_of(client->key_number));
    check_bytes(client, cache_entry_meta(entry).body.ptr, cache_entry_meta(entry).body.len, 0);
    cache_entry_release(&entry);
    client->side->hits++;
    return true;
}

static void start(struct client *client)
{
    struct side *side = client->side;
    struct cache_key_parts parts = {.host = STR("h")};
    char target[16];

    client->rounds++;
    arena_reset(client->arena);
    client->key_number = (int)roll(side, KEYS);
    snprintf(target, sizeof(target), "/k/%d", client->key_number);
    client->request = fields_with(client->arena, NULL, NULL);
    client->fields = fields_with(client->arena, "Content-Type", "x");
    client->verdict = (struct http_verdict){.may_store = true, .lifetime_s = 1000000000};
    parts.target = parts.path = str_of(target);
    parts.request = &client->request;
    assert_true(cache_key_build(side->cache, &parts, client->arena, &client->key));
    client->must_step = true;
    if (look_up(client))
        return;
    client->wait =
        (struct flight_wait){.loop = side->loop, .told = on_told, .wake = on_client, .arg = client};
    switch (cache_join(side->cache, &client->key, loop_now_us(side->loop), &client->wait,
                       &client->flight)) {
    case FLIGHT_LEAD:
        assert_int_equal(atomic_fetch_add(&leaders[client->key_number], 1), 0);
        side->leads++;
        begin_fetch(client, true);
        break;
    case FLIGHT_FOLLOW:
        side->follows++;
        client->is_waiting = true;
        break;
    case FLIGHT_ALONE:
        side->alone++;
        begin_fetch(client, false);
        break;
    }
}

static void finish(struct client *client)
{
    if (--client->side->busy == 0)
        loop_stop(client->side->loop);
}

/* Whatever there is to do; also what wakes and room() call. */
static void on_client(void *arg)
{
    struct client *client = arg;

    client->must_step = false;
    if (client->is_waiting) {
        client->must_step = true;
        if (roll(client->side, 40) == 0) {
            flight_leave(&client->wait);
            memset(&client->wait, 0xee, sizeof(client->wait));
            client->is_waiting = false;
            client->side->lefts++;
        }
    } else if (client->fill == NULL && client->reader == NULL) {
        if (client->rounds == ROUNDS) {
            finish(client);
            return;
        }
        start(client);
    }
    if (client->reader != NULL && read_some(client)) {
        leave(client);
        client->must_step = true;
    }
    if (client->fill != NULL)
        write_some(client);
    if (client->must_step)
        go_on(client);
}

static void on_step(void *arg)
{
    struct client *client = arg;

    if (client->rounds <= ROUNDS)
        on_client(arg);
}

static void side_init(struct side *side, struct cache *cache, uint64_t seed)
{
    struct fail why;

    *side = (struct side){.cache = cache, .loop = loop_new(&why), .random = seed, .busy = CLIENTS};
    side->clients = calloc(CLIENTS, sizeof(*side->clients));
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &side->clients[i];

        client->side = side;
        client->arena = arena_new(4096, 1 << 20);
        client->step = (struct deadline){.fn = on_step, .arg = client};
        go_on(client);
    }
}

static void side_free(struct side *side)
{
    loop_free(&side->loop);
    for (int i = 0; i < CLIENTS; i++)
        arena_free(&side->clients[i].arena);
    free(side->clients);
}

static void *run_side(void *arg)
{
    loop_run(((struct side *)arg)->loop);
    return NULL;
}

static atomic_bool is_over;

static void *run_admin(void *arg)
{
    struct cache *cache = arg;
    struct arena *arena = arena_new(1 << 14, 1 << 22);
    static const char *const urls[] = {"/k/1", "/k/2", "/k/3"};

    for (uint64_t i = 0; !atomic_load(&is_over); i++) {
        struct purge purge = {.kind = i % 2 == 0 ? PURGE_URL : PURGE_ALL};
        struct purge_result result;
        struct cache_item items[4];
        struct cache_counts counts;
        struct timespec pause = {0, 300000};
        uint64_t next;

        arena_reset(arena);
        purge.text = str_of(urls[i % COUNT_OF(urls)]);
        purge.soft = i % 3 == 0;
        if (i % 4 == 0)
            cache_purge(cache, &purge, START_US, arena, &result);
        invalidate_glob(cache, STR_NONE, i % 8 == 0 ? STR("/k/4") : STR("/none"));
        cache_sweep(cache, START_US, 3);
        cache_list(cache, STR("*"), STR_NONE, START_US, 0, 4, arena, items, &next);
        cache_counts(cache, &counts);
        assert_true(counts.memory_bytes <= MEMORY);
        nanosleep(&pause, NULL);
    }
    arena_free(&arena);
    return NULL;
}

static void two_loops_share_one_cache(void **state)
{
    struct hash_key seed = {{3, 4}};
    struct cache *cache = cache_new(MEMORY, MAX_OBJECT, &seed);
    struct cache_counts counts;
    struct side sides[2];
    pthread_t threads[3];

    (void)state;
    side_init(&sides[0], cache, 12345);
    side_init(&sides[1], cache, 67890);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_side, &sides[i]), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, run_admin, cache), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    atomic_store(&is_over, true);
    pthread_join(threads[2], NULL);
    for (int i = 0; i < 2; i++) { /* what is still on its way to a loop whose clients are done */
        loop_stop(sides[i].loop);
        loop_run(sides[i].loop);
        loop_stop(sides[i].loop);
        loop_run(sides[i].loop);
        print_message("loop %d: %d hits, %d led, %d followed, %d alone, %d read whole, %d left\n",
                      i, sides[i].hits, sides[i].leads, sides[i].follows, sides[i].alone,
                      sides[i].reads, sides[i].lefts);
        assert_true(sides[i].leads > 0 && sides[i].follows > 0 && sides[i].reads > 0);
    }
    cache_resize(cache, 0, 0);
    cache_counts(cache, &counts);
    assert_int_equal(counts.memory_bytes, 0); /* nobody holds anything any more */
    side_free(&sides[0]);
    side_free(&sides[1]);
    cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_loops_share_one_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
