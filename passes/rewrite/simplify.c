/* simplify.c - the algebraic identities of rules.def (group SIMPLIFY), to a fixed point.
 *
 * Everything about an identity is in its row; this file only runs them. Run it after fold, so that constants are
 * visible, and before raise, which knows one spelling of each power.
 *
 *   %1 = pow %x, 2.0     |  %1 = mul %x, %x
 *   %2 = div %1, 1.0     |
 *   return %2            |  return %1
 */
#include "passes/rewrite/rewrite.h"

bool xfc_simplify(xfc_pass *pass) { return xfc_rules_run(XFC_RULES_SIMPLIFY, pass); }
