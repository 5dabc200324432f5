/* image_test.c - the same bits as imagehash, and hostile pictures cost little.
 *
 * pictures.py makes the pictures and says what they hash to; where Python's imaging library is
 * missing only the table below is held. */
#include "image/image.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "known.h"

/* Sanitizers make a decoder several times slower; what is held is that no file costs seconds. */
enum { MOST_CPU_US = 1000 * 1000, NAME_BYTES = 64 };

static char folder[] = "/tmp/gateway-image-XXXXXX";
static FILE *said;

static int make_pictures(void **state)
{
    char command[256];

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(command, sizeof(command),
                   "/usr/bin/python3 tests/unit/image/pictures.py %s >%s/said 2>/dev/null", folder,
                   folder);
    if (system(command) != 0)
        return 0;
    (void)snprintf(command, sizeof(command), "%s/said", folder);
    said = fopen(command, "r");
    return 0;
}

static int remove_pictures(void **state)
{
    char command[256];

    (void)state;
    if (said != NULL)
        (void)fclose(said);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static char *picture(const char *name, size_t *len)
{
    char path[256];
    struct fail why;
    char *bytes;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    bytes = file_read(path, 64 << 20, len, &why);
    assert_non_null(bytes);
    return bytes;
}

/* The next line of what pictures.py said; false at the end. */
static bool next_line(char kind[8], char name[NAME_BYTES], char hex[IMAGE_HASH_DIGITS + 1])
{
    char line[256];

    hex[0] = '\0';
    return fgets(line, sizeof(line), said) != NULL &&
           sscanf(line, "%7s %63s %64s", kind, name, hex) >= 2;
}

static uint32_t distance_to(const struct image_hash *hash, const char *hex)
{
    struct image_hash wanted = {{0}};

    for (size_t i = 0; i < IMAGE_HASH_DIGITS; i++)
        wanted.at[i / 16] = wanted.at[i / 16] << 4 | (uint64_t)ascii_hex_value(hex[i]);
    return image_distance(hash, &wanted);
}

static void the_bits_are_those_of_imagehash(void **state)
{
    char kind[8], name[NAME_BYTES], hex[IMAGE_HASH_DIGITS + 1];
    uint32_t count = 0, same = 0;

    (void)state;
    if (said == NULL)
        skip();
    rewind(said);
    while (next_line(kind, name, hex)) {
        size_t len;
        char *bytes;
        struct image_hash hash;

        if (strcmp(kind, "hash") != 0)
            continue;
        bytes = picture(name, &len);
        if (image_hash(str_at(bytes, len), &hash) != IMAGE_HASHED)
            fail_msg("%s: not hashed", name);
        count++;
        same += distance_to(&hash, hex) == 0;
        if (distance_to(&hash, hex) > 4)
            fail_msg("%s: %u bits differ", name, distance_to(&hash, hex));
        free(bytes);
    }
    print_message("%u of %u pictures have the same 256 bits\n", same, count);
    assert_true(count >= 100);
    assert_true(same * 100 >= count * 95);
}

static void a_bomb_costs_little(void **state)
{
    char kind[8], name[NAME_BYTES], hex[IMAGE_HASH_DIGITS + 1];

    (void)state;
    if (said == NULL)
        skip();
    rewind(said);
    while (next_line(kind, name, hex)) {
        size_t len;
        char *bytes;
        struct image_hash hash;
        uint64_t from_us;
        enum image_result result;

        if (strcmp(kind, "bomb") != 0)
            continue;
        bytes = picture(name, &len);
        from_us = clock_thread_cpu_us();
        result = image_hash(str_at(bytes, len), &hash);
        from_us = clock_thread_cpu_us() - from_us;
        print_message("%s: %s, %u ms\n", name, image_result_name(result),
                      (unsigned)(from_us / 1000));
        if (from_us > MOST_CPU_US)
            fail_msg("%s: %u ms", name, (unsigned)(from_us / 1000));
        free(bytes);
    }
}

static void known_pictures(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct str bytes = str_at((const char *)known[i].bytes, known[i].len);
        struct image_hash hash;
        char hex[IMAGE_HASH_DIGITS + 1];

        if (image_hash(bytes, &hash) != IMAGE_HASHED)
            fail_msg("%s: not hashed", known[i].name);
        image_hash_write(&hash, hex);
        if (strcmp(hex, known[i].hex) != 0)
            fail_msg("%s: got %s, want %s", known[i].name, hex, known[i].hex);
    }
}

/* However it is cut, it is refused: never half a picture. */
static void truncated_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        for (size_t len = 0; len + 16 < known[i].len; len++) {
            char *copy = malloc(len + 1); /* exact, so that a read behind its end is seen */
            struct image_hash hash;
            enum image_result result;

            assert_non_null(copy);
            memcpy(copy, known[i].bytes, len);
            result = image_hash(str_at(copy, len), &hash);
            if (result == IMAGE_HASHED)
                fail_msg("%s: hashed after %zu bytes", known[i].name, len);
            free(copy);
        }
    }
}

static void what_is_no_picture(void **state)
{
    static const struct {
        const char *name, *bytes;
        enum image_result want;
    } cases[] = {
        {"nothing", "", IMAGE_UNKNOWN},
        {"text", "hello, picture", IMAGE_UNKNOWN},
        {"GIF", "GIF89a\1\1", IMAGE_UNKNOWN},
        {"JPEG's beginning", "\xff\xd8\xff", IMAGE_BROKEN},
        {"PNG's beginning", "\x89PNG\r\n\x1a\n", IMAGE_BROKEN},
        {"WebP's beginning", "RIFF0000WEBPVP8 ", IMAGE_BROKEN},
    };
    struct image_hash hash;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (image_hash(str_of(cases[i].bytes), &hash) != cases[i].want)
            fail_msg("%s", cases[i].name);
    assert_int_equal(image_hash(str_at((const char *)blank_png, sizeof(blank_png)), &hash),
                     IMAGE_BLANK);
}

static void a_hash_is_read_as_it_is_written(void **state)
{
    struct image_hash hash = {{0x0123456789abcdef, 0, UINT64_MAX, 42}}, back;
    char hex[IMAGE_HASH_DIGITS + 1];

    (void)state;
    image_hash_write(&hash, hex);
    assert_true(image_hash_read(str_of(hex), &back));
    assert_int_equal(image_distance(&hash, &back), 0);
    assert_false(image_hash_read(str_at(hex, IMAGE_HASH_DIGITS - 1), &back));
    assert_false(image_hash_read(STR(""), &back));
    hex[20] = 'A';
    assert_false(image_hash_read(str_of(hex), &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_is_read_as_it_is_written), cmocka_unit_test(known_pictures),
        cmocka_unit_test(truncated_files_are_refused),     cmocka_unit_test(what_is_no_picture),
        cmocka_unit_test(the_bits_are_those_of_imagehash), cmocka_unit_test(a_bomb_costs_little),
    };

    return cmocka_run_group_tests(tests, make_pictures, remove_pictures);
}
