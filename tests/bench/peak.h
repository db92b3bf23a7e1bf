/* peak.h - what this machine can do at most, measured beside what is being judged. */
#ifndef XF_BENCH_PEAK_H
#define XF_BENCH_PEAK_H

/* fp32 GFLOP/s of one thread with code of x86-64-v<level> (2: multiply and add in SSE, 3: FMA in AVX2, 4: FMA in
 * AVX-512) out of registers alone, over about `seconds` of this thread's CPU time. 0: the CPU lacks the level. */
double xf_peak_gflops(int level, double seconds);
/* Thread CPU time in seconds: excludes time taken by other processes. */
double xf_peak_cpu_seconds(void);

#endif
