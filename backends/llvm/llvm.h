/* llvm.h - the only header that includes <llvm-c/...>; the state of one emission.
 *
 * One xfc_emit per (graph, ISA). Functions emit at the builder's position unless they say otherwise. Nothing here
 * knows an op of the graph: kernels, nests, tiles, scalar instructions and symbolic integers only.
 *
 * Values. In registers an element is i1 (bool), iN, float or double; f16 and bf16 are floats that hold a representable
 * value. In memory bool is a byte, f16 and bf16 are i16. A value is a scalar, or a vector of e->lanes of them;
 * functions that take several splat the scalars when one is a vector.
 */
#ifndef XFC_LLVM_H
#define XFC_LLVM_H
#include "backends/backend.h"
#include "ir/contract.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/BitReader.h>
#include <llvm-c/Core.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <time.h>

typedef struct xfc_emit {
    xfc_ctx *ctx;
    xfc_arena *arena; /* as long as the emission */
    const xfc_target *target;
    int opt_level;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMTargetMachineRef machine;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, none;
    LLVMValueRef fn;   /* function under construction */
    xfc_map symbols;   /* xfc_int id of a symbol -> LLVMValueRef: i64, or <lanes x i64> for the vector axis */
    xfc_map tiles;     /* micro-kernels made so far (tile.c) */
    void *wide;        /* the module of scalar math (widen.c) */
    xfc_status status; /* first failure that was recorded while emitting: values after it mean nothing */
    xfc_emit_times times;
    clock_t since; /* of what is timed */

    uint32_t lanes;        /* elements of a vector: vector_bytes / 4; 1 on targets without */
    bool linked;           /* tiles come with the link (xfc_emit_tiles) */
    bool gpu;              /* PTX: no libm, one task a thread */
    bool native_half;      /* f16 conversions are instructions; else integer code */
    xfc_map graph_symbols; /* xfc_int id of every symbol a kernel may use -> its position in frame->values, + 1 */

    /* The kernel under construction (kernel.c). */
    const xfc_kernel *kernel;
    LLVMBasicBlockRef entry; /* allocas, loads of the frame and of graph symbols: everything dominated by its end */
    LLVMValueRef frame, values, scratch, room; /* room: behind the temporaries, for tiles (tile.c) */
    LLVMValueRef *buffer;                      /* address of each buffer of the kernel */
    LLVMValueRef range_flag;                   /* alloca i1: some LET was out of range */
    xfc_int inner;                             /* symbol of the innermost loop of the nest, or NONE */
    xfc_map empty_let;                         /* symbol of a LET whose range may be empty -> i1: it isn't */
} xfc_emit;

/* module.c */
xfc_status xfc_emit_begin(xfc_emit *, xfc_ctx *, const xfc_target *, int opt_level, const char *name);
/* verify, optimise, print "obj" "asm" "llvm" "ptx" */
xfc_status xfc_emit_finish(xfc_emit *, const char *what, xfc_blob *out);
void xfc_emit_end(xfc_emit *);
void xfc_emit_fn_attr(xfc_emit *, LLVMValueRef fn, const char *key, const char *value); /* string attribute */
void xfc_emit_fn_enum(xfc_emit *, LLVMValueRef fn, const char *name);                   /* "nounwind", "noinline" */
void xfc_emit_share(
    LLVMValueRef); /* a function or constant that other objects of a link see, or that one of them holds */
/* internal, with the target's attributes */
LLVMValueRef xfc_emit_function(xfc_emit *, const char *name, LLVMTypeRef type);
LLVMValueRef xfc_emit_const(xfc_emit *, int64_t); /* i64 */
LLVMValueRef xfc_emit_intrinsic(xfc_emit *, const char *name, LLVMTypeRef *overload, unsigned n_overload,
                                LLVMValueRef *args, unsigned n_args);
LLVMBasicBlockRef xfc_emit_block(xfc_emit *, const char *name);
/* in the entry block; align 0: natural */
LLVMValueRef xfc_emit_alloca(xfc_emit *, LLVMTypeRef, uint32_t align, const char *name);
/* base + index elements */
LLVMValueRef xfc_emit_offset(xfc_emit *, LLVMValueRef base, LLVMTypeRef element, LLVMValueRef index);
/* for (i = lo; i < hi; i += step) { body }: begin leaves the builder in the body, end closes it. The body runs on a
 * test before it (none when lo < hi is known) and loops on one at its end; values carried around live in allocas, or in
 * phis of `head` whose incoming block from outside is `enter`. */
typedef struct {
    LLVMBasicBlockRef head, done;
    LLVMValueRef i, next_limit, step;
    LLVMBasicBlockRef enter;
} xfc_loop;
xfc_loop xfc_emit_loop_begin(xfc_emit *, LLVMValueRef lo, LLVMValueRef hi, int64_t step, const char *name);
/* lo < hi is known */
xfc_loop xfc_emit_loop_enter(xfc_emit *, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step, const char *name);
void xfc_emit_loop_end(xfc_emit *, xfc_loop *);
/* if (cond) { ... }: begin leaves the builder inside and answers where end continues. */
LLVMBasicBlockRef xfc_emit_if_begin(xfc_emit *, LLVMValueRef cond, const char *name);
void xfc_emit_if_end(xfc_emit *, LLVMBasicBlockRef done);

/* value.c: register types, constants, splats. */
LLVMTypeRef xfc_emit_type(xfc_emit *, xfc_dtype);     /* in registers */
LLVMTypeRef xfc_emit_mem_type(xfc_emit *, xfc_dtype); /* in memory */
bool xfc_is_vector(LLVMValueRef);
/* scalar, or a vector of as many lanes as shape has */
LLVMTypeRef xfc_emit_like(LLVMTypeRef scalar, LLVMValueRef shape);
LLVMValueRef xfc_emit_splat(xfc_emit *, LLVMValueRef scalar, uint32_t lanes);
void xfc_emit_unify(xfc_emit *, LLVMValueRef *v, uint32_t n);        /* all vectors if one is */
LLVMValueRef xfc_emit_number(xfc_emit *, LLVMTypeRef like, int64_t); /* constant of an integer (vector) type */
LLVMValueRef xfc_emit_real(xfc_emit *, LLVMTypeRef like, double);    /* constant of a float (vector) type */
LLVMValueRef xfc_emit_lane(xfc_emit *, LLVMValueRef vector, uint32_t lane);
LLVMValueRef xfc_emit_lane_numbers(xfc_emit *); /* <0, 1, ... lanes - 1> of i64 */

/* place.c: loads and stores. How a place moves from lane to lane; address: lane 0's (SAME, NEXT), or a vector of them
 * (EACH). */
typedef enum { XFC_LANES_SAME, XFC_LANES_NEXT, XFC_LANES_EACH } xfc_lane_kind;
typedef struct {
    xfc_lane_kind kind;
    LLVMValueRef address, base, end; /* base, end: of the buffer; end may be NULL where a load has no condition */
} xfc_place_value;
/* mask: i1 or vector of i1, NULL for all; lanes that are off read 0 and write nothing. live: the lanes of a last,
 * partial vector, among which lane 0 always is; NULL: all. */
LLVMValueRef xfc_emit_load(xfc_emit *, xfc_dtype, xfc_place_value, LLVMValueRef mask, LLVMValueRef live);
void xfc_emit_store(xfc_emit *, xfc_dtype, xfc_place_value, LLVMValueRef value, LLVMValueRef mask, LLVMValueRef live);
/* Lanes of both values in turn, from p on. */
void xfc_emit_store_pair(xfc_emit *, xfc_dtype, xfc_place_value p, const LLVMValueRef value[2], LLVMValueRef live);

void xfc_emit_trap_if(xfc_emit *, LLVMValueRef bad);

/* cast.c */
LLVMValueRef xfc_emit_cast(xfc_emit *, xfc_dtype to, xfc_dtype from, LLVMValueRef);
/* minifloat.c: types of class CODE, which registers hold as they are, and f32. */
LLVMValueRef xfc_emit_from_code(xfc_emit *, xfc_dtype, LLVMValueRef);
LLVMValueRef xfc_emit_to_code(xfc_emit *, xfc_dtype, LLVMValueRef); /* saturates */
/* f16, bf16: to the nearest representable; others unchanged */
LLVMValueRef xfc_emit_round(xfc_emit *, xfc_dtype, LLVMValueRef);
LLVMValueRef xfc_emit_from_memory(xfc_emit *, xfc_dtype, LLVMValueRef); /* memory form to register form */
LLVMValueRef xfc_emit_to_memory(xfc_emit *, xfc_dtype, LLVMValueRef);

/* scalar.c: one scalar instruction of scalar.def; operand is the dtype of its operands (of the last for SELECT). */
LLVMValueRef xfc_emit_scalar(xfc_emit *, xfc_scalar_op, xfc_dtype operand, const LLVMValueRef *arg);
LLVMValueRef xfc_emit_constant(xfc_emit *, const xfc_scalar *);
LLVMValueRef xfc_emit_identity(xfc_emit *, xfc_scalar_op combine, xfc_dtype); /* scalar a reduction starts from */
/* a, b combined; f16 and bf16 sums and products are kept in f32 until stored. */
LLVMValueRef xfc_emit_combine(xfc_emit *, xfc_scalar_op combine, xfc_dtype, LLVMValueRef a, LLVMValueRef b);

/* widen.c: xk_<name>_f32 of runtime/kernels/math.c, copied here instruction by instruction onto the shape of its
 * arguments. */
LLVMValueRef xfc_emit_math_f32(xfc_emit *, const char *name, const LLVMValueRef *arg, uint32_t n);
/* A call of libm's f64 function, lane by lane. */
LLVMValueRef xfc_emit_libm(xfc_emit *, const char *name, const LLVMValueRef *arg, uint32_t n);

/* int.c: i64, or a vector of i64 when the expression uses a vector symbol. */
LLVMValueRef xfc_emit_int(xfc_emit *, xfc_int);
void xfc_emit_bind(xfc_emit *, xfc_int symbol, LLVMValueRef);
void xfc_emit_symbols(xfc_emit *, const xfc_int *symbol, uint32_t n); /* what frame->values holds */
/* How e moves along `lane` (a symbol that steps by `lanes`, a power of two, from 0): true iff e = e(lane 0) + stride *
 * l on every lane l of one step. varies(user, symbol): whether another symbol differs from lane to lane. */
typedef bool xfc_varies_fn(void *user, xfc_int symbol);
bool xfc_int_lane_stride(xfc_ctx *, xfc_int e, xfc_int lane, uint32_t lanes, xfc_varies_fn *varies, void *user,
                         int64_t *stride);

/* nest.c */
/* Binds a LET to value (any integers as i64): wrapped, clamped, and what lay out of range noted in the function's flag
 * for the lanes of mask (NULL: all). *some: the range is not empty; NULL if that is known. */
LLVMValueRef xfc_emit_let(xfc_emit *, xfc_int symbol, LLVMValueRef value, bool wrap, LLVMValueRef mask,
                          LLVMValueRef *some);
xfc_status xfc_emit_nest(xfc_emit *, const xfc_nest *);
/* Only rows first <= i < end of axis 0, which must be a serial parallel axis; at least one. */
xfc_status xfc_emit_nest_rows(xfc_emit *, const xfc_nest *, LLVMValueRef first, LLVMValueRef end);

/* kernel.c: one function of type xf_kernel_fn (on a GPU: an entry of (frame, begin, end)). */
xfc_status xfc_emit_kernel(xfc_emit *, const xfc_kernel *, const char *symbol_name, LLVMValueRef *fn);
/* Address of an access, lane 0 of a vector symbol bound to a scalar. */
LLVMValueRef xfc_emit_address(xfc_emit *, const xfc_access *);
/* bounded: with its end */
xfc_place_value xfc_emit_place(xfc_emit *, xfc_lane_kind, const xfc_access *, LLVMValueRef address, bool bounded);

/* graph.c: the hidden array of an ISA's kernels. */
LLVMValueRef xfc_emit_table(xfc_emit *, const char *isa, LLVMValueRef *fn, uint32_t n);
/* All kernels of a set; table: with their array. */
xfc_status xfc_emit_set(xfc_ctx *, const xfc_target *, const xfc_kernel_set *, const char *what, int opt_level,
                        bool table, xfc_blob *out, xfc_emit_times *times);

/* tile.c: the parameterised contraction generator. All counts are i64 in elements; constants are recognised and
 * specialised. c[i, j] = sum_k a[i, k] * b[k, j]; see xfc_tile in ir/nest.h for panels. b is 64-byte aligned. */
enum { XFC_TILE_ROOM = 16 }; /* elements between rows of a in room */
typedef struct {
    LLVMValueRef a, b, c;
    LLVMValueRef a_row, c_row; /* row distances */
    LLVMValueRef rows, depth, columns;
    LLVMValueRef apart; /* distance of panels; NULL: they follow each other */
    LLVMValueRef room;  /* where a is not f32: room for it as f32, rows x (depth + XFC_TILE_ROOM) */
    xfc_contract type;
} xfc_tile_values;
/* What follows: work on rows of c as soon as they are complete, while they are in the L1 cache and their stores can
 * drain behind the next rows' arithmetic. NULL: nothing; else the loops are emitted in place. */
typedef struct {
    void *user;
    uint32_t most; /* rows that there can be */
    /* Emits the work on rows first <= i < end; called once. */
    xfc_status (*rows)(xfc_emit *, void *user, LLVMValueRef first, LLVMValueRef end);
    /* Where the work will write for row i and column 0, or read beside c: these lines are fetched in time. Pure
     * address arithmetic on any row up to one past the last. NULL: nowhere that moves with the rows. */
    LLVMValueRef (*place)(xfc_emit *, void *user, bool write, LLVMValueRef row);
} xfc_tile_follow;
xfc_status xfc_emit_tile(xfc_emit *, const xfc_tile_values *, const xfc_tile_follow *);
/* An object with all that tiles of this type share: it depends on type and ISA alone, so it is made when xfc is built. */
xfc_status xfc_emit_tiles(xfc_ctx *, const xfc_target *, const xfc_contract *, xfc_blob *out);

#endif
