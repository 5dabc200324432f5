/* sections_priv.h - rows that more than one section has: the keys of windows, paths.
 *
 * Only the sections_*.c files need it. Constant tables. */
#ifndef GATEWAY_CONFIG_SECTIONS_PRIV_H
#define GATEWAY_CONFIG_SECTIONS_PRIV_H
#include "config/config_priv.h"

extern const struct window_rule window_second, window_minute, window_hour, window_day, window_month;
extern const struct text_rule path_rule; /* starts with a slash */
/* sections_answer.c: of a route */
bool edits_are_set(const struct header_edits *edits);
extern const struct section headers_section, cors_section, respond_section, redirect_section,
    job_section, authorize_section, mirror_section;
extern const struct collection split_list;

#define MAX_REQUESTS INT64_C(1000000000000)
/* The burst comes after the bucket whose capacity it is. */
#define WINDOW_FIELDS(type, member)                                                                \
    FIELD_WITH(window_second, "per_second", kind_window, type, member, NULL, 0, MAX_REQUESTS,      \
               "requests a second, as a token bucket; 0: no such window"),                         \
        FIELD("burst", kind_burst, type, member, NULL, 1, MAX_REQUESTS,                            \
              "capacity of that bucket; absent: per_second"),                                      \
        FIELD_WITH(window_minute, "per_minute", kind_window, type, member, NULL, 0, MAX_REQUESTS,  \
                   "requests in any minute (sliding); 0: no such window"),                         \
        FIELD_WITH(window_hour, "per_hour", kind_window, type, member, NULL, 0, MAX_REQUESTS,      \
                   "requests in any hour (sliding); 0: no such window"),                           \
        FIELD_WITH(window_day, "per_day", kind_window, type, member, NULL, 0, MAX_REQUESTS,        \
                   "requests in any day (sliding); 0: no such window"),                            \
        FIELD_WITH(window_month, "per_month", kind_window, type, member, NULL, 0, MAX_REQUESTS,    \
                   "requests in a calendar month, UTC; 0: no such window"),                        \
        FIELD("windows", kind_windows, type, member, NULL, 0, 0, "other windows, written out"),    \
        FIELD("concurrent", kind_concurrent, type, member.concurrent, "0", 0, 1000000,             \
              "requests at a time; 0: no such limit")

#endif
