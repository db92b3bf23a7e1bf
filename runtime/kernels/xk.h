/* xk.h - the contract of runtime/kernels: scalar arithmetic that does not depend on the model, written once in C.
 *
 * The same source serves three masters: the interpreter and constant folding (compiled natively by any C compiler), and
 * generated code (compiled by clang to bitcode, embedded in the compiler, inlined and widened to vectors).
 *
 * Contract: no header but this one, no libc call, no global, no static local. Helpers are XK (always inlined). After
 * clang -O2 every function is one basic block that calls nothing but llvm.* intrinsics: no loop, no branch; choices are
 * `?:` between values that are both computed. So an emitter may widen a function instruction by instruction. No
 * contraction is left to the compiler (-ffp-contract=off): a fused multiply-add is written XK_FMA; where a target has
 * none, the emitter multiplies and adds, and accuracy holds as well. Names: xk_<what>_<type>.
 *
 * A function with a second one, named _far, holds where xk_is_far_f32 is 0, and the far one where it is not: such
 * arguments are rare and dear, so the caller branches around it, once for all lanes of a vector.
 *
 * Accuracy, over all floats: within 4 ulp of the exact result (tests/kernels measures it); NaN in gives NaN out.
 */
#ifndef XK_H
#define XK_H

typedef int xk_i32;
typedef unsigned xk_u32;
_Static_assert(sizeof(xk_i32) == 4 && sizeof(float) == 4, "xk.h assumes 32-bit int and float");

#if defined(__GNUC__)
#define XK static inline __attribute__((always_inline))
#else
#define XK static inline
#endif

/* One rounding, unless a test defines it otherwise. clang's builtin is llvm.fma in the bitcode whatever the target; the
 * native build may call libm's fmaf, which rounds alike. */
#if defined(XK_FMA)
#elif defined(__clang__)
#define XK_FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
#else
#define XK_FMA(a, b, c) __builtin_fmaf((a), (b), (c))
#endif

float xk_exp_f32(float);
float xk_log_f32(float);
float xk_erf_f32(float);
float xk_tanh_f32(float);
float xk_sigmoid_f32(float);
float xk_sin_f32(float);
float xk_cos_f32(float);
float xk_atan_f32(float);
float xk_sin_f32_far(float);
float xk_cos_f32_far(float);
float xk_pow_f32(float, float);
int xk_is_far_f32(float); /* also infinity; not NaN */

#endif
