/* substitute.c - ${NAME} and ${NAME:-default} inside a string.
 *
 * As in a shell: the default stands for a variable that is unset or empty; without a
 * default an unset one is a fault, an empty one is empty. What a variable holds is not
 * looked through again. A dollar sign that no brace follows is itself.
 *
 * Pure but for the arena; any thread. */
#include "config/config_priv.h"

enum { MAX_TEXT = 1024 * 1024 };

struct str env_get(char *const *env, struct str name)
{
    for (; env != NULL && *env != NULL; env++) {
        struct str line = str_of(*env);
        if (line.len > name.len && line.ptr[name.len] == '=' && str_starts(line, name))
            return str_from(line, name.len + 1);
    }
    return STR_NONE;
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        if (c != '_' && !(c >= 'a' && c <= 'z') && !(i > 0 && ascii_is_digit(c)))
            return false;
    }
    return name.len > 0;
}

/* Where the first "${" of `text` is, or text.len. */
static size_t find_start(struct str text)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] == '$' && text.ptr[i + 1] == '{')
            return i;
    }
    return text.len;
}

/* `inside` is what stands between the braces. */
static bool resolve(struct str inside, char *const *env, struct substitution *result,
                    struct str *value, struct fail *why)
{
    size_t colon = str_find(inside, ':');
    struct str name = str_at(inside.ptr, colon);
    bool has_default = colon < inside.len;

    if (!is_name(name) || (has_default && !str_starts(str_from(inside, colon), STR(":-"))))
        return fail_set(why, "holds \"${%.*s}\", expected ${NAME} or ${NAME:-default}",
                        STR_ARG(inside));
    *value = env_get(env, name);
    if (value->ptr != NULL && (value->len > 0 || !has_default)) {
        result->variable = name;
        return true;
    }
    if (!has_default)
        return fail_set(why,
                        "the environment variable %.*s is not set, expected it or ${%.*s:-default}",
                        STR_ARG(name), STR_ARG(name));
    *value = str_from(inside, colon + 2);
    return true;
}

bool substitute(struct str source, char *const *env, struct arena *arena,
                struct substitution *result, struct fail *why)
{
    struct buf out = buf_new(MAX_TEXT);
    struct str rest = source;
    bool is_done = false;
    size_t start;

    *result = (struct substitution){.text = source};
    if (find_start(source) == source.len)
        return true;
    while ((start = find_start(rest)) < rest.len) {
        struct str value = STR_NONE, after = str_from(rest, start + 2);
        size_t end = str_find(after, '}');
        if (end == after.len) {
            fail_set(why, "holds ${ without its closing brace");
            goto done;
        }
        if (!resolve(str_at(after.ptr, end), env, result, &value, why))
            goto done;
        result->is_variable = rest.len == source.len && start == 0 && end + 1 == after.len;
        buf_add(&out, rest.ptr, start);
        buf_add_str(&out, value);
        rest = str_from(after, end + 1);
    }
    buf_add_str(&out, rest);
    result->text = arena_copy(arena, buf_str(&out));
    is_done = !out.is_broken && result->text.ptr != NULL;
    if (!is_done)
        fail_set(why, "is too long after substitution");
done:
    buf_free(&out);
    return is_done;
}
