/* make_tiles.c - a program of the build: the tiles of a type for an ISA as an object, for the archive that every model.so
 * is linked with.
 *
 *   make_tiles ISA A-B OUTPUT.o      A, B: operands, as rows of tiles.def name them
 */
#include "backends/llvm/llvm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    xfc_contract type;
} types[] = {
#define XFC_TILE(id, left, right, total, group, ...)                                                                   \
    {#left "-" #right, {XFC_##left, XFC_##right, XFC_##total, XFC_PANEL, group}},
#include "ir/tiles.def"
#undef XFC_TILE
};

static bool write_file(const char *path, const xfc_blob *blob) {
    FILE *f = fopen(path, "wb");
    bool done = f && fwrite(blob->data, 1, blob->n, f) == blob->n;
    return f && fclose(f) == 0 && done;
}

int main(int argc, char **argv) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_target target;
    xfc_blob object = {0};
    size_t i = 0;
    while (argc == 4 && i < XFC_COUNT(types) && strcmp(types[i].name, argv[2]) != 0) i++;
    bool done = argc == 4 && i < XFC_COUNT(types) && xfc_backend_cpu.configure(ctx, &target, argv[1]) == XFC_OK &&
                xfc_emit_tiles(ctx, &target, &types[i].type, &object) == XFC_OK && write_file(argv[3], &object);
    if (!done) fprintf(stderr, "usage: make_tiles ISA A-B OUTPUT.o; what fails says why:\n");
    xfc_diags_print(ctx, stderr, false);
    free(object.data);
    xfc_ctx_free(ctx);
    return !done;
}
