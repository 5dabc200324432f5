/* config_fuzz.c - any text as a configuration.
 *
 * The input is a text; the environment is a fixed one. Held: there is a snapshot or at
 * least one fault, never both or neither; each fault is one line that starts with the
 * file's name or the environment's; what a sound configuration prints is sound again
 * and prints the same, unless it holds keys, whose names are shortened. */
#include "config/config_priv.h"

#include <stdlib.h>

static char *const env[] = {"A=1", "B=text", NULL};

static struct config *load(struct str text, char *const *with, struct faults *faults)
{
    char *copy = malloc(text.len + 1);

    CHECK(copy != NULL);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct config *config = config_load_text("f", copy, text.len, with, faults);
    free(copy);
    return config;
}

static void check_faults(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults_count(faults); i++) {
        struct str line = faults_text(faults, i);
        CHECK(str_starts(line, STR("f:")) || str_starts(line, STR("environment: ")));
        CHECK(str_find(line, '\n') == line.len);
    }
}

/* Comments go: a text that variables made would otherwise differ in them alone. */
static struct buf printed(const struct config *config)
{
    struct buf out = buf_new(64 * 1024 * 1024);
    size_t len = 0;

    CHECK(config_write(config, &out, false));
    for (size_t i = 0; i < out.len; i++) {
        struct str rest = str_from(buf_str(&out), i);
        if (str_starts(rest, STR(" // from ")))
            i += str_find(rest, '\n');
        out.ptr[len++] = out.ptr[i];
    }
    out.len = len;
    return out;
}

static void check_round_trip(struct config *config)
{
    struct faults *faults = faults_new();
    struct buf first = printed(config);

    CHECK(faults != NULL);
    if (str_has(buf_str(&first), STR("${"))) { /* made of parts; it would be looked through now */
        buf_free(&first);
        faults_free(&faults);
        return;
    }
    struct config *again = load(buf_str(&first), NULL, faults);
    CHECK(again != NULL && faults_count(faults) == 0);
    struct buf second = printed(again);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
    config_release(&again);
    faults_free(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_at((const char *)data, size);
    struct faults *faults = faults_new();

    CHECK(faults != NULL);
    struct config *config = load(input, env, faults);
    CHECK((config == NULL) == (faults_count(faults) > 0));
    check_faults(faults);
    if (config != NULL && config->identity.api_key.key_count == 0)
        check_round_trip(config);
    config_release(&config);
    faults_free(&faults);
    return 0;
}
