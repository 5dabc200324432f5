/* verified.c - tokens that were found right, so that a hot one is not verified again.
 *
 * A token is remembered by a keyed 128-bit hash, never by its text; what stands beside it is what
 * the walk needs. An entry holds under one configuration and one set of keys (`epoch`): a reload
 * and a rotation make it a stranger. The table is fixed, four places a hash; a worker has its own.
 * Refusals are not remembered: they differ each time, and would push the good ones out. */
#include "identify/identify_priv.h"

#include <stdlib.h>

enum { SLOTS = 4096, WAYS = 4 };

struct verified_table {
    struct hash_key key; /* random: nobody can aim at a place */
    struct verified *slots;
};

struct verified_table *verified_new(void)
{
    struct verified_table *table = calloc(1, sizeof(*table));

    if (table != NULL)
        random_secret(&table->key, sizeof(table->key));
    return table;
}

void verified_free(struct verified_table **table)
{
    if (*table != NULL)
        free((*table)->slots);
    free(*table);
    *table = NULL;
}

struct hash128 verified_tag(const struct verified_table *table, struct str token)
{
    return hash_sip128(&table->key, token);
}

static struct verified *bucket(const struct verified_table *table, struct hash128 tag)
{
    return &table->slots[tag.lo % (SLOTS / WAYS) * WAYS];
}

const struct verified *verified_find(const struct verified_table *table, struct hash128 tag,
                                     uint64_t epoch)
{
    if (table->slots == NULL)
        return NULL;
    struct verified *at = bucket(table, tag);
    for (int i = 0; i < WAYS; i++)
        if (at[i].epoch == epoch && at[i].tag.lo == tag.lo && at[i].tag.hi == tag.hi)
            return &at[i];
    return NULL;
}

struct verified *verified_place(struct verified_table *table, struct hash128 tag, uint64_t epoch)
{
    if (table->slots == NULL) /* made with the first token: who has none pays nothing */
        table->slots = calloc(SLOTS, sizeof(*table->slots));
    if (table->slots == NULL)
        return NULL;
    struct verified *at = bucket(table, tag), *place = &at[random_u64() % WAYS];
    for (int i = 0; i < WAYS; i++)
        if (at[i].epoch != epoch) /* empty, or of another configuration */
            place = &at[i];
    place->tag = tag;
    place->epoch = epoch;
    return place;
}
