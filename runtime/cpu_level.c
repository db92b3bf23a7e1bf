/* cpu_level.c - the micro-architecture level of the x86-64 psABI that this CPU runs, and what it offers beside it.
 *
 * All of a level's features must be offered by the CPU, and its registers saved by the operating system (XCR0). 0: no
 * such level. By itself, so that xfc can ask too (-march=native).
 */
#include "runtime/runtime.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* XCR0: which register files the system saves. Only to be read when cpuid says OSXSAVE. */
static uint64_t saved_registers(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

uint32_t xf_cpu_level(void) {
    /* Leaf 1 ecx, leaf 7 ebx, leaf 0x80000001 ecx, by the psABI's levels. */
    const uint32_t v2_1c = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B;
    const uint32_t v3_1c = bit_AVX | bit_F16C | bit_FMA | bit_MOVBE | bit_OSXSAVE,
                   v3_7b = bit_AVX2 | bit_BMI | bit_BMI2;
    const uint32_t v4_7b = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
    const uint64_t ymm = 0x6, zmm = 0xe6; /* SSE and AVX state; and opmask and both halves of the ZMM state */
    uint32_t a, b, c1, d, b7 = 0, c7, cx = 0;
    if (!__get_cpuid(1, &a, &b, &c1, &d)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d)) b7 = 0;
    if (!__get_cpuid(0x80000001u, &a, &b, &cx, &d)) cx = 0;
    if (!has(c1, v2_1c) || !has(cx, bit_LAHF_LM)) return 1;
    if (!has(c1, v3_1c) || !has(b7, v3_7b) || !has(cx, bit_LZCNT)) return 2;
    uint64_t saved = saved_registers();
    if ((saved & ymm) != ymm) return 2;
    return has(b7, v4_7b) && (saved & zmm) == zmm ? 4 : 3;
}

/* Registers that the system must save belong to the level that a variant asks for, too. */
uint32_t xf_cpu_features(void) {
    static const struct {
        uint32_t feature, leaf, subleaf, reg, bit; /* reg: 0 eax .. 3 edx */
    } row[] = {{XF_CPU_AVX512_BF16, 7, 1, 0, 5}};
    uint32_t found = 0, r[4];
    for (uint32_t i = 0; i < sizeof row / sizeof *row; i++)
        if (__get_cpuid_count(row[i].leaf, row[i].subleaf, &r[0], &r[1], &r[2], &r[3]) &&
            (r[row[i].reg] >> row[i].bit & 1))
            found |= row[i].feature;
    return found;
}
#else
uint32_t xf_cpu_features(void) { return 0; }
uint32_t xf_cpu_level(void) { return 0; }
#endif
