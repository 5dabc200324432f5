/* base.h - what every folder stands on: slices, growable buffers with a
 * ceiling, arenas, hashes, clocks, random bytes, CHECK, reasons for people.
 *
 * Nothing here knows HTTP, configuration or threads, but for the two places
 * that say so (the logs and the per-thread random state). */
#ifndef GATEWAY_BASE_H
#define GATEWAY_BASE_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GATEWAY_VERSION "0.1.0"

#define MUST_USE                        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)               __attribute__((format(printf, f, a)))
#define COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A bug stops us, in release builds too: the line, on stderr, then abort(). */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            check_failed(__FILE__, __LINE__, #condition);                                          \
    } while (0)
_Noreturn void check_failed(const char *file, int line, const char *condition);

/* ---- fail.c: a reason that a person will read ------------------------- */

struct fail {
    char text[512]; /* empty: no failure yet */
};
/* Writes the reason; a longer one is cut. Returns false, so that a function can
 * `return fail_set(why, …)`. `why` may be NULL. */
bool fail_set(struct fail *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- str.c: slices; never owned, never NUL-terminated ----------------- */

struct str {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;
};
#define STR(literal) ((struct str){("" literal), sizeof(literal) - 1})
#define STR_NONE     ((struct str){NULL, 0})
#define STR_ARG(s)   (int)(s).len, (s).ptr /* for "%.*s" */

struct str str_of(const char *text); /* borrowed; NULL gives STR_NONE */
static inline struct str str_at(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}
/* Here for the compiler to see: most are compared with a literal. */
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s);               /* blanks and tabs at both ends */
struct str str_from(struct str s, size_t start); /* what follows; empty past the end */
size_t str_find(struct str s, char c);           /* index, or s.len */
bool str_has(struct str s, struct str part);
/* Cuts *rest at the next `separator`: the part before it is returned, *rest is
 * what follows. False when *rest was exhausted (ptr NULL). */
bool str_split(struct str *rest, char separator, struct str *part);
/* Digits only, no sign, no blank; false when empty, not digits, or over UINT64_MAX. */
bool str_to_u64(struct str s, uint64_t *value) MUST_USE;
/* Does `text` match the glob (`*` anything, the rest literally)? Linear time. */
bool str_glob(struct str glob, struct str text);
static inline char ascii_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}
static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
int ascii_hex_value(char c); /* 0..15, or -1 */
/* Writes the decimal digits, without a NUL; returns how many. */
#define U64_DIGITS 20 /* UINT64_MAX has twenty */
size_t u64_write(char to[U64_DIGITS], uint64_t value);
/* Writes `digits` lower-case hex digits of the value's low end; returns where they end. */
char *hex_write(char *to, uint64_t value, int digits);

/* ---- buf.c: a growable buffer with a ceiling -------------------------- */

struct buf {
    char *ptr; /* owned; NULL while empty */
    size_t len, room, max;
    bool is_broken; /* the ceiling was met or memory ran out: every later append fails */
};
struct buf buf_new(size_t max_bytes);
void buf_free(struct buf *buf);  /* NULL is fine; usable again after */
void buf_clear(struct buf *buf); /* keeps the memory; no longer broken */
bool buf_add(struct buf *buf, const void *bytes, size_t len);
bool buf_add_str(struct buf *buf, struct str s);
bool buf_add_char(struct buf *buf, char c);
bool buf_add_u64(struct buf *buf, uint64_t value); /* decimal */
bool buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
bool buf_add_json(struct buf *buf,
                  struct str s); /* quoted and escaped; invalid UTF-8 becomes U+FFFD */
bool buf_reserve(struct buf *buf, size_t more); /* room for `more` bytes after len */
/* Copies what follows *at, at most `room` bytes, and moves *at behind it: how many; 0: no more. */
size_t buf_read(const struct buf *buf, size_t *at, char *to, size_t room);
void buf_drop_front(struct buf *buf, size_t len); /* forget the first `len` bytes */
static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->ptr, buf->len};
}

/* ---- arena.c: memory that lives as long as its owner ------------------ */

struct arena; /* one thread at a time */
/* Blocks of `block_bytes`; the total never passes max_bytes. NULL: out of memory. */
struct arena *arena_new(size_t block_bytes, size_t max_bytes) MUST_USE;
void arena_free(struct arena **arena);
/* Forgets everything and keeps the first block for the next owner. */
void arena_reset(struct arena *arena);
/* 16-byte aligned, not zeroed; NULL past the ceiling or without memory. */
void *arena_take(struct arena *arena, size_t size) MUST_USE;
void *arena_zero(struct arena *arena, size_t size) MUST_USE;
/* A copy, NUL-terminated behind its end; ptr NULL on failure (also for an empty source: ptr is not
 * NULL then). */
struct str arena_copy(struct arena *arena, struct str s) MUST_USE;
/* printf into the arena; ptr NULL on failure. */
struct str arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- hash.c ------------------------------------------------------------ */

struct hash_key {
    uint64_t k[2];
};
struct hash128 {
    uint64_t lo, hi;
};
/* SipHash-2-4 with 64- and 128-bit results (Aumasson and Bernstein, 2012). */
uint64_t hash_sip64(const struct hash_key *key, struct str bytes);
struct hash128 hash_sip128(const struct hash_key *key, struct str bytes);
/* Writes 64 lower-case hex digits and a NUL. */
void hash_sha256_hex(struct str bytes, char hex[65]);
/* Writes 40 and a NUL. For names that Redis gives to scripts, never for secrets. */
void hash_sha1_hex(struct str bytes, char hex[41]);
/* True when equal; takes the same time wherever they differ (length is not hidden). */
bool bytes_equal_constant_time(const void *a, const void *b, size_t len);

/* ---- map.c: seeded hash map from a slice to a pointer ------------------ */

struct map; /* one thread at a time; keys are borrowed and must outlive it */
struct map *map_new(void) MUST_USE;
void map_free(struct map **map); /* the values are not touched */
bool map_put(struct map *map, struct str key,
             void *value) MUST_USE; /* replaces; false: no memory */
void *map_get(const struct map *map, struct str key);
void *map_remove(struct map *map, struct str key);
size_t map_count(const struct map *map);
/* Calls fn for each entry, in no order. fn must not change the map. */
void map_each(const struct map *map, void (*fn)(void *arg, struct str key, void *value), void *arg);

/* ---- clock.c ----------------------------------------------------------- */

uint64_t clock_mono_us(void); /* monotonic, microseconds */
int64_t clock_wall_us(void);  /* since 1970, UTC, microseconds */
uint64_t clock_thread_cpu_us(void);

/* ---- ring.c: the last records of one kind ----------------------------- */
struct ring;
/* NULL: out of memory. */
struct ring *ring_new(uint32_t slots, size_t slot_bytes) MUST_USE;
void ring_free(struct ring **ring);
/* The oldest slot, to be overwritten, locked until ring_close(): fill it and nothing else. */
void *ring_open(struct ring *ring);
void ring_close(struct ring *ring);
typedef bool ring_fits_fn(const void *slot, const void *arg);
/* Copies the newest slot that fits. False: none does. Any thread. */
bool ring_find(struct ring *ring, ring_fits_fn *fits, const void *arg, void *copy);

/* ---- random.c: thread-local generator, seeded by getrandom(2) ---------- */

uint64_t random_u64(void); /* fast, unpredictable enough for jitter and sampling */
void random_secret(void *bytes, size_t len); /* from the kernel; aborts if it cannot */
/* UUID version 7 (RFC 9562) as 36 characters and a NUL. wall_us is the time in it. */
void uuid7_write(char out[37], int64_t wall_us);

/* ---- log.c: lines that never block their writer (any thread) ----------- */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
struct log_options {
    const char *access_path; /* "stdout", "stderr", "off" or a path; copied */
    const char *error_path;
    bool json; /* false: readable text for the error log */
    enum log_level level;
};
/* Starts the writer thread (once a process), or applies new options. False, with the
 * old ones in force, when a path cannot be opened. */
bool log_open(const struct log_options *options, struct fail *why) MUST_USE;
void log_reopen(void); /* SIGUSR1: opens the paths again; an old fd is kept on failure */
void log_close(void);  /* writes what is left (bounded by 1 s) and ends the thread */
/* One line of the error log; before log_open() and after log_close() it goes to stderr. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
/* One whole line of the access log, without its newline. Copied into a bounded
 * buffer; dropped and counted when that is full. */
void log_access(struct str line);
bool log_access_is_on(void);
uint64_t log_dropped(void); /* lines lost since the start */

/* ---- file.c ------------------------------------------------------------ */

/* The whole file, NUL-terminated, the caller's to free(); NULL with the reason
 * (missing, a directory, over max_bytes, not readable). */
char *file_read(const char *path, size_t max_bytes, size_t *len, struct fail *why) MUST_USE;
/* What one read of a file gives, in `to`: for those that the kernel makes in memory (/proc,
 * /sys), which do not block. Empty when it cannot be read. Any thread. */
struct str file_peek(const char *path, char *to, size_t room);

#endif
