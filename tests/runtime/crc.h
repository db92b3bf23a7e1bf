/* crc.h - CRC-32C bit by bit: what the fast one of runtime/check.c must give. */
#ifndef TEST_CRC_H
#define TEST_CRC_H
#include <stddef.h>
#include <stdint.h>

/* crc: of the bytes before, 0 for the first. */
static inline uint32_t slow_crc(uint32_t crc, const void *data, size_t n) {
    crc = ~crc;
    for (const unsigned char *p = data; n; p++, n--) {
        crc ^= *p;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

#endif
