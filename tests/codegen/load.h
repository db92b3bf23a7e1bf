/* load.h - for tests: an emitted object becomes code that can be called, through the system linker and dlopen. */
#ifndef XFC_TEST_LOAD_H
#define XFC_TEST_LOAD_H
#include "backends/backend.h"
#include "runtime/include/xfc/abi.h"

bool test_cpu_has(const char *isa);      /* this machine runs x86-64-v2, -v3, -v4 */
void *test_load(const xfc_blob *object); /* ends the test with a message when it cannot */
xf_kernel_fn test_function(void *library, const char *name);

#endif
