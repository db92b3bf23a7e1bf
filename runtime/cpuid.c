/* cpuid.c - which code variants can run on this CPU, and the choice of one.
 *
 * A variant's level is a micro-architecture level of the x86-64 psABI: all of its features must be offered by the CPU,
 * and its registers saved by the operating system (XCR0). Level 0 runs anywhere. Variants stand worst first, so the
 * last that runs is best.
 */
#include "runtime/runtime.h"
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* XCR0: which register files the system saves. Only to be read when cpuid says OSXSAVE. */
static uint64_t saved_registers(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

static uint64_t cpu_level(void) {
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
#else
static uint64_t cpu_level(void) { return 0; }
#endif

static void list_variants(const xf_variant *v, xf_text *t) {
    for (; v->name; v++) xf_text_printf(t, "%s%s", t->n ? ", " : "", v->name);
}

xf_status xf_variant_pick(const xf_variant *variants, const char *name, const xf_variant **out, xf_error *error) {
    uint64_t level = cpu_level();
    char list[256] = "";
    list_variants(variants, &(xf_text){list, sizeof list, 0});
    const xf_variant *best = NULL, *named = NULL;
    for (const xf_variant *v = variants; v->name; v++) {
        if (name && strcmp(v->name, name) == 0) named = v;
        if (v->level <= level) best = v;
    }
    if (name && !named) return xf_fail(error, XF_E_CPU, "no code variant '%s'; the model has %s", name, list);
    if (named && named->level > level)
        return xf_fail(error, XF_E_CPU, "this CPU cannot run the code variant '%s'", name);
    if (!named && !best)
        return xf_fail(error, XF_E_CPU, "this CPU is older than every code variant of the model: %s", list);
    *out = named ? named : best;
    return XF_OK;
}
