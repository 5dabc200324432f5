/* http_date_fuzz.c - what is read as a date can be written, and read again as the same.
 *
 * The first eight bytes are a time: written, it must be read as itself. The rest
 * is text: if it is a date, the canonical form must mean the same moment. */
#include "caching_input.h"
#include "http/http.h"

enum { YEAR_S = 31556952 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t least = INT64_C(-62167219200), most = INT64_C(253402300799);
    const int64_t now_s = INT64_C(1800000000);
    int64_t time_s = 0;
    char text[30];

    if (size >= 8) {
        memcpy(&time_s, data, 8);
        http_date_write(text, time_s);
        CHECK(strlen(text) == 29);
        int64_t kept_s = time_s < least ? least : time_s > most ? most : time_s;
        CHECK(http_date_parse(str_of(text), now_s) == kept_s);
        if (size > 16)
            (void)http_date_parse(str_at((const char *)data + 8, size - 8), time_s);
    }
    struct str input = input_copy(data, size);
    int64_t read_s = http_date_parse(input, now_s);
    if (read_s != HTTP_NO_TIME) {
        CHECK(read_s >= least && read_s <= most + 1); /* + 1: a leap second at the end of all */
        if (read_s <= most) {
            http_date_write(text, read_s);
            CHECK(http_date_parse(str_of(text), now_s) == read_s);
        }
        /* two digits of a year never mean more than fifty years ahead */
        if (input.len > 29 || (input.len > 8 && str_find(input, '-') < input.len))
            CHECK(read_s <= now_s + (int64_t)51 * YEAR_S);
    }
    input_free(input);
    return 0;
}
