/* schedule.h - what schedule.c and seams.c know of each other. */
#ifndef XFC_SCHEDULE_H
#define XFC_SCHEDULE_H
#include "passes/lower/nest_edit.h"

/* Picks the nest's vector axis: its number, or XFC_NO_ARG. merge: axes whose elements lie next to one another become
 * one first. */
uint32_t xfc_schedule_nest(xfc_edit, xfc_kernel *, xfc_nest *, bool merge);
/* May the loop of that axis be split where the condition of a load changes? */
bool xfc_has_seam(xfc_edit, const xfc_kernel *, const xfc_nest *, uint32_t axis);

#endif
