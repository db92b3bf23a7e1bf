/* device.h - whose memory a run works in, and who runs its steps.
 *
 * Weights, workspace, scratch and the operands of every step lie in memory of the device. What the host must see of it
 * - sizes that data decides, conditions, indices for a message, results - it copies; nothing else of the runtime reads
 * or writes there. Callers' tensors are memory of the host: where that is the device's too they are operands as they
 * are, else inputs are copied when a run begins and outputs when it ends. An output that the caller leaves to the
 * context lies on the device, as its xf_tensor says.
 *
 * A device is such a table, in a file of its own, and a row of devices.c. There are no streams: a step is waited for
 * before the next one begins.
 */
#ifndef XFC_DEVICE_H
#define XFC_DEVICE_H
#include "xf.h"
#include "xfc/abi.h"
#include <stdbool.h>

typedef struct {
    xf_device where;                                        /* what tensors say of its memory */
    bool is_host;                                           /* its memory is the host's */
    void *(*alloc)(size_t bytes);                           /* XF_ALIGN-aligned; NULL: there is not so much */
    void (*release)(void *, size_t bytes);                  /* what alloc gave for so many; NULL: nothing */
    void (*copy)(void *to, const void *from, size_t bytes); /* from or to the host, or both; is done when it returns */
    /* Begins tasks 0 .. tasks - 1 of a step, `grain` at least to a worker; what a parallel_for answers. */
    int32_t (*launch)(const xf_ctx *, xf_kernel_fn body, void *frame, int64_t tasks, int64_t grain);
    void (*wait)(const xf_ctx *); /* for what was launched */
} xf_dev;

extern const xf_dev *const xf_devices[];    /* NULL-terminated; the first is the default */
const xf_dev *xf_device_find(int32_t type); /* 0: the default; NULL: there is none */

/* device_cpu.c: by the threads of the context. */
int32_t xf_run_tasks(const xf_ctx *, xf_kernel_fn body, void *frame, int64_t tasks, int64_t grain);
extern const xf_dev xf_device_cpu;

#endif
