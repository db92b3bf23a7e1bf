/* test_numbers.c - numbers as texts and texts as numbers, against strtod and printf of libc: what is written is read as the
 * same bits and has no digit too many; what is read is the nearest number, ties and ends of the range included. */
#include "runtime/kernels/routines.h"
#include "tests/unit/test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    F64 = 2 | 64 << 8,
    F32 = 2 | 32 << 8,
    F16 = 2 | 16 << 8,
    I64 = 64 << 8,
    U64 = 1 | 64 << 8,
    I8 = 8 << 8,
    U8 = 1 | 8 << 8,
    BOOL = 6 | 8 << 8,
    ROOM = 24
};

static bool read_as(xk_u32 dtype, const char *text, size_t length, void *out) {
    xk_i64 size = (xk_i64)length, one = 1, start = 0;
    unsigned char ok = 7;
    char *bytes = malloc(length + 1);
    memcpy(bytes, text, length);
    const xk_array a[5] = {
        {bytes, &size, 1, 0}, {&start, &one, 1, 0}, {&size, &one, 1, 0}, {out, &one, 1, dtype}, {&ok, &one, 1, 0}};
    xk_read_numbers(&(xk_call){a, NULL}, 0, 1, NULL);
    free(bytes);
    CHECK(ok <= 1);
    return ok == 1;
}

static void write_as(xk_u32 dtype, const void *x, char *out) {
    xk_i64 one = 1, room = ROOM, n = 0, start = 7;
    char *bytes = malloc(ROOM);
    const xk_array a[4] = {
        {(void *)(uintptr_t)x, &one, 1, dtype}, {bytes, &room, 1, 0}, {&start, &one, 1, 0}, {&n, &one, 1, 0}};
    xk_write_numbers(&(xk_call){a, NULL}, 0, 1, NULL);
    CHECK(start == 0 && n > 0 && n <= ROOM);
    memcpy(out, bytes, (size_t)n);
    out[n] = 0;
    for (xk_i64 i = n; i < ROOM; i++) CHECK(bytes[i] == 0);
    free(bytes);
}

static int digits_of(const char *s) {
    int n = 0, zeros = 0;
    for (; *s && *s != 'e'; s++) {
        if (*s < '0' || *s > '9' || (n == 0 && *s == '0')) continue;
        n++, zeros = *s == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

static double f64_of(const char *text) { return strtod(text, NULL); }
static double f32_of(const char *text) { return (double)strtof(text, NULL); }

/* As text and back: the same bits, read by libc as the same, and by one digit less as another. */
static void both(xk_u32 dtype, const void *x, double value, double (*parsed)(const char *)) {
    char text[ROOM + 1], fewer[64];
    double back = 0;
    write_as(dtype, x, text);
    CHECK(read_as(dtype, text, strlen(text), &back));
    CHECK(memcmp(x, &back, (dtype >> 8 & 0xffu) / 8) == 0);
    CHECK(parsed(text) == value);
    snprintf(fewer, sizeof fewer, "%.*e", digits_of(text) > 1 ? digits_of(text) - 2 : 0, value);
    CHECK(value == 0 || digits_of(text) == 1 || parsed(fewer) != value);
}

static void both_f64(double x) { both(F64, &x, x, f64_of); }
static void both_f32(float x) { both(F32, &x, (double)x, f32_of); }

static void as_libc(const char *text) {
    double d = 0, want = strtod(text, NULL);
    float f = 0, want_f = strtof(text, NULL);
    CHECK(read_as(F64, text, strlen(text), &d));
    CHECK(read_as(F32, text, strlen(text), &f));
    CHECK(memcmp(&d, &want, sizeof d) == 0);
    CHECK(memcmp(&f, &want_f, sizeof f) == 0);
}

static void random_texts(uint64_t *seed) {
    char text[2000];
    int n = (int)test_between(seed, 1, test_between(seed, 0, 20) ? 30 : 1500), point = (int)test_between(seed, -1, n);
    char *at = text;
    if (test_between(seed, 0, 1)) *at++ = '-';
    for (int i = 0; i < n; i++) {
        if (i == point) *at++ = '.';
        *at++ = (char)('0' + test_between(seed, 0, 9));
    }
    *at = 0;
    if (test_between(seed, 0, 1)) snprintf(at, 16, "%c%+d", 'e', (int)test_between(seed, -400, 400));
    as_libc(text);
}

/* Exactly between two floats, and beside that by the last of many digits. */
static void ties(uint64_t *seed) {
    char text[1400];
    double x = ldexp((double)test_between(seed, 1, INT64_C(1) << 24), (int)test_between(seed, -160, 100));
    snprintf(text, sizeof text, "%.1074f", x);
    as_libc(text);
    strcat(text, "0000000001");
    as_libc(text);
}

static void words(void) {
    static const char *const none[] = {"",     "-",        ".",  "e5",   "1e",  "1e+", "1 ",  " 1",   "1.2.3",
                                       "0x10", "infinity", "in", "nane", "1,5", "--1", "1_0", "Hello"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        double d = 5;
        int64_t v = 5;
        CHECK(!read_as(F64, none[i], strlen(none[i]), &d) && d == 0);
        CHECK(!read_as(I64, none[i], strlen(none[i]), &v) && v == 0);
    }
    double d = 0;
    CHECK(read_as(F64, "+INF", 4, &d) && isinf(d) && d > 0);
    CHECK(read_as(F64, "-Inf", 4, &d) && isinf(d) && d < 0);
    CHECK(read_as(F64, "nAn", 3, &d) && isnan(d));
    CHECK(!read_as(F64, "true", 4, &d));
    unsigned char b = 0;
    CHECK(read_as(BOOL, "True", 4, &b) && b == 1);
    CHECK(read_as(BOOL, "0.0", 3, &b) && b == 0);
    CHECK(read_as(BOOL, "0.1", 3, &b) && b == 1);
    CHECK(read_as(BOOL, "false", 5, &b) && b == 0);
}

static void integers(uint64_t *seed) {
    static const struct {
        const char *text;
        xk_u32 dtype;
        int64_t want; /* 1000: none */
    } at_ends[] = {{"127", I8, 127},     {"128", I8, 1000},
                   {"-128", I8, -128},   {"-129", I8, 1000},
                   {"255", U8, -1},      {"256", U8, 1000},
                   {"-0", U8, 0},        {"-1", U8, 1000},
                   {"-0.9", U8, 0},      {"100.5", I8, 100},
                   {"1.2e2", I8, 120},   {"1e99999999999999999999", I8, 1000},
                   {"12345e-3", I8, 12}, {"00000000000000000000000000000000000000000012", I8, 12},
                   {"inf", I8, 1000}};
    for (size_t i = 0; i < sizeof at_ends / sizeof *at_ends; i++) {
        signed char v = 9;
        bool ok = read_as(at_ends[i].dtype, at_ends[i].text, strlen(at_ends[i].text), &v);
        CHECK_INT(ok, at_ends[i].want != 1000);
        CHECK_INT(v, ok ? at_ends[i].want : 0);
    }
    char text[ROOM + 1], want[32];
    int64_t x = (int64_t)(((uint64_t)test_between(seed, INT32_MIN, INT32_MAX) << 32) |
                          (uint64_t)test_between(seed, 0, INT32_MAX)) >>
                test_between(seed, 0, 60),
            back = 0;
    const int64_t some[] = {x, INT64_MIN, INT64_MAX, 0};
    for (int i = 0; i < 4; i++) {
        write_as(I64, &some[i], text);
        snprintf(want, sizeof want, "%lld", (long long)some[i]);
        CHECK(strcmp(text, want) == 0);
        CHECK(read_as(I64, text, strlen(text), &back) && back == some[i]);
        write_as(U64, &some[i], text);
        snprintf(want, sizeof want, "%llu", (unsigned long long)some[i]);
        CHECK(strcmp(text, want) == 0);
        CHECK(read_as(U64, text, strlen(text), &back) && back == some[i]);
    }
}

static void looks(void) {
    static const struct {
        double x;
        const char *want;
    } some[] = {{0, "0.0"},
                {-0.0, "-0.0"},
                {1, "1.0"},
                {0.1, "0.1"},
                {1e16, "1e+16"},
                {9999999999999998, "9999999999999998.0"},
                {1e-4, "0.0001"},
                {9.9e-5, "9.9e-05"},
                {-314.15926, "-314.15926"},
                {1e300, "1e+300"},
                {5e-324, "5e-324"},
                {-HUGE_VAL, "-INF"},
                {HUGE_VAL, "INF"},
                {(double)NAN, "NaN"},
                {1.7976931348623157e308, "1.7976931348623157e+308"},
                {9007199254740992, "9007199254740992.0"},
                {2e-44, "2e-44"}};
    char text[ROOM + 1];
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        write_as(F64, &some[i].x, text);
        if (strcmp(text, some[i].want) != 0) printf("%s, not %s\n", text, some[i].want);
        CHECK(strcmp(text, some[i].want) == 0);
    }
    uint16_t half = 0x7bff, back = 0;
    write_as(F16, &half, text);
    CHECK(strcmp(text, "65500.0") == 0);
    for (uint32_t h = 0; h < 0x7c00; h++) {
        half = (uint16_t)h;
        write_as(F16, &half, text);
        CHECK(read_as(F16, text, strlen(text), &back) && back == half);
    }
}

int main(void) {
    uint64_t seed = 3;
    words();
    looks();
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = (uint64_t)test_between(&seed, INT32_MIN, INT32_MAX) << 32 |
                        (uint32_t)test_between(&seed, INT32_MIN, INT32_MAX);
        double d;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &bits, sizeof f);
        if (isfinite(d)) both_f64(d);
        if (isfinite(f)) both_f32(f);
        both_f64((double)test_between(&seed, -1000000, 1000000) / 1000);
        both_f32(ldexpf(1, (int)test_between(&seed, -149, 127)));
        both_f64(ldexp(1, (int)test_between(&seed, -1074, 1023)));
        random_texts(&seed);
        integers(&seed);
        if (i < 200) ties(&seed);
    }
    return test_end();
}
