/* runtime.h - private to the runtime: the model, the context, and what its files offer one another.
 *
 *   api.c        the table of xf.h; models; errors          ctx.c     contexts and their memory
 *   weights.c    finds and maps the weights                 shape.c   checks inputs, binds symbols, evaluates sizes
 *   signature.c  what the model declares, structs and JSON  run.c     one run: outputs, memory, the step loop
 *   cpuid.c      picks a code variant                       observe.c taps and profile
 *   pool.c       the default parallel_for                   threads.c how many threads by default
 *   step.c       steps that are no kernel                   packed.c  the packed entry: cu_seqlens
 *   heap.c       values whose size only data knows          made.c    makes the weights that are not stored
 *   plan.c, file.c  the blob and the sections (plan.h)      text.c    bounded text and JSON
 *   check.c      checksums                                  blame.c   which index was out of range
 *   device_cpu.c, devices.c  whose memory, who runs steps (device.h)
 *   cpu_level.c  what this CPU runs
 *
 * The only mutable state outside models and contexts is the calling thread's error text (api.c).
 */
#ifndef XFC_RUNTIME_H
#define XFC_RUNTIME_H
#include "runtime/device.h"
#include "runtime/plan.h"
#include "xf.h"
#include <stdatomic.h>

#if defined(__GNUC__)
#define XF_FORMAT(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define XF_FORMAT(fmt, first)
#endif

#define XF_ALIGN 64u /* of everything placed in a workspace, and of weights */
#define XF_HUGE_PAGE ((size_t)2 << 20)
#define XF_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        xf_status xf_try_ = (expr);                                                                                    \
        if (xf_try_ != XF_OK) return xf_try_;                                                                          \
    } while (0)

typedef struct {
    char text[512];
} xf_error;

typedef struct xf_pool xf_pool; /* pool.c */

/* One of the plans of abi.h. */
typedef struct {
    xf_plan plan;        /* head NULL: there is none */
    uint32_t first_step; /* where its steps stand in what has an entry for each step of the model */
    xf_io_info *io;      /* inputs, then outputs, as the plan has them; one block with all their dims. Not for EQUAL */
} xf_entry;

struct xf_model {
    atomic_uint refs;
    xf_entry entry[XF_N_PLANS];
    const xf_variant *variant;
    const unsigned char *weights; /* 64-byte aligned; NULL if the model has none */
    xf_file file;                 /* mapping behind them, */
    void *copy;                   /* or an aligned copy */
    const xf_dev *device;
    void *made;              /* weights that `open` made; NULL: all are stored */
    uint64_t stored;         /* bytes of the others */
    const char *placed;      /* the weights in memory of the device */
    const char *placed_made; /* those that were made */
    bool verify;             /* read them all when opened */
    char *signature;
    uint32_t n_steps, max_values;       /* of all plans; of one plan */
    uint32_t n_slots;                   /* of a context: heap.c */
    uint32_t max_operands, max_numbers; /* of one step */
};

static inline const xf_plan *xf_model_plan(const xf_model *m) { return &m->entry[XF_PLAN_RUN].plan; }
/* As kernels read it; they do not write there. */
static inline void *xf_weight_address(const xf_model *m, uint64_t offset) {
    const char *at = offset < m->stored ? m->placed + offset : m->placed_made + (offset - m->stored);
    return (void *)(uintptr_t)at;
}
static inline const xf_entry *xf_model_packed(const xf_model *m) {
    return m && m->entry[XF_PLAN_PACKED].plan.head ? &m->entry[XF_PLAN_PACKED] : NULL;
}

typedef struct {
    uint64_t count, total_ns, min_ns;
    int64_t flops;
} xf_step_time;

typedef struct {
    char *data;
    size_t bytes;
} xf_slot;

struct xf_ctx {
    xf_model *model;
    xf_error error;
    int32_t threads;
    uint32_t flags;
    xf_parallel_for parallel;
    void *pool;        /* its first argument */
    xf_pool *own_pool; /* the same, unless the host brought its own; NULL with one thread */
    atomic_bool cancelled, busy;

    /* the arena: the caller's, or own memory that grows */
    char *arena;
    size_t arena_bytes;
    bool own_arena;
    xf_slot *slots;   /* the heap: blocks of their own, or in the caller's arena */
    char *heap, *end; /* the part of the caller's arena that is the heap's */

    /* of the current run; arrays made by ctx_create */
    const xf_plan *plan;
    uint32_t first_step; /* of this plan in tapped and times */
    int64_t *values;
    int64_t *numbers;                      /* of one step: what its kernel reads */
    xf_tensor *packed_in;                  /* by input of the packed plan */
    void **in_data, **out_data, **buffers; /* addresses of inputs, outputs, and of one step's operands */
    void **given;                          /* by output: the address that the last successful run answered, or NULL */
    int64_t (*out_dims)[XF_MAX_RANK];
    char *work, *scratch;
    int64_t scratch_room; /* of one worker */
    int32_t range_error;  /* xf_frame.error */

    xf_tap tap;
    void *tap_user;
    bool *ours;          /* by output: the context provides its memory in the current run */
    size_t *room;        /* by output that the caller provides: bytes */
    bool *tapped;        /* by step of all plans */
    xf_step_time *times; /* by step of all plans; NULL until profile_start */
    uint64_t runs;
};

/* api.c: writes the text and returns status, so callers write: return xf_fail(...). error NULL: the thread's. */
xf_status xf_fail(xf_error *, xf_status, const char *fmt, ...) XF_FORMAT(3, 4);
xf_error *xf_thread_error(void);
/* Copies an options struct of the caller (or zeros for NULL), whose struct_size may be smaller or larger than ours. */
xf_status xf_read_opts(void *to, size_t size, const void *from, const char *type, xf_error *);

/* made.c: after xf_weights_look, when m->weights stand. from: for messages. */
xf_status xf_made_open(xf_model *, const unsigned char *section, const xf_weights_header *, const char *from,
                       xf_error *);

/* weights.c */
xf_status xf_weights_open(xf_model *, const xf_open_opts *, xf_error *);
xf_status xf_weights_place(xf_model *, xf_error *); /* where steps of the device read them */
void xf_weights_close(xf_model *);
void *xf_weights_room(uint64_t bytes, xf_error *); /* aligned, for free; NULL: said so */

/* signature.c */
xf_status xf_signature_make(xf_model *, xf_error *);
void xf_signature_free(xf_model *);

uint32_t xf_cpu_level(void); /* cpu_level.c */
uint32_t xf_cpu_features(void);
/* cpuid.c: NULL name: the best variant that this CPU runs. */
xf_status xf_variant_pick(const xf_variant *variants, const char *name, const xf_variant **out, xf_error *);

/* threads.c: the default number of workers; always 1 to XF_MAX_THREADS. */
enum { XF_MAX_THREADS = 1024 };
int32_t xf_default_threads(void);
int32_t xf_thread_count(int32_t wanted); /* 0: the default; clamped */

/* pool.c: threads that help the one that calls run. NULL: out of memory; with fewer threads than asked for it is
 * slower. xf_pool_parallel is an xf_parallel_for, called with n > grain > 0; end_run lets the threads sleep. */
xf_pool *xf_pool_create(int32_t threads);
void xf_pool_destroy(xf_pool *);
int32_t xf_pool_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                         void *arg);
void xf_pool_end_run(xf_pool *);

/* shape.c: values has plan.n_values entries. With data false only ndim and shape are looked at. */
xf_status xf_bind(const xf_plan *, const xf_tensor *in, size_t n_in, bool data, int64_t *values, xf_error *);
/* Binds the inputs of `run` to the plan that serves them: the one for dims that agree where they do, else the general
 * one, of whose refusal the text speaks. */
xf_status xf_bind_run(const xf_model *, const xf_tensor *in, size_t n_in, bool data, int64_t *values, const xf_entry **,
                      xf_error *);
/* What must hold between sizes: at entry (step 0), or behind step - 1. */
xf_status xf_check_sizes(const xf_plan *, uint32_t step, const int64_t *values, xf_error *);
void xf_arg_shape(const xf_plan *, const xf_arg *, const int64_t *values, int64_t *dims);
/* The same where data decides dims that are not known yet: the most that they can be, -1 where only data knows. */
void xf_arg_most(const xf_plan *, const xf_arg *, const int64_t *values, int64_t *dims);
bool xf_arg_from_data(const xf_plan *, const xf_arg *); /* has it such dims? */
bool xf_arg_grows(const xf_plan *, const xf_arg *);     /* and one of which only data knows how large it is? */
/* Bytes that a dense argument takes at most, 0 for one that grows; false: a negative dim or overflow. */
bool xf_arg_size(const xf_plan *, const xf_arg *, const int64_t *values, size_t *bytes);
/* What does not depend on symbols: dtype, rank, dims >= 0, strides (which may leave a cache room), device, pointer,
 * alignment. what: "input" or "output". */
xf_status xf_check_tensor(const xf_plan *, const char *what, size_t index, const xf_arg *, const xf_tensor *,
                          xf_error *);
/* How many rows memory has behind those of a tensor along axis, as strides that are dense otherwise tell; 0 where they need
 * not tell (xf_arg.twin). False: they are others. */
bool xf_tensor_room(const xf_tensor *, uint32_t axis, int64_t *room);
/* Bytes from the first element to behind the last, for elements of so many bits. False: overflow. */
bool xf_tensor_span(const xf_tensor *, size_t bits, size_t *bytes);
static inline xf_dtype xf_arg_dtype(const xf_arg *a) {
    return (xf_dtype){(uint8_t)a->dtype, (uint8_t)(a->dtype >> 8), (uint16_t)(a->dtype >> 16)};
}
static inline char *xf_tensor_start(const xf_tensor *t) { return t->data ? (char *)t->data + t->byte_offset : NULL; }

/* Scratch of one worker in a step that asks for these bytes; every worker's starts aligned. */
static inline int64_t xf_scratch_stride(int64_t bytes) {
    return bytes <= 0 ? 0 : (bytes - 1) / (int64_t)XF_ALIGN * (int64_t)XF_ALIGN + (int64_t)XF_ALIGN;
}

/* ctx.c: where things lie in an arena, for these values. */
typedef struct {
    size_t scratch, inputs, outputs, total;
} xf_layout; /* where they start; the workspace proper is at 0 */
/* ours: which outputs are placed; NULL: all. Where memory of the device is not the host's, all outputs and inputs
 * are. */
xf_status xf_layout_make(const xf_plan *, const xf_dev *, const int64_t *values, int32_t threads, const bool *ours,
                         xf_layout *, xf_error *);
xf_status xf_arena_reserve(xf_ctx *, size_t bytes, char **base); /* base: aligned to XF_ALIGN, with room for bytes */
xf_status xf_ctx_create(xf_model *, const xf_ctx_opts *, xf_ctx **, xf_error *);
void xf_ctx_destroy(xf_ctx *);

/* A multiple of what the device aligns by; NULL: there is not so much. *got: bytes, for release. */
char *xf_device_take(const xf_dev *, size_t bytes, size_t *got);

/* heap.c: slots of a context: one an output, one for scratch, then those of the plan. */
static inline uint32_t xf_slot_of_scratch(const xf_ctx *c) { return xf_model_plan(c->model)->head->n_outputs; }
void xf_heap_begin(xf_ctx *, char *free); /* a run; free: where in the arena nothing else lies */
void xf_heap_end(xf_ctx *);               /* of the context */
/* Makes the slot hold so many bytes; what it held is lost if it grows. step: for the message. */
xf_status xf_heap_reserve(xf_ctx *, uint32_t slot, int64_t bytes, const xf_step_info *step);
/* Places for all results of a step whose sizes only data knows: they are known now. */
xf_status xf_heap_results(xf_ctx *, const xf_step_info *);
/* Scratch for a step whose workers take so many bytes each. */
xf_status xf_heap_scratch(xf_ctx *, const xf_step_info *, int64_t stride, char **scratch);

/* run.c */
void *xf_step_operand(const xf_ctx *, const xf_step_info *, uint32_t i); /* address of operand i in the current run */
/* Runs the tasks of a step on the device, and waits for them. */
int32_t xf_launch(const xf_ctx *, xf_kernel_fn body, void *frame, int64_t tasks, int64_t grain);
/* NULL: the entry that serves the inputs (xf_bind_run). */
xf_status xf_run(xf_ctx *, const xf_entry *, const xf_tensor *in, size_t n_in, xf_tensor *out, size_t n_out);

/* blame.c: the text for an index out of range in this step of the run; answers XF_E_RANGE. */
xf_status xf_blame(xf_ctx *, uint32_t step);

/* packed.c: the inputs of the packed plan: the caller's, then the two that cu_seqlens stands for. */
enum { XF_PACKED_EXTRA = 2 };
typedef struct {
    int64_t starts, shape[4]; /* dims of the two */
} xf_packed_dims;
const char *xf_packed_check(const xf_plan *); /* NULL, or why the packed plan cannot be used */
/* all: room for the plan's inputs. Checks cu_seqlens (and that in has n_in tensors); dims must live as long as all. */
xf_status xf_packed_inputs(const xf_plan *, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens, size_t n_seq,
                           xf_tensor *all, xf_packed_dims *dims, xf_error *);
xf_status xf_run_packed(xf_ctx *, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens, size_t n_seq,
                        xf_tensor *out, size_t n_out);

/* step.c: a step of another kind than KERNEL; status: what the host's parallel_for answered */
xf_status xf_host_step(xf_ctx *, const xf_step_info *, int32_t *status);
/* The symbols of a loop become what they are at first, or behind a step; then there is room for what it carries. */
xf_status xf_loop_sizes(xf_ctx *, const xf_step_info *, bool next);
int64_t xf_step_scratch(const xf_plan *, const xf_step_info *, const int64_t *values); /* of any kind: bytes a worker */

/* observe.c */
xf_status xf_set_tap(xf_ctx *, const char *node_glob, xf_tap, void *user);
void xf_tap_step(xf_ctx *, uint32_t step);
xf_status xf_profile_start(xf_ctx *);
xf_status xf_profile_json(xf_ctx *, char *buf, size_t cap, size_t *len);
uint64_t xf_now_ns(void);
void xf_profile_step(xf_ctx *, uint32_t step, uint64_t start_ns);

/* text.c: text into a buffer that may be too small: n counts what was wanted, what fits is written and
 * NUL-terminated. */
typedef struct {
    char *buf;
    size_t cap, n;
} xf_text;
void xf_text_printf(xf_text *, const char *fmt, ...) XF_FORMAT(2, 3);
void xf_text_json(xf_text *, const char *);                           /* a JSON string */
const char *xf_dtype_name(uint32_t dtype, char buf[static 24]);       /* "int64", "float32", "bfloat16", "bool" */
void xf_text_arg(xf_text *, const xf_plan *, const xf_arg *);         /* float32[batch, 384] */
void xf_text_dims(xf_text *, const xf_tensor *);                      /* [8, 384] */
void xf_text_nodes(xf_text *, const xf_plan *, const xf_step_info *); /* 'a', 'b' and 3 more */

#endif
