/* peak.c - the roof: independent multiply-add chains in registers, no memory.
 *
 * Enough chains to hide the latency of every current core (12 of 16 registers; 24 of 32), two operands that never
 * change. Time is the thread's CPU time. A share of peak means something only when both numbers come from interleaved
 * rounds of one process.
 */
#define _POSIX_C_SOURCE 199309L
#include "peak.h"
#include <immintrin.h>
#include <time.h>

double xf_peak_cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { ROUNDS = 2000 };

#define REPEAT12(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define REPEAT24(f) REPEAT12(f) f(12) f(13) f(14) f(15) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23)

/* Each function answers floating-point operations done; the sum keeps the chains alive, `keep` hides the constants. */
__attribute__((target("avx512f"))) static double work_v4(volatile float *keep) {
    __m512 x = _mm512_set1_ps(*keep), y = _mm512_set1_ps(*keep);
#define DECLARE(i) __m512 a##i = _mm512_set1_ps(i##.0f);
#define STEP(i) a##i = _mm512_fmadd_ps(x, y, a##i);
#define SUM(i) x = _mm512_add_ps(x, a##i);
    REPEAT24(DECLARE)
    for (int r = 0; r < ROUNDS; r++) { REPEAT24(STEP) }
    REPEAT24(SUM)
#undef DECLARE
#undef STEP
#undef SUM
    *keep = _mm512_cvtss_f32(x) > 0.0f ? 0.0f : 1e-30f;
    return (double)ROUNDS * 24 * 16 * 2;
}

__attribute__((target("avx2,fma"))) static double work_v3(volatile float *keep) {
    __m256 x = _mm256_set1_ps(*keep), y = _mm256_set1_ps(*keep);
#define DECLARE(i) __m256 a##i = _mm256_set1_ps(i##.0f);
#define STEP(i) a##i = _mm256_fmadd_ps(x, y, a##i);
#define SUM(i) x = _mm256_add_ps(x, a##i);
    REPEAT12(DECLARE)
    for (int r = 0; r < ROUNDS; r++) { REPEAT12(STEP) }
    REPEAT12(SUM)
#undef DECLARE
#undef STEP
#undef SUM
    *keep = _mm256_cvtss_f32(x) > 0.0f ? 0.0f : 1e-30f;
    return (double)ROUNDS * 12 * 8 * 2;
}

static double work_v2(volatile float *keep) { /* half multiplications, half additions, as a product without FMA */
    __m128 x = _mm_set1_ps(*keep), y = _mm_set1_ps(*keep + 1.0f);
#define DECLARE(i) __m128 a##i = _mm_set1_ps(i##.0f);
#define STEP(i) a##i = i % 2 ? _mm_mul_ps(a##i, y) : _mm_add_ps(a##i, x);
#define SUM(i) x = _mm_add_ps(x, a##i);
    REPEAT12(DECLARE)
    for (int r = 0; r < ROUNDS; r++) { REPEAT12(STEP) }
    REPEAT12(SUM)
#undef DECLARE
#undef STEP
#undef SUM
    *keep = _mm_cvtss_f32(x) > 0.0f ? 0.0f : 1e-30f;
    return (double)ROUNDS * 12 * 4;
}

static double (*work_of(int level))(volatile float *) {
    __builtin_cpu_init();
    if (level == 4) return __builtin_cpu_supports("avx512f") ? work_v4 : 0;
    if (level == 3) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? work_v3 : 0;
    return level == 2 ? work_v2 : 0;
}

double xf_peak_gflops(int level, double seconds) {
    double (*work)(volatile float *) = work_of(level);
    if (!work) return 0;
    volatile float keep = 0;
    double flops = 0, begin = xf_peak_cpu_seconds(), now = begin;
    while (now - begin < seconds) {
        flops += work(&keep);
        now = xf_peak_cpu_seconds();
    }
    return flops / (now - begin) * 1e-9;
}
