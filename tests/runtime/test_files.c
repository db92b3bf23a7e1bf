/* test_files.c - where weights come from: the section, a file beside, a path, memory; moved, truncated, foreign and
 * replaced files. */
#define _GNU_SOURCE
#include "crc.h"
#include "test_runtime.h"
#include "xfc/abi.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    unsigned char *data;
    size_t n;
} bytes;

static bytes read_file(const char *path) {
    bytes b = {0};
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) exit(1);
    b.n = (size_t)ftell(f);
    b.data = malloc(b.n + 64);
    rewind(f);
    if (fread(b.data, 1, b.n, f) != b.n) exit(1);
    fclose(f);
    return b;
}

static void write_file(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f)) exit(1);
}

/* The weights section, found by the start of its header (code holds the magic too): the test does not use the code that
 * it tests. */
static size_t find_weights(bytes so) {
    const xf_weights_header want = {.magic = XF_WEIGHTS_MAGIC, .abi = XF_CODE_ABI, .data_offset = 4096};
    for (size_t i = 0; i + 64 <= so.n; i += 64)
        if (memcmp(so.data + i, &want, 16) == 0) return i;
    exit(1);
}

enum { PAGE = 4096, WEIGHTS = PAGE + 64 + 1600 + 2 * 4 }; /* two blocks */

/* dlopens a copy, opens the model with these options, expects this, and runs it once if it should work. */
static void try_open(const char *path, const xf_open_opts *o, xf_status want, const char *texts) {
    void *so;
    const xf_api *xf = load(path, &so);
    xf_model *m;
    xf_ctx *ctx;
    xf_status status = xf->open(o, &m);
    expect(__FILE__, __LINE__, path, status, want, status ? xf->last_error(NULL) : "", texts);
    if (status == XF_OK &&
        xf->ctx_create(m, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = 1}, &ctx) == XF_OK) {
        call c;
        call_make(&c, 2, 3, 1);
        CHECK(xf->run(ctx, c.in, 4, c.out, 2) == XF_OK && call_right(&c, c.out[0].data, *(double *)c.out[1].data));
        xf->ctx_destroy(ctx);
        call_free(&c);
    }
    xf->release(m);
    dlclose(so);
}

static void test_given_weights(const char *copy, bytes so, size_t at) {
    unsigned char *shifted = malloc(WEIGHTS + 1);
    memcpy(shifted + 1, so.data + at, WEIGHTS);
    xf_open_opts o = {.struct_size = sizeof o, .weights = shifted + 1, .weights_size = WEIGHTS};
    try_open(copy, &o, XF_OK, ""); /* misaligned: copied */
    o.weights_size--;
    try_open(copy, &o, XF_E_IO, "cut off");
    o.weights_size = 10;
    try_open(copy, &o, XF_E_IO, "cut off");
    o.weights_size = WEIGHTS;
    shifted[1 + 31] ^= 1; /* build id */
    try_open(copy, &o, XF_E_IO, "damaged in the header");
    memset(shifted + 1 + offsetof(xf_weights_header, check), 0, 4);
    uint32_t check = slow_crc(0, shifted + 1, PAGE);
    memcpy(shifted + 1 + offsetof(xf_weights_header, check), &check, 4);
    try_open(copy, &o, XF_E_IO, "another build");
    shifted[1 + 8] ^= 1; /* abi */
    try_open(copy, &o, XF_E_ABI, "version");
    shifted[1] ^= 1;
    try_open(copy, &o, XF_E_IO, "not weights");
    memcpy(shifted + 1, so.data + at, WEIGHTS);
    memset(shifted + 1 + 12, 0xff, 4); /* data_offset */
    try_open(copy, &o, XF_E_IO, "cut off");
    free(shifted);
}

/* Every bit of the section: what stands before the weights is always looked at, they themselves only when asked for. */
static void test_damage(const char *copy, bytes so, size_t at) {
    void *handle;
    const xf_api *xf = load(copy, &handle);
    unsigned char *w = aligned_alloc(64, (WEIGHTS + 63) / 64 * 64);
    xf_open_opts o = {.struct_size = sizeof o, .weights = w, .weights_size = WEIGHTS};
    xf_model *m;
    memcpy(w, so.data + at, WEIGHTS);
    for (size_t i = 0; i < WEIGHTS; i++) {
        w[i] ^= (unsigned char)(1u << i % 8);
        for (o.flags = 0; o.flags <= XF_OPEN_VERIFY; o.flags++) {
            xf_status want = i < PAGE || o.flags ? XF_E_IO : XF_OK, got = xf->open(&o, &m);
            CHECK(got == want || (i >= 8 && i < 12 && got == XF_E_ABI));
            if (got == XF_OK) xf->release(m);
        }
        w[i] ^= (unsigned char)(1u << i % 8);
    }
    o.flags = XF_OPEN_VERIFY;
    CHECK(xf->open(&o, &m) == XF_OK);
    xf->release(m);
    w[PAGE + 1024] ^= 1;
    EXPECT(xf->open(&o, &m), XF_E_IO, NULL, "xf_open_opts.weights: the file is damaged|bytes 5120 to 5760");
    o.weights = NULL;
    CHECK(xf->open(&o, &m) == XF_OK);
    xf->release(m);
    free(w);
    dlclose(handle);
}

/* The plan inside a file that is loaded. */
static void test_damaged_plan(bytes so) {
    const xf_plan_header want = {.magic = XF_PLAN_MAGIC, .abi = XF_CODE_ABI}; /* code holds the magic too */
    size_t at = 0;
    while (memcmp(so.data + at, &want, 12) != 0) at += 64;
    so.data[at + 200] ^= 4;
    write_file("damaged.so", so.data, so.n);
    so.data[at + 200] ^= 4;
    try_open("./damaged.so", NULL, XF_E_IO, "section .xf.plan|the file is damaged");
    remove("damaged.so");
}

static void test_paths(const char *copy, bytes so, size_t at) {
    xf_open_opts o = {.struct_size = sizeof o, .weights_path = "nowhere.weights"};
    try_open(copy, &o, XF_E_IO, "nowhere.weights|No such file");
    write_file("other.weights", so.data + at, WEIGHTS);
    o.weights_path = "other.weights";
    try_open(copy, &o, XF_OK, "");
    o.weights_path = path_a; /* another .so that holds them */
    try_open(copy, &o, XF_OK, "");
    o.weights_path = path_b;
    try_open(copy, &o, XF_E_IO, "section .xf.weights");
    write_file("other.weights", so.data + at, 5000);
    o.weights_path = "other.weights";
    try_open(copy, &o, XF_E_IO, "cut off");
    write_file("other.weights", "", 0);
    try_open(copy, &o, XF_E_IO, "cut off");
    o.weights_path = ".";
    try_open(copy, &o, XF_E_IO, "");
}

/* Without its section table (which is all that the truncated end holds) the .so still loads, and weights may lie beside
 * it. */
static void test_no_section(bytes so, size_t at) {
    enum { HEADER = 64 };
    bytes cut = {malloc(so.n), so.n};
    if (!cut.data || so.n < HEADER) exit(1);
    memcpy(cut.data, so.data, so.n);
    memset(cut.data + 40, 0, 8); /* e_shoff */
    write_file("cut.so", cut.data, cut.n);
    remove("cut.so.weights");
    try_open("./cut.so", NULL, XF_E_IO, "no section .xf.weights|cut.so.weights");
    write_file("cut.so.weights", so.data + at, WEIGHTS);
    try_open("./cut.so", NULL, XF_OK, "");
    remove("cut.so.weights");
    memcpy(cut.data, so.data, so.n);
    memset(cut.data + 60, 0xff, 4); /* e_shnum, e_shstrndx */
    write_file("cut.so", cut.data, cut.n);
    try_open("./cut.so", NULL, XF_E_IO, "no section");
    /* Whatever the header says: an answer, and no crash; only e_sh* so that ld.so is not the victim. */
    for (size_t i = 0; i < 64; i++) {
        memcpy(cut.data, so.data, so.n);
        cut.data[40 + i % 8] ^= (unsigned char)(1u << (i / 8));
        remove("cut.so");
        write_file("cut.so", cut.data, cut.n);
        void *handle;
        const xf_api *xf = load("./cut.so", &handle);
        xf_model *m;
        if (xf->open(NULL, &m)) CHECK(xf->last_error(NULL)[0]);
        xf->release(m);
        dlclose(handle);
    }
    free(cut.data);
    remove("cut.so");
}

/* Opened by a relative path; then the directory changes. And a file that was replaced after it was loaded. */
static void test_moved(bytes so) {
    char cwd[4096];
    void *handle;
    xf_model *m;
    if (!getcwd(cwd, sizeof cwd)) exit(1);
    write_file("moved.so", so.data, so.n);
    const xf_api *xf = load("./moved.so", &handle);
    CHECK(chdir("/") == 0);
    CHECK(xf->open(NULL, &m) == XF_OK);
    CHECK(chdir(cwd) == 0);
    xf->release(m);
    bytes b = read_file(path_b);
    write_file("replacement.so", b.data, b.n);
    so.data[find_weights(so) + 40] ^= 1;
    write_file("replacement.so", so.data, so.n);
    so.data[find_weights(so) + 40] ^= 1;
    CHECK(rename("replacement.so", "moved.so") == 0);
    EXPECT(xf->open(NULL, &m), XF_E_IO, NULL, "moved.so");
    dlclose(handle);
    remove("moved.so");
    free(b.data);
}

void test_files(void) {
    bytes so = read_file(path_a);
    size_t at = find_weights(so);
    write_file("copy.so", so.data, so.n);
    try_open("./copy.so", NULL, XF_OK, "");
    test_given_weights("./copy.so", so, at);
    test_damage("./copy.so", so, at);
    test_damaged_plan(so);
    test_paths("./copy.so", so, at);
    test_no_section(so, at);
    test_moved(so);
    remove("copy.so");
    remove("other.weights");
    free(so.data);
}
