/* test_elf.c - sections added to a linked file: found again, larger than 4 GiB, and refused on files that are
 * damaged. */
#define _GNU_SOURCE
#include "backends/artefact.h"
#include "runtime/plan.h"
#include "tests/unit/test.h"
#include <elf.h>
#include <fcntl.h>

static xfc_status write_text(xfc_ctx *ctx, int fd, const void *user) {
    return xfc_write_all(ctx, "test", fd, user, strlen(user));
}

enum { HOLE_BYTES_SHIFT = 32 };
static const uint64_t large = (UINT64_C(1) << HOLE_BYTES_SHIFT) + 4096 + 7;

/* A hole with one byte at its end. */
static xfc_status write_large(xfc_ctx *ctx, int fd, const void *user) {
    CHECK(lseek(fd, (off_t)large - 1, SEEK_CUR) > 0);
    return xfc_write_all(ctx, "test", fd, user, 1);
}

static int temporary(void) {
    char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/xfc-test-XXXXXX", base ? base : "/tmp");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) abort();
    unlink(path);
    return fd;
}

static xf_file map(int fd) {
    char path[64];
    xf_file f;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_INT(xf_file_map(path, &f), 0);
    return f;
}

static void test_append(xfc_ctx *ctx, const xf_file *self) {
    const xfc_elf_section add[] = {{".test.one", 5, 64, write_text, "hello"},
                                   {".test.large", large, 4096, write_large, "!"},
                                   {".test.last", 3, 8, write_text, "end"}};
    int fd = temporary();
    CHECK(xfc_elf_append(ctx, "test", self->data, self->size, add, 3, fd) == XFC_OK);
    xf_file f = map(fd);
    size_t at, n;
    if (CHECK(xf_elf_section(f.data, f.size, ".test.one", &at, &n)))
        CHECK(n == 5 && at % 64 == 0 && memcmp(f.data + at, "hello", 5) == 0);
    if (CHECK(xf_elf_section(f.data, f.size, ".test.large", &at, &n)))
        CHECK(n == large && at % 4096 == 0 && f.data[at + n - 1] == '!');
    if (CHECK(xf_elf_section(f.data, f.size, ".test.last", &at, &n)))
        CHECK(n == 3 && memcmp(f.data + at, "end", 3) == 0);
    size_t before, bytes;
    if (CHECK(xf_elf_section(self->data, self->size, ".text", &before, &bytes) &&
              xf_elf_section(f.data, f.size, ".text", &at, &n)))
        CHECK(at == before && n == bytes && memcmp(f.data + at, self->data + at, n) == 0);
    xf_file_unmap(&f);
    close(fd);
}

/* Damage in the headers is refused or survived; the section tables are the interesting place. */
static void test_damage(xfc_ctx *ctx, const xf_file *self) {
    const xfc_elf_section add[] = {{".test.one", 5, 64, write_text, "hello"}};
    uint8_t *copy = malloc(self->size);
    uint64_t seed = 88172645463325252u;
    uint32_t refused = 0;
    memcpy(copy, self->data, self->size);
    const Elf64_Ehdr *h = (const void *)copy;
    uint64_t table = h->e_shoff;
    for (int i = 0; i < 400; i++) {
        uint64_t at = i % 2 ? (uint64_t)test_between(&seed, 0, 63) : table + (uint64_t)test_between(&seed, 0, 64 * 20);
        uint8_t keep = copy[at];
        copy[at] = (uint8_t)test_random(&seed);
        int fd = temporary();
        refused += xfc_elf_append(ctx, "test", copy, self->size, add, 1, fd) != XFC_OK;
        close(fd);
        copy[at] = keep;
    }
    CHECK(refused > 40);
    for (size_t n = 0; n < 200; n += 13) CHECK(xfc_elf_append(ctx, "test", copy, n, add, 1, -1) == XFC_ERR_TOOL);
    free(copy);
}

int main(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    xf_file self;
    CHECK_INT(xf_file_map("/proc/self/exe", &self), 0);
    test_append(ctx, &self);
    test_damage(ctx, &self);
    CHECK(xfc_write_all(ctx, "nowhere", -1, "x", 1) == XFC_ERR_IO);
    xf_file_unmap(&self);
    xfc_ctx_free(ctx);
    return test_end();
}
