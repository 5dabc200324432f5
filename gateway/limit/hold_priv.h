/* hold_priv.h - requests at a time in the store, as its two files know them: hold_store.c (who asks
 * and who holds), hold_link.c (what the server is told).
 *
 * One worker's; everything in it is touched by its thread alone. */
#ifndef GATEWAY_LIMIT_HOLD_PRIV_H
#define GATEWAY_LIMIT_HOLD_PRIV_H
#include "limit/link_priv.h"

enum { KEY_CHAINS = 1024, HOLD_ASKS_MOST = 64, HOLD_ASKS_ON_WAY = 256 };

/* Of one key, while somebody asks for it or holds it. */
struct held_key {
    struct held_key *chain;        /* of the same place in `keys` */
    struct held_key *next, **back; /* all of them */
    struct held_key *next_in_turn;
    struct hash128 key;
    uint32_t held;                              /* by requests of this worker */
    struct limit_hold_part *waits, *waits_last; /* for the next question */
    struct limit_hold_part *asked;              /* for the one on its way, in the order of asking */
    bool is_asked, is_late;                     /* a question is on its way; its time is over */
    bool is_changed;                            /* the server knows another number than `held` */
    bool is_in_turn;
};
/* A question on its way. */
struct hold_ask {
    struct limit_holds *holds;
    struct hold_ask *next, **back;
    uint32_t count;
    struct held_key *at[HOLD_ASKS_MOST];
};
struct limit_holds {
    struct limit_store *store;
    struct held_key *keys[KEY_CHAINS], *all, *turn;
    struct hold_ask *asks; /* all on their way */
    uint32_t ask_count;
    struct redis_script script;
    struct turn_end flush;
    bool is_flush_asked;
    struct deadline renew;
    char id[17]; /* of this holder */
};

/* ---- hold_store.c ---- */
/* `granted` of those who asked have it, of `in_use` then; false for `ok`: nobody answered. */
void held_answer(struct limit_holds *holds, struct held_key *key, bool ok, uint32_t granted,
                 uint32_t in_use);
/* Frees it when nobody has to do with it. */
void held_release(struct limit_holds *holds, struct held_key *key);

/* ---- hold_link.c ---- */
void holds_link_init(struct limit_holds *holds);
/* At the end of the turn: the server is told how many are held, and asked for who waits. */
void holds_ask_soon(struct limit_holds *holds, struct held_key *key);
void holds_link_end(struct limit_holds *holds);

#endif
