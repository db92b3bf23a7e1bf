/* ulp.c - distances in units of the last place: how many values of a type lie between two of its values.
 *
 * The bits of a floating-point number, read as an integer with the sign handled, are its rank among all numbers of the
 * type, so the distance is a difference of ranks: +0 and -0 are the same, infinity is one step beyond the largest
 * number. A NaN is at distance 0 from another and infinitely far from anything else. Integers are their own ranks.
 */
#include "tools/run/run.h"
#include <stdio.h>
#include <string.h>

static uint64_t element_bits(const xfc_tensor *t, int64_t i) {
    uint64_t bits = 0;
    uint32_t n = xfc_dtype_bytes(t->dtype);
    memcpy(&bits, (const char *)t->data + i * n, n); /* little-endian */
    return bits;
}

/* Bits of the magnitude that infinity has; more is NaN. */
static uint64_t infinity_bits(xfc_dtype t) {
    switch (xfc_dtype_bytes(t)) {
    case 8: return UINT64_C(0x7ff0000000000000);
    case 4: return 0x7f800000u;
    default: return t == XFC_F16 ? 0x7c00u : 0x7f80u;
    }
}

static uint64_t float_distance(xfc_dtype t, uint64_t a, uint64_t b) {
    uint64_t sign = UINT64_C(1) << (8 * xfc_dtype_bytes(t) - 1), infinity = infinity_bits(t);
    uint64_t x = a & (sign - 1), y = b & (sign - 1);
    bool nan = x > infinity, other = y > infinity;
    if (nan || other) return nan && other ? 0 : UINT64_MAX;
    if ((a & sign) != (b & sign)) return x + y;
    return x > y ? x - y : y - x;
}

uint64_t xf_ulps(const xfc_tensor *a, const xfc_tensor *b, int64_t i) {
    if (xfc_dtype_is_float(a->dtype)) return float_distance(a->dtype, element_bits(a, i), element_bits(b, i));
    if (a->dtype == XFC_U64) {
        uint64_t x = element_bits(a, i), y = element_bits(b, i);
        return x > y ? x - y : y - x;
    }
    int64_t x = xfc_tensor_get_i(a, i), y = xfc_tensor_get_i(b, i);
    return x > y ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x;
}

void xf_histogram_add(xf_histogram *h, uint64_t ulps, int64_t at) {
    uint32_t bucket = 0;
    while (bucket < 64 && ulps >> bucket) bucket++;
    h->count[ulps == UINT64_MAX ? XF_ULP_BUCKETS - 1 : bucket]++;
    if (ulps <= h->max) return;
    h->max = ulps;
    h->at = at;
}

void xf_histogram_print(const xf_histogram *h) {
    if (h->max == UINT64_MAX)
        printf("  ulp: NaN against a number at element %lld;", (long long)h->at);
    else
        printf("  ulp: max %llu at element %lld;", (unsigned long long)h->max, (long long)h->at);
    const char *comma = "";
    for (uint32_t b = 0; b < XF_ULP_BUCKETS; b++) {
        if (!h->count[b]) continue;
        printf("%s", comma);
        comma = ",";
        uint64_t first = b ? UINT64_C(1) << (b < 65 ? b - 1 : 0) : 0;
        if (b == XF_ULP_BUCKETS - 1)
            printf(" NaN:");
        else if (b < 2)
            printf(" %llu:", (unsigned long long)first);
        else
            printf(" %llu..%llu:", (unsigned long long)first, (unsigned long long)first * 2 - 1);
        printf(" %lld", (long long)h->count[b]);
    }
    printf("\n");
}
