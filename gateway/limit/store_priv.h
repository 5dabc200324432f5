/* store_priv.h - what the files of the Redis store share: the script and its packed forms.
 *
 * A decision goes as one argument and comes back as one string; both are packed little-endian, by
 * packed.c alone. Times in records are the server's, microseconds since 1970. */
#ifndef GATEWAY_LIMIT_STORE_PRIV_H
#define GATEWAY_LIMIT_STORE_PRIV_H
#include "limit/limit_priv.h"

/* ---- script.c ---- */
extern const char limit_script_source[];
extern const char limit_script_clock[]; /* its one line that reads the clock */

/* ---- packed.c ---- */
enum packed_op { PACKED_TAKE, PACKED_GIVE_BACK, PACKED_CHARGE };
enum {
    PACKED_WINDOW_BYTES = 1 + 5 * 8,
    PACKED_ASK_BYTES = 12 + 2 + LIMIT_MAX_WINDOWS * PACKED_WINDOW_BYTES,
    PACKED_MOST_WANT = 1024,
    PACKED_KEY_BYTES = 160 /* with the longest prefix */
};
/* The key's name: PREFIXlimit:{CLIENT}:POLICY.SHAPE; how many bytes. The tag in braces is the
 * client's, so that a Cluster keeps together what one decision needs; the shape changes with the
 * windows, so that no record is read as another kind's. */
size_t packed_key(const struct limit_policy *policy, struct str prefix, char to[PACKED_KEY_BYTES]);
/* What to ask: `want` times `cost`. wall_us: for where months begin. How many bytes. */
size_t packed_ask(enum packed_op op, uint32_t want, uint64_t cost,
                  const struct limit_policy *policies, uint32_t policy_count, int64_t wall_us,
                  uint8_t to[PACKED_ASK_BYTES]);
/* The answer: the server's time, how often it granted, and the records as they were before.
 * False: it is none. */
struct packed_answer {
    struct limit_time now;
    uint32_t granted;
    union window_record records[LIMIT_MAX_WINDOWS];
};
bool packed_answer_read(struct str text, const struct window_config *const *windows, uint32_t count,
                        struct packed_answer *answer) MUST_USE;
/* A record of the script's, as stored; false: it is none. */
bool packed_record_read(const uint8_t *from, const struct window_config *window,
                        union window_record *record) MUST_USE;
uint32_t packed_record_bytes(enum window_kind kind);

#endif
