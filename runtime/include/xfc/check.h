/* check.h - private: the checksums by which compiler, runtime and tools notice that a file was damaged. All are CRC-32C
 * (Castagnoli's polynomial, as in iSCSI and ext4), which x86 computes by an instruction. They find accidents; who wants
 * to change a file can change its checksums too. */
#ifndef XFC_CHECK_H
#define XFC_CHECK_H
#include "xfc/abi.h"
#include <stddef.h>

/* crc: of the bytes before, 0 for the first. */
uint32_t xf_crc32c(uint32_t crc, const void *data, size_t n);
/* Each as the field of its name holds it: of the whole plan, an xf_plan_header at its start; of the bytes before the
 * weights; of names and levels. */
uint32_t xf_plan_check(const void *plan);
uint32_t xf_weights_check(const void *section, size_t data_offset);
uint32_t xf_variants_check(const xf_variant *);

#endif
