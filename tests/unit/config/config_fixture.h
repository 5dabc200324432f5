/* config_fixture.h - loads a text with an environment, and gives the faults as one text.
 *
 * Only for the tests of this room. The text is copied, because comments in it are
 * blanked in place. */
#ifndef TEST_CONFIG_FIXTURE_H
#define TEST_CONFIG_FIXTURE_H
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config_priv.h"

#include <cmocka.h>

#define JOINED_BYTES 65536

static inline void join_faults(const struct faults *faults, char joined[JOINED_BYTES])
{
    size_t used = 0;

    joined[0] = '\0';
    for (uint32_t i = 0; i < faults_count(faults); i++) {
        struct str line = faults_text(faults, i);
        assert_true(used + line.len + 2 < JOINED_BYTES);
        if (i > 0)
            joined[used++] = '\n';
        memcpy(joined + used, line.ptr, line.len + 1);
        used += line.len;
    }
}

/* The snapshot or NULL; the faults, joined with newlines, in `joined` (may be NULL: none are
 * expected). */
static inline struct config *load_bytes(const char *bytes, size_t len, char *const *env,
                                        char joined[JOINED_BYTES])
{
    struct faults *faults = faults_new();
    char *copy = malloc(len + 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    struct config *config = config_load_text("f", copy, len, env, faults);
    assert_int_equal(config == NULL, faults_count(faults) > 0);
    if (joined != NULL)
        join_faults(faults, joined);
    else if (config == NULL)
        fail_msg("unexpected fault: %s", faults_text(faults, 0).ptr);
    free(copy);
    faults_free(&faults);
    return config;
}

static inline struct config *load_text(const char *text, char *const *env,
                                       char joined[JOINED_BYTES])
{
    return load_bytes(text, strlen(text), env, joined);
}

static inline void print_config(const struct config *config, struct buf *out, bool as_json)
{
    *out = buf_new(64 * 1024 * 1024);
    assert_true(config_write(config, out, as_json));
    assert_true(buf_add_char(out, '\0'));
    out->len--;
}

#endif
