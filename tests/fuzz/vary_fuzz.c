/* vary_fuzz.c - names of Vary, and keys that no two different requests share.
 *
 * The input is two requests' values of one field, cut at the first NUL. Held:
 * equal keys without `normalize` mean equal values but for blanks; equal keys with it mean
 * the same set of members; names come sorted, in lower case and once, and give
 * themselves again. */
#include "caching_input.h"
#include "http/http.h"

static struct str key_of(struct str name, const struct http_fields *request, bool normalize)
{
    struct buf out = buf_new(1 << 20);

    CHECK(http_vary_key(&out, name, request, normalize, arena));
    struct str key = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    CHECK(key.ptr != NULL);
    return key;
}

/* Without any blank, in lower case when `folds`. */
static struct str bare(const struct http_fields *request, enum http_name id, bool folds)
{
    struct str value = http_fields_joined(request, arena, id);
    char *text = arena_take(arena, value.len + 1);
    size_t len = 0;

    CHECK(text != NULL);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] != ' ' && value.ptr[i] != '\t')
            text[len++] = folds ? ascii_lower(value.ptr[i]) : value.ptr[i];
    }
    return str_at(text, len);
}

/* Is every member's name of `a` in `b`? */
static bool names_are_in(struct str a, struct str b)
{
    struct str rest = a, member;

    while (rest.len > 0 && str_split(&rest, ',', &member)) {
        struct str name = str_at(member.ptr, str_find(member, ';')), others = b, other;
        bool is_found = member.len == 0;
        while (!is_found && others.len > 0 && str_split(&others, ',', &other))
            is_found = str_eq(name, str_at(other.ptr, str_find(other, ';')));
        if (!is_found)
            return false;
    }
    return true;
}

static void check_pair(const struct http_fields *a, const struct http_fields *b, enum http_name id)
{
    struct str name = http_name_text(id);
    bool has_a = http_fields_count_of(a, id) > 0, has_b = http_fields_count_of(b, id) > 0;

    if (str_eq(key_of(name, a, false), key_of(name, b, false))) {
        CHECK(has_a == has_b);
        CHECK(str_eq(bare(a, id, false), bare(b, id, false)));
    }
    (void)http_vary_language_fits(bare(a, id, false), bare(b, id, false), STR("de"));
    if (http_vary_language_fits(key_of(name, a, true), key_of(name, b, true), STR("de")))
        CHECK(has_b && id == HTTP_ACCEPT_LANGUAGE);
    if (str_eq(key_of(name, a, true), key_of(name, b, true))) {
        CHECK(has_a == has_b);
        CHECK(names_are_in(bare(a, id, true), bare(b, id, true)));
        CHECK(names_are_in(bare(b, id, true), bare(a, id, true)));
    }
}

static void check_names(struct str text)
{
    struct http_fields answer = input_fields(text, HTTP_VARY), again;
    bool is_star, is_star_again;
    struct str names = http_vary_names(&answer, arena, &is_star), rest = names, name,
               last = STR_NONE;

    if (is_star)
        return;
    while (rest.len > 0 && str_split(&rest, ',', &name)) {
        CHECK(http_is_token(name) && !str_eq(name, last));
        last = name;
    }
    CHECK(http_fields_init(&again, arena, 1) && http_fields_add_id(&again, HTTP_VARY, names));
    CHECK(str_eq(http_vary_names(&again, arena, &is_star_again), names) && !is_star_again);
    (void)key_of(names, &answer, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum http_name ids[] = {HTTP_ACCEPT_LANGUAGE, HTTP_ACCEPT_ENCODING, HTTP_ORIGIN};
    struct str input = input_copy(data, size);
    size_t cut = str_find(input, '\0');

    input_begin();
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        struct http_fields a = input_fields(str_at(input.ptr, cut), ids[i]);
        struct http_fields b = input_fields(str_from(input, cut + 1), ids[i]);
        check_pair(&a, &b, ids[i]);
    }
    check_names(input);
    input_free(input);
    return 0;
}
