/* http.h - what HTTP says, as pure functions: no network, no clock, no state.
 *
 * The door opens on three subjects, each its own page: the header list
 * (fields.h), one message and its parts (message.h), caching (caching.h). */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H
#include "http/caching.h"
#include "http/fields.h"
#include "http/message.h"
#endif
