/* abi.h - private: what the compiler writes into a .so and the runtime linked into the same .so reads.
 *
 * The plan is one flat little-endian blob (8-byte aligned, no pointers: tables at byte offsets from its start), the
 * same for every ISA: signature, the bytecode of all symbolic sizes, the list of steps. Kernels come per ISA as an
 * array of functions. So the sequence of kernels, workspace, taps, profile and cancel are plain C in the runtime, and
 * code holds only loops. xf-dump reads the same blob from the file without loading it.
 * Everything here may change with XF_CODE_ABI; nothing here is seen by applications (they see xf.h).
 */
#ifndef XFC_ABI_H
#define XFC_ABI_H
#include <stdint.h>

#define XF_CODE_ABI 27u
#define XF_MAX_RANK 8u                      /* dims of one argument */
#define XF_MAX_NESTING 128u                 /* bodies in bodies */
#define XF_PLAN_MAGIC 0x314e414c50465879ull /* "yXFPLAN1" */

/* --- the kernel interface --- */

typedef struct xf_frame {  /* what a kernel sees of one step */
    const int64_t *values; /* the numbers of the step */
    void *const *buffers;  /* operand addresses: inputs then outputs of the kernel, in its order */
    char *scratch;         /* temporaries: scratch + worker * scratch_stride, 64-byte aligned */
    int64_t scratch_stride;
    int32_t *error; /* atomically set to XF_E_RANGE + step index << 8 by a failed LET; never read by kernels */
    int64_t step;
} xf_frame;

/* Runs tasks begin <= i < end. Has exactly the signature of a parallel_for body, arg being the frame. Returns 0. */
typedef int32_t (*xf_kernel_fn)(void *frame, int64_t begin, int64_t end, int32_t worker);

/* What a variant may ask of a CPU beside a level (cpu_level.c); bits. */
enum { XF_CPU_AVX512_BF16 = 1 };

typedef struct
{ /* one ISA's code; an array `xf_variants`, worst first; then name NULL and for level the check.h of it */
    const char *name;            /* "x86-64-v3" */
    uint32_t level;              /* 2, 3, 4: of the psABI, what cpuid must offer */
    uint32_t features;           /* XF_CPU_*: and these beside */
    const xf_kernel_fn *kernels; /* by kernel number */
} xf_variant;

/* Hidden symbols of the object that the compiler emits beside the variants. */
extern const xf_variant xf_variants[];
/* Plans by what they are for; all share weights and kernels, only the first must be there (else NULL). RUN: what `run`
 * does. EQUAL: the same for calls whose dims agree where they meet, with which more is known; it has the inputs and
 * outputs of RUN, and is taken where it can be bound. PACKED: what `run_packed` does. Its inputs are the caller's, then
 * cu_seqlens i32[sequences + 1], then u8[tokens, sequences, longest, 0], which carries sizes and nothing else. It has
 * the outputs of RUN, with [tokens] for [batch, sequence]. Metadata "packed.nonempty": no sequence may be empty. */
enum { XF_PLAN_RUN, XF_PLAN_EQUAL, XF_PLAN_PACKED, XF_N_PLANS };
extern const unsigned char *const xf_plans[XF_N_PLANS];

/* --- the plan --- */

/* A number known at run time: index into values[]. Constants have entries of their own. */
typedef uint32_t xf_val;
#define XF_VAL_NONE 0xffffffffu

/* values[0 .. n_symbols) are the symbols. Most come from input shapes: such a one is the plain value of at least one
 * dim of an input, which binds it; input dims of any other value are compared with what that evaluates to. A ROOM comes
 * from the strides of an output (see xf_arg), and is 0 until they were looked at: no place and no other dim of inputs
 * and outputs depends on it. A `defined`
 * one comes from data: DEFINED sets symbol `value` to its upper bound a (0: it has none) when a run begins, and a step of
 * kind DEFINE to the true number, after which all instructions run again (DEFINED then changes nothing). Value n_symbols + i is
 * computed by instruction i from earlier values. Overflow makes the call fail with XF_E_SHAPE. Floordiv and mod are
 * Python's; by zero they give 0. */
typedef enum { XF_I_CONST, XF_I_ADD, XF_I_MUL, XF_I_FLOORDIV, XF_I_MOD, XF_I_MIN, XF_I_MAX, XF_I_DEFINED } xf_instr_op;
typedef struct {
    uint32_t op;
    xf_val a, b;
    uint32_t pad;
    int64_t value;
} xf_instr;

/* Strings are offsets into the table of strings; offset 0 is "". */
typedef struct {
    int64_t lo, hi;
    uint32_t name, defined; /* XF_SYMBOL_*; lo and hi are 0 and -1 unless it is a DIM */
    uint32_t why, pad;      /* string: the node that bounds it, 0 for the model itself */
} xf_symbol;                /* inclusive range; hi -1: none */
enum { XF_SYMBOL_DIM, XF_SYMBOL_DEFINED, XF_SYMBOL_ROOM };
typedef struct {
    xf_val value;
    uint32_t name; /* dim_param or 0 */
    xf_val most;   /* of value, where data decides that while the model runs, XF_VAL_NONE if only data knows; else value
                      itself */
} xf_dim;
typedef struct {          /* a graph input or output */
    uint32_t name, dtype; /* dtype: code | bits << 8 | lanes << 16, as xf_dtype of xf.h */
    uint32_t first_dim, n_dims;
    /* A cache: an output that has the elements of an input, its past, and more behind them along axis. It may lie where
     * the past does; then only what is new is written. Both may have room behind them along the axis. A branch may make
     * the output of nothing, too, over the past. */
    uint32_t twin; /* number + 1 of the past, of the past that of the output; 0: none */
    uint32_t axis;
    xf_val room; /* symbol: rows that the memory of the output has; 0: as many as the output */
    uint32_t pad;
} xf_arg;
typedef struct {
    xf_val a, b;
    uint32_t what; /* node, and what of it must agree, for messages */
    uint32_t ones; /* bit 0: or a is 1; bit 1: or b is 1; or XF_CHECK_UNEQUAL */
    uint32_t step; /* 0: checked at entry; else behind step - 1, which defines symbols or begins a body */
    uint32_t pad;
} xf_check; /* a == b must hold, or a != b; then what ends in ": " and a's text */
enum { XF_CHECK_UNEQUAL = 4 };

enum { XF_SPACE_INPUT = 1, XF_SPACE_OUTPUT, XF_SPACE_WEIGHT, XF_SPACE_WORK, XF_SPACE_HEAP };
typedef struct {
    uint32_t space, index;
    uint64_t offset;
    xf_val value;
    uint32_t pad;
} xf_operand;
/* INPUT, OUTPUT: index. WEIGHT: offset in bytes into the weights. WORK: value = byte offset into the workspace. HEAP:
 * index of a slot that grows when a step makes a value in it. As a result in the heap, or as an output that has a dim
 * without `most`: value = its bytes. */

/* What does the step. KERNEL: code of the model; numbers are what it reads in frame->values. CALL: a routine of
 * runtime/kernels; its operands and results are described by args first_out_arg - n_in and on, numbers are what it is
 * told beside them, and it knows its tasks and its scratch itself. DEFINE: symbols take their values from operand 0, an
 * i64 each; numbers are (symbol, least value, largest value) of each; without any, it only makes checks. BRANCH:
 * operand 0 is a bool; the `kernel` steps behind it run if it is true, else the others of its `span`; its numbers are
 * those of a define, whose values are the last result. LOOP: its `span` runs again and again; operands are how often
 * (i64), whether at all (bool), what it carries at first, then of the body the number of the step, whether to go on,
 * and what it carries next, which stands in the first results meanwhile; then what it adds to lists, which are the other
 * results, with a row for each step. Symbols stand for dims of what it carries that change: numbers are those of a define,
 * then what each is at first, then what each is behind a step. */
enum { XF_STEP_KERNEL, XF_STEP_CALL, XF_STEP_DEFINE, XF_STEP_BRANCH, XF_STEP_LOOP };
typedef struct {
    uint32_t kind, kernel; /* index into xf_variant.kernels; CALL: number of the routine */
    uint32_t first_operand, n_in, n_out;
    xf_val tasks, grain, scratch;     /* scratch: bytes a worker */
    uint32_t first_node, n_nodes;     /* into nodes[]: the ONNX nodes inside; the last one names the outputs */
    uint32_t form;                    /* string */
    xf_val flops;                     /* multiply-adds * 2 of its tiles, XF_VAL_NONE if it has none: for the profile */
    uint32_t first_out_arg;           /* into args: dtype and dims of its n_out outputs, for taps */
    uint32_t first_number, n_numbers; /* into numbers */
    uint32_t span;                    /* so many steps behind it are its bodies */
    uint32_t grows;                   /* only data knows its scratch, which it gets when it begins */
} xf_step_info;

/* A step takes indices from its operand, which arg describes: lo <= v <= hi, where a negative v counts from hi + 1 if
 * wrap. Kernels check them; this is for the message. table: what is looked up there. */
typedef struct {
    uint32_t step, operand, arg;
    xf_val lo, hi;
    uint32_t wrap, node, table; /* strings, or 0 */
} xf_range;

typedef struct {
    uint64_t magic;
    uint32_t abi, size;    /* size of the blob in bytes */
    uint8_t build_id[32];  /* also at the start of the weights; equal for equal inputs */
    uint64_t weight_bytes; /* in memory */
    uint32_t n_symbols, n_instrs, n_dims, n_inputs, n_outputs;
    uint32_t n_args; /* all: inputs, outputs, then those of taps */
    uint32_t n_checks, n_operands, n_steps, n_numbers, n_nodes, n_ranges;
    uint32_t n_meta;       /* pairs */
    uint32_t string_bytes; /* the last one is a NUL */
    /* Byte offsets of the tables, each aligned to 8, in this order. */
    uint32_t symbols, instrs, dims, args, checks, operands, steps, numbers /* xf_val */, nodes, ranges,
        meta /* strings: key, value */, strings;
    xf_val work_bytes; /* workspace without scratch and without context-owned outputs */
    uint32_t n_slots;  /* of the heap */
    uint32_t check;    /* of the blob (check.h) */
    uint32_t pad;
} xf_plan_header;

/* --- sections of the .so that the dynamic loader does not map --- */
#define XF_SECTION_WEIGHTS ".xf.weights" /* page-aligned: xf_weights_header, padding to 4096, data, sums */
#define XF_SECTION_IR ".xf.ir"           /* zlib: 8 bytes little-endian length of the text, then the deflate stream */
/* A section a plan, by what it is for; loaded. Tools find them by the section table. */
#define XF_SECTION_PLAN ".xf.plan"
#define XF_PLAN_SECTIONS {XF_SECTION_PLAN, ".xf.plan.equal", ".xf.plan.packed"}
/* The section's bytes may also be a file of their own (weights_path, FILE.so.weights). data_offset is from the start of
 * the header. The runtime copies data that is not aligned to 64 bytes, so keep header and data page-aligned in the
 * file. Behind the data stands the CRC-32C of each of its blocks, 4 bytes each: damage is looked for on demand. */
#define XF_WEIGHTS_MAGIC 0x3148474945574658ull
typedef struct {
    uint64_t magic;
    uint32_t abi, data_offset;
    uint64_t bytes;
    uint8_t build_id[32];
    uint32_t block; /* bytes; the last may be shorter */
    uint32_t check; /* of all bytes before the data (check.h) */
    /* Weights that are made when the model is opened: the last ones of the plan, which lie behind all that is stored for
     * it. What they are made of stands behind that in the file. */
    uint64_t sources; /* bytes of `bytes`, at their end, that no plan reads */
    uint32_t n_made;  /* xf_made, behind this header */
    uint32_t pad;
} xf_weights_header;
#define XF_WEIGHTS_BLOCK (1u << 20)

/* A weight that a routine makes: its arrays are operands, which lie in the sources, and the weight. */
enum { XF_MADE_OPERANDS = 3, XF_MADE_RANK = 4 };
typedef struct {
    uint64_t offset; /* a source: from the first byte of the data; the weight: as the plan has it */
    uint32_t dtype, rank;
    uint64_t dim[XF_MADE_RANK];
} xf_made_array;
typedef struct {
    uint32_t routine, n_operands;
    int64_t number; /* the only one that the routine is told */
    uint32_t sum;   /* CRC-32C of the weight; compared on demand, too */
    uint32_t pad;
    xf_made_array array[XF_MADE_OPERANDS + 1];
} xf_made;

#endif
