/* measure.h - by how much two compiled models differ. */
#ifndef XF_MEASURE_H
#define XF_MEASURE_H
#include <stdbool.h>

/* Prints a note for each output of floats of the model at `path`, which `option` made inexact: its distance from that
 * of the exact one; or why nothing can be said. */
void xf_measure(const char *option, bool json, const char *path, const char *exact);

#endif
