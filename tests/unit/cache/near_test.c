/* near_test.c - the nearest of a scope, in order, and what is forgotten. */
#include "cache_fixture.h"

static const char *digest(char to[CACHE_DIGEST + 1], unsigned number)
{
    (void)snprintf(to, CACHE_DIGEST + 1, "%064u", number);
    return to;
}

static void add(struct world *world, uint64_t scope, uint64_t bits, unsigned number)
{
    char text[CACHE_DIGEST + 1];

    cache_near_add(world->cache, &(struct hash128){scope, scope},
                   &(struct image_hash){{bits, 0, 0, 0}}, digest(text, number));
}

static uint32_t look(struct world *world, uint64_t scope, uint64_t bits, uint32_t most,
                     struct cache_near to[2])
{
    return cache_near_find(world->cache, &(struct hash128){scope, scope},
                           &(struct image_hash){{bits, 0, 0, 0}}, most, to, 2);
}

static uint64_t count(struct world *world)
{
    struct cache_counts counts;

    cache_counts(world->cache, &counts);
    return counts.pictures;
}

static void the_nearest_come_first(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct cache_near near[2];
    char text[CACHE_DIGEST + 1];

    (void)state;
    assert_int_equal(look(&world, 1, 0, 256, near), 0);
    add(&world, 1, 0xff, 8);
    add(&world, 1, 0xf, 4);
    add(&world, 1, 0x1, 1);
    add(&world, 1, 0x3, 2);
    add(&world, 2, 0, 99); /* another's */
    assert_int_equal(look(&world, 1, 0, 10, near), 2);
    assert_int_equal(near[0].distance, 1);
    assert_string_equal(near[0].digest, digest(text, 1));
    assert_int_equal(near[1].distance, 2);
    assert_int_equal(look(&world, 1, 0, 1, near), 1);
    assert_int_equal(look(&world, 1, 0xff, 0, near), 1);
    assert_string_equal(near[0].digest, digest(text, 8));
    cache_near_drop(world.cache, &(struct hash128){1, 1}, digest(text, 1));
    cache_near_drop(world.cache, &(struct hash128){1, 1}, digest(text, 77));
    assert_int_equal(look(&world, 1, 0, 10, near), 2);
    assert_int_equal(near[0].distance, 2);
    assert_int_equal(near[1].distance, 4);
    world_free(&world);
}

static void the_oldest_make_room(void **state)
{
    struct world world = world_new(1 << 20, 1 << 20);
    struct cache_near near[2];
    char text[CACHE_DIGEST + 1];

    (void)state;
    for (unsigned i = 1; i <= CACHE_MOST_PICTURES; i++)
        add(&world, i, 0, i);
    assert_int_equal(look(&world, 1, 0, 0, near), 1);
    add(&world, CACHE_MOST_PICTURES + 1, 0, 0);
    assert_int_equal(look(&world, 1, 0, 0, near), 0);
    assert_int_equal(look(&world, 2, 0, 0, near), 1);
    assert_int_equal(look(&world, CACHE_MOST_PICTURES + 1, 0, 0, near), 1);
    assert_int_equal(count(&world), CACHE_MOST_PICTURES);
    cache_near_drop(world.cache, &(struct hash128){2, 2}, digest(text, 2));
    assert_int_equal(count(&world), CACHE_MOST_PICTURES - 1);
    add(&world, 2, 0, 2); /* into the place that was dropped: it is the oldest */
    assert_int_equal(count(&world), CACHE_MOST_PICTURES);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_come_first),
        cmocka_unit_test(the_oldest_make_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
