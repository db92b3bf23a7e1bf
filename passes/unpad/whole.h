/* whole.h - sequences that have no padding, one behind another all the same: for what gives each its own length. */
#ifndef XFC_UNPAD_WHOLE_H
#define XFC_UNPAD_WHOLE_H
#include "passes/pass.h"

/* As the pass unpad, of b sequences of s tokens, all of them real: whoever reads them reads them padded back. */
bool xfc_unpad_whole(xfc_pass *, xfc_int b, xfc_int s);

#endif
