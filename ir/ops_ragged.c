/* ops_ragged.c - sequences of different lengths stored one behind the other (cu_seqlens).
 */
#include "ir/ops.h"
