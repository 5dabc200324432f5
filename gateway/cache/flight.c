/* flight.c - collapse: many misses of one key, one fetch.
 *
 * The first to miss leads; who comes later gets a ticket. A ticket is an object of
 * its own, because the request it belongs to may be freed while the message about the
 * outcome is on its way to another thread: leaving clears the ticket's pointer to the
 * wait, and the message frees the ticket. Once the leader has opened its fill,
 * followers get a reader attached on the spot, which stays silent until they have
 * been told of it. What could not be shared is set aside for ten seconds, so that the
 * next ones do not queue for nothing.
 *
 * Threads: a leader's calls and a follower's each on their own worker; the shard's
 * lock guards flights, tickets and asides. */
#include "cache/fill_priv.h"

#include <stdlib.h>

enum { MAX_FOLLOWERS = 10000, ASIDE_US = 10 * 1000 * 1000 };

struct flight {
    struct flight *next; /* of the bucket */
    struct cache *cache;
    struct flight_shard *shard;
    struct fill *fill; /* counted; NULL until it is open */
    struct flight_ticket *tickets;
    uint32_t followers; /* waiting */
    struct hash128 hash;
    size_t key_len;
    char key[];
};

struct flight_ticket {
    struct post post;
    struct flight_shard *shard;
    struct flight *flight;              /* lock; NULL once the outcome is on its way */
    struct flight_ticket *next, **back; /* lock; of the flight */
    struct flight_wait *wait;           /* the follower's thread; NULL once it has left */
    struct loop *loop;
    fill_fn *wake;
    void *arg;
    struct fill_reader *reader;
    enum flight_outcome outcome;
};

static struct flight_shard *flight_shard_of(struct cache *cache, struct hash128 hash)
{
    return &cache->flights[hash.hi % FLIGHT_SHARDS];
}

static struct flight **find_flight(struct flight_shard *shard, const struct cache_key *key)
{
    struct flight **at = &shard->buckets[key->hash.lo % FLIGHT_BUCKETS];

    while (*at != NULL && ((*at)->hash.hi != key->hash.hi ||
                           !str_eq(str_at((*at)->key, (*at)->key_len), key->text)))
        at = &(*at)->next;
    return at;
}

/* ---- set aside ---- */

static struct aside *aside_of(struct flight_shard *shard, struct hash128 hash)
{
    return &shard->asides[hash.lo / FLIGHT_BUCKETS % ASIDE_SLOTS];
}

static bool is_aside(struct flight_shard *shard, struct hash128 hash, uint64_t now_us)
{
    const struct aside *aside = aside_of(shard, hash);

    return aside->hash.lo == hash.lo && aside->hash.hi == hash.hi && now_us < aside->until_us;
}

/* ---- telling ---- */

static void on_outcome(void *arg)
{
    struct flight_ticket *ticket = arg;
    struct flight_wait *wait = ticket->wait;
    struct fill_reader *reader = ticket->reader;
    enum flight_outcome outcome = ticket->outcome;

    free(ticket);
    if (wait == NULL) {
        fill_detach(&reader);
        return;
    }
    wait->ticket = NULL;
    if (reader != NULL)
        fill_reader_arm(reader); /* comes after this call */
    wait->told(wait->arg, outcome, reader);
}

/* Lock held. The ticket leaves its flight, and its follower will hear. */
static void tell(struct flight_ticket *ticket, enum flight_outcome outcome)
{
    if (ticket->flight != NULL) {
        *ticket->back = ticket->next;
        if (ticket->next != NULL)
            ticket->next->back = ticket->back;
        ticket->flight->followers--;
        ticket->flight = NULL;
    }
    ticket->outcome = outcome;
    ticket->post = (struct post){.fn = on_outcome, .arg = ticket};
    loop_post(ticket->loop, &ticket->post);
}

static bool attach(struct flight_ticket *ticket, struct fill *fill)
{
    ticket->reader = fill_attach_for(fill, ticket->loop, ticket->wake, ticket->arg);
    return ticket->reader != NULL;
}

bool flight_is_followed(struct cache *cache, const struct cache_key *key)
{
    struct flight_shard *shard = flight_shard_of(cache, key->hash);
    struct flight *flight;
    bool is_followed;

    pthread_mutex_lock(&shard->lock);
    flight = *find_flight(shard, key);
    is_followed = flight != NULL && flight->followers > 0;
    pthread_mutex_unlock(&shard->lock);
    return is_followed;
}

/* ---- joining ---- */

static struct flight *flight_new(struct cache *cache, struct flight_shard *shard,
                                 const struct cache_key *key)
{
    struct flight *flight = malloc(sizeof(*flight) + key->text.len);

    if (flight == NULL)
        return NULL;
    *flight = (struct flight){.cache = cache, .shard = shard, .hash = key->hash};
    flight->key_len = key->text.len;
    memcpy(flight->key, key->text.ptr, key->text.len);
    return flight;
}

/* Lock held. */
static enum flight_role lead_new(struct cache *cache, struct flight_shard *shard,
                                 const struct cache_key *key, struct flight **lead)
{
    struct flight **bucket = &shard->buckets[key->hash.lo % FLIGHT_BUCKETS];
    struct flight *flight = flight_new(cache, shard, key);

    if (flight == NULL)
        return FLIGHT_ALONE;
    flight->next = *bucket;
    *bucket = flight;
    *lead = flight;
    return FLIGHT_LEAD;
}

static void queue_ticket(struct flight *flight, struct flight_ticket *ticket)
{
    ticket->flight = flight;
    ticket->next = flight->tickets;
    ticket->back = &flight->tickets;
    if (ticket->next != NULL)
        ticket->next->back = &ticket->next;
    flight->tickets = ticket;
    flight->followers++;
}

/* Has the fill come to its end? Then the flight is about to be closed, and says how it went. */
static bool is_over(struct fill *fill)
{
    bool is_ended;

    pthread_mutex_lock(&fill->lock);
    is_ended = fill->state == FILL_WHOLE || fill->state == FILL_CUT;
    pthread_mutex_unlock(&fill->lock);
    return is_ended;
}

/* Lock held. */
static enum flight_role follow(struct flight *flight, struct flight_wait *wait)
{
    struct flight_ticket *ticket;

    if (flight->followers >= MAX_FOLLOWERS || (ticket = calloc(1, sizeof(*ticket))) == NULL)
        return FLIGHT_ALONE;
    ticket->shard = flight->shard;
    ticket->wait = wait;
    ticket->loop = wait->loop;
    ticket->wake = wait->wake;
    ticket->arg = wait->arg;
    if (flight->fill == NULL || is_over(flight->fill)) {
        queue_ticket(flight, ticket);
    } else if (attach(ticket, flight->fill)) {
        tell(ticket, FLIGHT_READ);
    } else { /* it outgrew what may be kept */
        free(ticket);
        return FLIGHT_ALONE;
    }
    wait->ticket = ticket;
    count_add(&flight->cache->collapsed, 1);
    return FLIGHT_FOLLOW;
}

enum flight_role cache_join(struct cache *cache, const struct cache_key *key, uint64_t now_us,
                            struct flight_wait *wait, struct flight **lead)
{
    struct flight_shard *shard = flight_shard_of(cache, key->hash);
    enum flight_role role = FLIGHT_ALONE;
    struct flight *flight;

    *lead = NULL;
    wait->ticket = NULL;
    pthread_mutex_lock(&shard->lock);
    flight = *find_flight(shard, key);
    if (!is_aside(shard, key->hash, now_us))
        role = flight != NULL ? follow(flight, wait) : lead_new(cache, shard, key, lead);
    pthread_mutex_unlock(&shard->lock);
    return role;
}

enum flight_role cache_lead(struct cache *cache, const struct cache_key *key, uint64_t now_us,
                            struct flight **lead)
{
    struct flight_shard *shard = flight_shard_of(cache, key->hash);
    enum flight_role role = FLIGHT_ALONE;

    *lead = NULL;
    pthread_mutex_lock(&shard->lock);
    if (*find_flight(shard, key) != NULL)
        role = FLIGHT_FOLLOW;
    else if (!is_aside(shard, key->hash, now_us))
        role = lead_new(cache, shard, key, lead);
    pthread_mutex_unlock(&shard->lock);
    return role;
}

void flight_leave(struct flight_wait *wait)
{
    struct flight_ticket *ticket = wait->ticket;
    struct flight_shard *shard;

    wait->ticket = NULL;
    if (ticket == NULL)
        return;
    shard = ticket->shard;
    pthread_mutex_lock(&shard->lock);
    if (ticket->flight != NULL) {
        *ticket->back = ticket->next;
        if (ticket->next != NULL)
            ticket->next->back = ticket->back;
        ticket->flight->followers--;
        free(ticket);
    } else {
        ticket->wait = NULL; /* the message is on its way and frees it */
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- leading ---- */

void flight_open(struct flight *flight, struct fill *fill)
{
    pthread_mutex_lock(&fill->lock);
    fill_hold(fill);
    pthread_mutex_unlock(&fill->lock);

    pthread_mutex_lock(&flight->shard->lock);
    CHECK(flight->fill == NULL);
    flight->fill = fill;
    while (flight->tickets != NULL) {
        struct flight_ticket *ticket = flight->tickets;

        tell(ticket, attach(ticket, fill) ? FLIGHT_READ : FLIGHT_GO);
    }
    pthread_mutex_unlock(&flight->shard->lock);
}

void flight_close(struct flight **flight, enum flight_outcome outcome, bool set_aside,
                  uint64_t now_us)
{
    struct flight *closing = *flight, **at;
    struct flight_shard *shard;

    *flight = NULL;
    if (closing == NULL)
        return;
    shard = closing->shard;
    pthread_mutex_lock(&shard->lock);
    at = &shard->buckets[closing->hash.lo % FLIGHT_BUCKETS];
    while (*at != closing)
        at = &(*at)->next;
    *at = closing->next;
    if (outcome == FLIGHT_GO && set_aside)
        *aside_of(shard, closing->hash) = (struct aside){closing->hash, now_us + ASIDE_US};
    while (closing->tickets != NULL)
        tell(closing->tickets, outcome);
    pthread_mutex_unlock(&shard->lock);
    if (closing->fill != NULL) {
        pthread_mutex_lock(&closing->fill->lock);
        fill_unlock_release(closing->fill);
    }
    free(closing);
}

uint32_t flight_followers(struct flight *flight)
{
    uint32_t followers;

    pthread_mutex_lock(&flight->shard->lock);
    followers = flight->followers;
    pthread_mutex_unlock(&flight->shard->lock);
    return followers;
}
