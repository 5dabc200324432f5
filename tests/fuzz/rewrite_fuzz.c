/* rewrite_fuzz.c - templates and prefixes on any target.
 *
 * Input: lines: path pattern, template, prefix, raw target. Held: whatever comes out is an
 * origin-form target that names no other server and climbs nowhere; a query of the client's
 * is kept to its last byte; a template that the check passes has a value for every hole. */
#include "route/route_priv.h"

#include "http/http.h"

static struct str next_line(struct str *rest)
{
    struct str line = STR_NONE;

    (void)(rest->len > 0 && str_split(rest, '\n', &line));
    return line;
}

static void check_target(struct str target)
{
    struct str path = http_split_target(target).path, segment;

    CHECK(target.len > 0 && target.ptr[0] == '/' && !str_starts(target, STR("//")));
    for (size_t i = 0; i < target.len; i++)
        CHECK((unsigned char)target.ptr[i] > ' ' && (unsigned char)target.ptr[i] < 0x7f);
    while (pattern_cut(&path, &segment))
        CHECK(!str_eq(segment, STR("..")) && !str_eq(segment, STR(".")));
}

static void check_one(struct str input, struct arena *arena)
{
    struct route_config route = {.match.path = next_line(&input)};
    struct route_match match = {.route = &route};
    struct str target = STR_NONE;

    route.rewrite = next_line(&input);
    route.strip_prefix = next_line(&input);
    struct str raw = next_line(&input);
    bool is_checked = rewrite_fault(route.rewrite, route.match.path) == NULL;
    if (pattern_fault(route.match.path) != NULL ||
        http_normalize_path(arena, http_split_target(raw).path, &match.path) != HTTP_SOUND ||
        match.path.len == 0 || !pattern_match(route.match.path, match.path, &match))
        return;
    bool is_sound = route_rewrite(&match, raw, arena, &target);
    if (route.rewrite.len == 0 && route.strip_prefix.len == 0) {
        CHECK(is_sound && str_eq(target, raw));
        return;
    }
    if (!is_sound)
        return;
    CHECK(is_checked || route.rewrite.len > 0);
    check_target(target);
    struct str query = http_split_target(raw).query;
    CHECK(query.ptr == NULL || str_ends(target, query));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096, 1 << 22);

    CHECK(arena != NULL);
    check_one(str_at((const char *)data, size), arena);
    arena_free(&arena);
    return 0;
}
