/* artefact.h - private to backends: the parts that plan_blob.c, link.c and artefact.c are put together from. */
#ifndef XFC_ARTEFACT_H
#define XFC_ARTEFACT_H
#include "backends/backend.h"
#include "runtime/include/xfc/abi.h"

/* sha256.c: FIPS 180-4, streaming. */
typedef struct {
    uint32_t h[8];
    uint64_t n;
    uint8_t block[64];
} xfc_sha256;
void xfc_sha256_init(xfc_sha256 *);
void xfc_sha256_add(xfc_sha256 *, const void *data, size_t n);
void xfc_sha256_end(xfc_sha256 *, uint8_t digest[32]);

/* place.c: the place of a value of g, a planned entry or a body, as seen from the entry. */
xfc_place xfc_place_of(const xfc_graph *g, const xfc_value *);
uint32_t xfc_heap_slots(const xfc_graph *entry); /* of the whole program */

/* flops.c: multiply-adds * 2 of all tiles of a kernel over all its tasks, over graph symbols. NONE: it has no tile,
 * or the sum has no closed form. */
xfc_int xfc_kernel_flops(xfc_ctx *, const xfc_kernel *);

/* made.c: the weights of a planned graph, or of all that share them, as they are stored. */
typedef struct {
    uint32_t n_kept; /* of the plan's weights the first ones, which steps read as they lie there */
    uint64_t kept;   /* bytes of them */
    const xfc_tensor **source;
    uint64_t *source_offset, bytes; /* bytes: all that is stored */
    xf_made *row;                   /* of the other weights */
    uint32_t n_sources, n_rows;
} xfc_stored;
xfc_stored xfc_stored_weights(const xfc_graph *, xfc_arena *);

/* llvm/base.c: the object that holds xf_plans and xf_variants (runtime/include/xfc/abi.h). */
xfc_status xfc_emit_base(xfc_ctx *, const xfc_link_job *, xfc_blob *out);

/* artefact.c: the output of a job from what the linker made, complete or not at all; and, before any work, whether it
 * can be written there. */
xfc_status xfc_check_artefact(xfc_ctx *, const xfc_link_job *);
xfc_status xfc_write_artefact(xfc_ctx *, const xfc_link_job *, const void *elf, size_t n);

/* elf.c: writes a linked shared object to fd with sections added that no loader maps. */
typedef struct {
    const char *name;
    uint64_t bytes, align;
    xfc_status (*write)(xfc_ctx *, int fd, const void *user); /* exactly `bytes` */
    const void *user;
} xfc_elf_section;
xfc_status xfc_elf_append(xfc_ctx *, const char *path, const void *elf, size_t n, const xfc_elf_section *,
                          uint32_t n_sections, int fd);
/* path: for the message */
xfc_status xfc_write_all(xfc_ctx *, const char *path, int fd, const void *data, size_t n);

/* llvm/disasm.c: one line an instruction. name_of: writes what lies at an address; false: nothing known. */
typedef bool xfc_name_of(void *user, uint64_t address, char *text, size_t n);
xfc_status xfc_disassemble(xfc_ctx *, const uint8_t *code, size_t n, uint64_t address, xfc_name_of *, void *user,
                           xfc_buf *out);

#endif
