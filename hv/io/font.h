/* SPDX-License-Identifier: Apache-2.0 */
/* The font of the console on the screen: printable ASCII and one sign for everything else. */
#ifndef HV_IO_FONT_H
#define HV_IO_FONT_H

#include "hv/lib/types.h"

#define FONT_WIDTH  8u
#define FONT_HEIGHT 16u
#define FONT_FIRST  0x20u
#define FONT_OTHER  0x7fu /* the sign for what has none */
#define FONT_TOP    2u    /* rows above the drawn ones */
#define FONT_DRAWN  13u   /* the rest of a cell is empty */

extern const uint8_t font_rows[FONT_OTHER - FONT_FIRST + 1][FONT_DRAWN];

/* Row y (0 is the top one) of a character's cell; bit 7 is the leftmost pixel. */
uint8_t font_row(uint8_t character, unsigned y);

#endif
