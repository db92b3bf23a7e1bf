/* base.h - what every file of the compiler may assume: status codes, asserts, checked arithmetic.
 *
 * Includes nothing but libc. A status is returned by value; the message behind it was recorded in the
 * context when the failure was found (see diag.h), so the error path allocates nothing to hand upwards.
 */
#ifndef XFC_BASE_H
#define XFC_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    XFC_OK = 0,
    XFC_ERR_INPUT,       /* the model is malformed or breaks the ONNX specification */
    XFC_ERR_UNSUPPORTED, /* a valid model that xfc cannot compile: says which op, type or shape */
    XFC_ERR_LIMIT,       /* a documented limit was exceeded */
    XFC_ERR_IO,          /* a file could not be read or written */
    XFC_ERR_TOOL,        /* LLVM, the linker or the GPU toolchain refused */
    XFC_ERR_VERIFY,      /* results differ: verifier, --verify, comparisons */
} xfc_status;

#define XFC_TRY(expr)                                                                                                  \
    do {                                                                                                               \
        xfc_status xfc_try_ = (expr);                                                                                  \
        if (xfc_try_ != XFC_OK) return xfc_try_;                                                                       \
    } while (0)

#define XFC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__GNUC__)
#define XFC_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define XFC_NORETURN __attribute__((noreturn))
#else
#define XFC_PRINTF(fmt, first)
#define XFC_NORETURN
#endif

/* A compiler bug: prints the message and where it was noticed, exits with 70. Never used for bad input. */
XFC_NORETURN void xfc_bug(const char *file, int line, const char *fmt, ...) XFC_PRINTF(3, 4);

#define xfc_assert(cond) ((cond) ? (void)0 : xfc_bug(__FILE__, __LINE__, "assertion failed: %s", #cond))

/* Checked signed arithmetic: true and *out set iff the result fits. */
static inline bool xfc_add_ok(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool xfc_sub_ok(int64_t a, int64_t b, int64_t *out) { return !__builtin_sub_overflow(a, b, out); }
static inline bool xfc_mul_ok(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }

/* Documented limits of one model (docs/cli.md). Beyond them: XFC_ERR_LIMIT. */
enum {
    XFC_MAX_RANK = 8,
    XFC_MAX_NODES = 1 << 20,  /* nodes of one graph, after inlining */
    XFC_MAX_PROTO_DEPTH = 64, /* nesting of protobuf messages */
    XFC_MAX_NAME = 1 << 16,   /* bytes of one name */
};

#endif
