#include "tests/table/table.h"
int main(void) { CHECK(table_round(XFC_F32, 1) == 1); return test_end(); }
