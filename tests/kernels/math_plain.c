/* math_plain.c - math.c once more, as it is on a target without fused multiply-add; functions are named ..._plain. */
#define XK_FMA(a, b, c) ((a) * (b) + (c))
#define xk_exp_f32 xk_exp_f32_plain
#define xk_log_f32 xk_log_f32_plain
#define xk_erf_f32 xk_erf_f32_plain
#define xk_tanh_f32 xk_tanh_f32_plain
#define xk_sigmoid_f32 xk_sigmoid_f32_plain
#define xk_sin_f32 xk_sin_f32_plain
#define xk_cos_f32 xk_cos_f32_plain
#define xk_atan_f32 xk_atan_f32_plain
#define xk_sin_f32_far xk_sin_f32_far_plain
#define xk_cos_f32_far xk_cos_f32_far_plain
#define xk_is_far_f32 xk_is_far_f32_plain
#define xk_pow_f32 xk_pow_f32_plain
#include "runtime/kernels/math.c"
