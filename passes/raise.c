/* raise.c - finds composites in graphs of primitives: linear, layernorm, rmsnorm, gelu, softmax by rules, attention by
 * a matcher.
 *
 * Exporters write one layer in dozens of ways; the backends know one fast kernel for each composite. A composite
 * decomposes to exactly what it was found in, up to rounding, so raising is never needed for a right result and always
 * may be left out: what matches no rule stays as it is. Rules come first, since attention is built around softmax.
 *
 * Run it after fold, simplify, views and cse: rules know constants as constants, x * x for x^2, operands without
 * expands, and one name for equal values.
 *
 *   %1 = matmul %x, %w                                        |
 *   %2 = add %b, %1                                           |  %2 = linear %x, %w, %b
 */
#include "passes/rewrite/rewrite.h"

bool xfc_raise(xfc_pass *pass) {
    bool changed = xfc_rules_run(XFC_RULES_RAISE, pass);
    return xfc_raise_attention(pass) || changed;
}
