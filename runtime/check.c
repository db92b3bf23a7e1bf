/* check.c - CRC-32C, and what it is taken of. A checksum that is part of what it covers counts as 0. */
#include "xfc/check.h"
#include <string.h>

/* Four bits at a time: slow and small, for machines that have no instruction. */
static uint32_t by_table(uint32_t crc, const unsigned char *p, size_t n) {
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                       0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    for (; n; p++, n--) {
        crc ^= *p;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
#include <cpuid.h>

static int has_instruction(void) {
    uint32_t a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t n) {
    uint64_t wide = crc, word;
    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n; p++, n--) crc = __builtin_ia32_crc32qi(crc, *p);
    return crc;
}
#else
static int has_instruction(void) { return 0; }
#define by_instruction by_table
#endif

uint32_t xf_crc32c(uint32_t crc, const void *data, size_t n) {
    enum { SHORT = 256 }; /* for which asking the CPU takes longer: under a hypervisor a microsecond or two */
    return ~(n >= SHORT && has_instruction() ? by_instruction(~crc, data, n) : by_table(~crc, data, n));
}

uint32_t xf_plan_check(const void *plan) {
    xf_plan_header head;
    memcpy(&head, plan, sizeof head);
    head.check = 0;
    return xf_crc32c(xf_crc32c(0, &head, sizeof head), (const char *)plan + sizeof head, head.size - sizeof head);
}

uint32_t xf_weights_check(const void *section, size_t data_offset) {
    xf_weights_header head;
    memcpy(&head, section, sizeof head);
    head.check = 0;
    const char *rest = (const char *)section + sizeof head;
    return xf_crc32c(xf_crc32c(0, &head, sizeof head), rest, data_offset - sizeof head);
}

uint32_t xf_variants_check(const xf_variant *v) {
    uint32_t crc = 0;
    for (; v->name; v++) {
        crc = xf_crc32c(crc, v->name, strlen(v->name) + 1);
        crc = xf_crc32c(crc, &v->level, sizeof v->level);
        crc = xf_crc32c(crc, &v->features, sizeof v->features);
    }
    return crc;
}
