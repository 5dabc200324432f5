/* greet.c - the first words on a connection: who we are, which database, is it usable.
 *
 * Commands wait until the greeting has passed: behind a SELECT that fails they would run in
 * another database. Its last command tells whether the place may be used: PING meets LOADING
 * and NOAUTH, ROLE tells a master that a Sentinel still names, but that is none any more.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

#include <stdio.h>

bool greeting_write(struct redis_link *link)
{
    const struct redis_url *url = &link->redis->options.url;
    bool is_sentinel = link->role == LINK_SENTINEL, ok = true;
    char database[16];
    const char *auth[4] = {"AUTH"}, *select[] = {"SELECT", database, NULL};
    const char *name[] = {"CLIENT", "SETNAME", link->redis->options.name, NULL};
    const char *last[] = {url->kind == REDIS_SENTINEL && !is_sentinel ? "ROLE" : "PING", NULL};

    link->greetings = 1;
    if (!is_sentinel && url->password[0] != '\0') {
        auth[1] = url->user[0] != '\0' ? url->user : url->password;
        auth[2] = url->user[0] != '\0' ? url->password : NULL;
        ok = encode_text(&link->out, auth);
        link->greetings++;
    }
    if (name[2] != NULL) {
        ok = ok && encode_text(&link->out, name);
        link->greetings++;
    }
    if (!is_sentinel && url->database != 0) {
        snprintf(database, sizeof(database), "%u", (unsigned)url->database);
        ok = ok && encode_text(&link->out, select);
        link->greetings++;
    }
    return ok && encode_text(&link->out, last);
}

static void on_greeted(struct redis_link *link)
{
    link->state = LINK_UP;
    link->failures = 0;
    link->why[0] = '\0';
    deadline_clear(link->redis->loop, &link->timer);
    if (link->held.len > 0 && !buf_add_str(&link->out, buf_str(&link->held)))
        link_doom(link, "out of memory");
    link->first = link->held_first;
    link->last = link->held_last;
    link->held_first = link->held_last = NULL;
    buf_clear(&link->held);
    if (link->first != NULL) {
        link_ask_flush(link);
        link_arm(link,
                 loop_now_us(link->redis->loop) + (uint64_t)link->redis->options.stall_ms * 1000);
    }
    redis_link_changed(link);
}

void greeting_take(struct redis_link *link, const struct redis_reply *reply)
{
    const struct redis_reply *role = redis_item(reply, 0);
    bool is_named = reply->form == REDIS_FAULT && str_has(reply->text, STR("setname"));

    link->greetings--;
    if (reply->form == REDIS_FAULT && !is_named && !str_starts(reply->text, STR("NOPERM"))) {
        link_say_why(link, "refused: %.*s", (int)(reply->text.len < 120 ? reply->text.len : 120),
                     reply->text.ptr);
    } else if (link->greetings == 0 && role != NULL && !str_eq(role->text, STR("master"))) {
        link_say_why(link, "it is no master");
    } else {
        if (link->greetings == 0)
            on_greeted(link);
        return;
    }
    link->doom = link->why;
    link_arm(link, loop_now_us(link->redis->loop));
}
