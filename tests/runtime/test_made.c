/* test_made.c - weights that are made when a model is opened: model a with its table as a product of two factors. Whatever a
 * table says that nobody wrote, `open` answers. */
#include "crc.h"
#include "test_runtime.h"
#include "xfc/abi.h"
#include <dlfcn.h>
#include <stdlib.h>

enum {
#define XK_ROUTINE(name, ...) NUMBER_##name,
#include "runtime/kernels/routines.def"
#undef XK_ROUTINE
};
enum { F32 = 2 | 32 << 8 | 1 << 16, U8 = 1 | 8 << 8 | 1 << 16, HOST = 1, GUARDED = 12 };
/* table[i][j] = 0.5 (4 i + j): row i has the atoms 2 i and 0.5, column j the entries 1 and j. */
enum {
    ROWS = 100,
    KEPT = 64,
    DENSE = KEPT,
    INDEX = DENSE + 832,
    VALUES = INDEX + 64,
    BYTES = VALUES + 64,
    PAGE = 4096
};

typedef struct {
    unsigned char bytes[PAGE + BYTES + 4];
} section;

static xf_weights_header *head(section *s) { return (void *)s->bytes; }
static xf_made *row(section *s) { return (void *)(s->bytes + sizeof(xf_weights_header)); }

static void seal_head(section *s) {
    head(s)->check = 0;
    head(s)->check = slow_crc(0, s->bytes, PAGE);
}

static void seal(section *s) {
    uint32_t sum = slow_crc(0, s->bytes + PAGE, BYTES);
    memcpy(s->bytes + PAGE + BYTES, &sum, sizeof sum);
    seal_head(s);
}

static void fill(section *s) {
    float dense[ROWS][2], values[2][4], table[ROWS][4];
    memset(s, 0, sizeof *s);
    for (int i = 0; i < ROWS; i++) dense[i][0] = 2 * (float)i, dense[i][1] = 0.5f;
    for (int j = 0; j < 4; j++) values[0][j] = (float)j, values[1][j] = 1;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < 4; j++) table[i][j] = 0.5f * (float)(4 * i + j);
    memcpy(s->bytes + PAGE + DENSE, dense, sizeof dense);
    memset(s->bytes + PAGE + INDEX, 1, 4); /* the first entries are of atom 1, the others of atom 0 */
    memcpy(s->bytes + PAGE + VALUES, values, sizeof values);
    *head(s) = (xf_weights_header){.magic = XF_WEIGHTS_MAGIC,
                                   .abi = XF_CODE_ABI,
                                   .data_offset = PAGE,
                                   .bytes = BYTES,
                                   .block = 1u << 20,
                                   .sources = BYTES - KEPT,
                                   .n_made = 1};
    memset(head(s)->build_id, 'a', sizeof head(s)->build_id);
    *row(s) = (xf_made){.routine = NUMBER_multiply_factors,
                        .n_operands = 3,
                        .number = 4,
                        .sum = slow_crc(0, table, sizeof table),
                        .array = {{DENSE, F32, 3, {1, ROWS, 2}},
                                  {INDEX, U8, 4, {1, 1, 2, 4}},
                                  {VALUES, F32, 4, {1, 1, 2, 4}},
                                  {KEPT, F32, 2, {ROWS, 4}}}};
    seal(s);
}

static xf_status open_with(const xf_api *xf, const void *bytes, uint32_t flags, int32_t device, xf_model **m) {
    const xf_open_opts o = {.struct_size = sizeof o,
                            .weights = bytes,
                            .weights_size = sizeof(section),
                            .flags = flags,
                            .device = {device, 0}};
    return xf->open(&o, m);
}

/* Two contexts read the same. */
static void run(const xf_api *xf, xf_model *m) {
    xf_ctx *ctx[2];
    for (unsigned i = 0; i < 2; i++) {
        call c;
        call_make(&c, 3, 5, i);
        CHECK(xf->ctx_create(m, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = 2}, &ctx[i]) ==
              XF_OK);
        CHECK(xf->run(ctx[i], c.in, 4, c.out, 2) == XF_OK && call_right(&c, c.out[0].data, *(double *)c.out[1].data));
        call_free(&c);
    }
    xf->ctx_destroy(ctx[0]), xf->ctx_destroy(ctx[1]);
}

static void test_right(const xf_api *xf, section *s, int32_t device) {
    xf_model *m;
    for (uint32_t flags = 0; flags <= XF_OPEN_VERIFY; flags++) {
        EXPECT(open_with(xf, s, flags, device, &m), XF_OK, NULL, "");
        if (device == HOST) run(xf, m);
        xf->release(m);
    }
    unsigned char *moved = malloc(sizeof *s + 1);
    memcpy(moved + 1, s, sizeof *s);
    CHECK(open_with(xf, moved + 1, 0, device, &m) == XF_OK);
    if (device == HOST) run(xf, m);
    xf->release(m);
    free(moved);
}

/* A source with another number: as it is, and as if it had been written so. */
static void test_damage(const xf_api *xf, section *s) {
    xf_model *m;
    s->bytes[PAGE + DENSE + 3] ^= 1;
    CHECK(open_with(xf, s, 0, HOST, &m) == XF_OK);
    xf->release(m);
    EXPECT(open_with(xf, s, XF_OPEN_VERIFY, HOST, &m), XF_E_IO, NULL, "the file is damaged: the weights in bytes");
    seal(s);
    EXPECT(open_with(xf, s, XF_OPEN_VERIFY, HOST, &m), XF_E_IO, NULL, "a weight that was made is not what xfc made");
    fill(s);
    memset(s->bytes + PAGE + INDEX, 0xff, 8); /* atoms that are not there */
    CHECK(open_with(xf, s, 0, HOST, &m) == XF_OK);
    xf->release(m);
    fill(s);
}

static void refuse(const xf_api *xf, section *s, const char *text) {
    xf_model *m;
    seal_head(s);
    EXPECT(open_with(xf, s, 0, HOST, &m), XF_E_IO, NULL, text);
    fill(s);
}

static void test_refused(const xf_api *xf, section *s) {
    static const char table[] = "the table of weights that are made is damaged", sizes[] = "do not go together",
                      routine[] = "by a routine that this model does not have";
    xf_made *r = row(s);
    xf_weights_header *h = head(s);
    h->n_made = 1000, refuse(xf, s, table);
    h->n_made = 0, refuse(xf, s, "the weights are cut off");
    h->sources = BYTES + 64, refuse(xf, s, table);
    h->sources -= 32, refuse(xf, s, table);
    r->n_operands = 4, refuse(xf, s, table);
    r->array[0].offset = 0, refuse(xf, s, table); /* no source */
    r->array[0].offset += 32, refuse(xf, s, table);
    r->array[2].offset = BYTES, refuse(xf, s, table);
    r->array[3].dim[0] = 101, refuse(xf, s, table);
    r->array[3].dim[0] = UINT64_C(1) << 40, refuse(xf, s, table);
    r->array[1].dtype = 1 | 4 << 8 | 1 << 16, refuse(xf, s, table);
    r->routine = NUMBER_top_k, refuse(xf, s, routine);
    r->routine = 1u << 30, refuse(xf, s, routine);
    r->array[3].rank = 1, refuse(xf, s, sizes);
    r->array[0].rank = 2, refuse(xf, s, routine); /* takes other arrays */
    r->number = 5, refuse(xf, s, sizes);
    r->number = -1, refuse(xf, s, sizes);
    r->array[0].dim[1] = 99, refuse(xf, s, sizes);
    r->array[0].dtype = U8, refuse(xf, s, sizes);
    r->array[2].dim[2] = 1, refuse(xf, s, sizes);
}

/* Every number of header and table at its ends. */
static void test_any(const xf_api *xf, section *s) {
    static const uint32_t any[] = {0, 1, 2, 3, 5, 64, 4096, 0x7fffffff, 0x80000000, 0xffffffff};
    xf_model *m;
    const size_t first = offsetof(xf_weights_header, data_offset), end = sizeof(xf_weights_header) + sizeof(xf_made);
    for (size_t at = first; at < end; at += 4)
        for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
            memcpy(s->bytes + at, &any[i], 4);
            if (at > first) seal_head(s);
            xf_status status = open_with(xf, s, 0, HOST, &m);
            CHECK(status == XF_OK || status == XF_E_IO || status == XF_E_NOMEM);
            if (status == XF_OK) xf->release(m);
            fill(s);
        }
}

void test_made(void) {
    void *so;
    static section s;
    fill(&s);
    const xf_api *xf = load(path_a, &so);
    test_right(xf, &s, HOST);
    test_damage(xf, &s);
    test_refused(xf, &s);
    test_any(xf, &s);
    dlclose(so);
    xf = load(path_guarded_a, &so);
    test_right(xf, &s, GUARDED);
    dlclose(so);
}
