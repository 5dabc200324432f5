/* slot.c - the hash slot of a key in a Cluster.
 *
 * CRC16 of the XMODEM kind (polynomial 0x1021, start 0), modulo 16384, over the hash tag if the
 * key has one. Bit by bit: a key has some forty bytes, and only Clusters ask. */
#include "redis/redis_priv.h"

static uint16_t crc16(struct str bytes)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint32_t)(uint8_t)bytes.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

uint32_t redis_slot(struct str key)
{
    size_t open = str_find(key, '{');

    if (open < key.len) {
        struct str inside = str_from(key, open + 1);
        size_t close = str_find(inside, '}');

        if (close > 0 && close < inside.len)
            key = str_at(inside.ptr, close);
    }
    return crc16(key) % REDIS_SLOTS;
}
