/* pattern.c - one path pattern: is it well formed, how good is it, does it match?
 *
 * `/a/b` is that path alone, `{name}` one segment that is not empty, and with `*` as its
 * last segment a pattern is everything below, and the path before it too. Nothing here backtracks:
 * pattern and path are walked once, side by side, so no pattern is slow on any path. Pure
 * functions; any thread. */
#include "route/route_priv.h"

bool pattern_cut(struct str *rest, struct str *segment)
{
    if (rest->len == 0)
        return false;
    *rest = str_from(*rest, 1); /* the slash */
    size_t end = str_find(*rest, '/');
    *segment = str_at(rest->ptr, end);
    *rest = str_at(rest->ptr + end, rest->len - end);
    return true;
}

bool pattern_parameter(struct str segment, struct str *name)
{
    if (segment.len < 2 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}')
        return false;
    *name = str_at(segment.ptr + 1, segment.len - 2);
    return true;
}

static bool is_name_char(char c)
{
    char low = ascii_lower(c);

    return (low >= 'a' && low <= 'z') || ascii_is_digit(c) || c == '_' || c == '-';
}

static const char *name_fault(struct str name)
{
    if (name.len == 0)
        return "a parameter without a name, expected {name}";
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i]))
            return "a parameter's name is made of letters, digits, - and _";
    }
    return NULL;
}

static const char *literal_fault(struct str segment)
{
    if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
        return "dot segments never match: paths are normalised";
    for (size_t i = 0; i < segment.len; i++) {
        unsigned char c = (unsigned char)segment.ptr[i];

        if (c == '*')
            return "* stands alone and last, as in /a/*";
        if (c == '{' || c == '}')
            return "a parameter is a whole segment, as in /a/{name}";
        if (c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '\\')
            return "blanks, control bytes, ?, #, \\ and bytes over 126 are in no path: encode them";
        if (c == '%' && (i + 2 >= segment.len || ascii_hex_value(segment.ptr[i + 1]) < 0 ||
                         ascii_hex_value(segment.ptr[i + 2]) < 0))
            return "% is followed by two hexadecimal digits";
    }
    return NULL;
}

/* Was the name seen before `end` in the pattern? */
static bool is_repeated(struct str pattern, struct str name)
{
    struct str rest = str_at(pattern.ptr, (size_t)(name.ptr - pattern.ptr) - 1), segment, other;

    while (pattern_cut(&rest, &segment)) {
        if (pattern_parameter(segment, &other) && str_eq(other, name))
            return true;
    }
    return false;
}

const char *pattern_fault(struct str pattern)
{
    struct str rest = pattern, segment, name;
    uint32_t parameters = 0, depth = 0;

    if (pattern.len == 0 || pattern.ptr[0] != '/')
        return "expected a path that begins with /";
    while (pattern_cut(&rest, &segment)) {
        const char *fault = NULL;

        if (++depth > PATTERN_DEPTH_MOST)
            return "at most 128 segments";
        if (segment.len == 0 && rest.len > 0)
            return "// never matches: paths are normalised";
        if (pattern_is_tail(segment, rest)) {
            parameters++;
        } else if (pattern_parameter(segment, &name)) {
            parameters++;
            fault = name_fault(name);
            if (fault == NULL && is_repeated(pattern, name))
                fault = "a parameter's name is there twice";
        } else {
            fault = literal_fault(segment);
        }
        if (fault != NULL)
            return fault;
    }
    return parameters <= ROUTE_MAX_PARAMETERS ? NULL : "at most 16 parameters";
}

uint64_t pattern_rank(struct str pattern)
{
    struct str rest = pattern, segment, name;
    uint64_t literal = 0;
    bool has_tail = false, has_parameter = false;

    while (pattern_cut(&rest, &segment)) {
        literal++; /* the slash */
        if (pattern_is_tail(segment, rest))
            has_tail = true;
        else if (pattern_parameter(segment, &name))
            has_parameter = true;
        else
            literal += segment.len;
    }
    if (!has_tail && !has_parameter)
        return UINT64_MAX;
    return literal * 2 + !has_tail;
}

bool pattern_is_same(struct str a, struct str b)
{
    struct str a_segment, b_segment, name;

    while (a.len > 0 && b.len > 0) {
        if (!pattern_cut(&a, &a_segment) || !pattern_cut(&b, &b_segment))
            return false;
        if (pattern_parameter(a_segment, &name) && pattern_parameter(b_segment, &name))
            continue;
        if (!str_eq(a_segment, b_segment))
            return false;
    }
    return a.len == 0 && b.len == 0;
}

static void add_parameter(struct route_match *match, struct str name, struct str value)
{
    if (match != NULL && match->parameter_count < ROUTE_MAX_PARAMETERS)
        match->parameters[match->parameter_count++] = (struct route_parameter){name, value};
}

bool pattern_match(struct str pattern, struct str path, struct route_match *match)
{
    struct str wanted, segment, name;

    if (match != NULL)
        match->parameter_count = 0;
    while (pattern_cut(&pattern, &wanted)) {
        if (pattern_is_tail(wanted, pattern)) {
            add_parameter(match, STR("*"), str_from(path, path.len > 0));
            return true;
        }
        if (!pattern_cut(&path, &segment))
            return false;
        if (!pattern_parameter(wanted, &name)) {
            if (!str_eq(wanted, segment))
                return false;
        } else {
            if (segment.len == 0)
                return false;
            add_parameter(match, name, segment);
        }
    }
    return path.len == 0;
}

bool route_pattern_matches(struct str pattern, struct str path)
{
    /* the fault last: most patterns do not match, and reading one for faults costs more */
    return path.len > 0 && path.ptr[0] == '/' && pattern_match(pattern, path, NULL) &&
           pattern_fault(pattern) == NULL;
}
