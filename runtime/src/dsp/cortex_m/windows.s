@ Windows of 3×3 pixels into a tile: pairs of int16, four windows side by side.
@
@ void ofa_windows_C(const Job *job): C channels. The job's words: three rows, the bytes by which each goes on from one
@ window to the next, the tile at the first window, windows, lanes left in the first window's group, bytes from a
@ group's end to the next. A row of a window is 3 × C bytes: its fours, then what is left; a tile's pairs lie 16 bytes
@ apart.

        .syntax unified
        .thumb

        @ Four values of a row at r\row as pairs `p` and `p + 1`.
        .macro  FOUR row, at, p
        ldr     r8, [\row, #\at]
        sxtb16  r9, r8
        sxtb16  r8, r8, ror #8
        str     r9, [r6, #16 * \p]
        str     r8, [r6, #16 * \p + 16]
        .endm

        .macro  BEGIN name
        .section .text.\name, "ax", %progbits
        .balign 4
        .global \name
        .type \name, %function
\name:
        push    {r4-r11, lr}
        ldrd    r10, r11, [r0, #12]             @ the steps of the rows
        ldr     lr, [r0, #20]
        ldrd    r6, r3, [r0, #24]               @ tile, windows
        ldrd    r7, r12, [r0, #32]              @ lanes, skip
        ldm     r0, {r0-r2}
1:
        .endm

        .macro  NEXT name
        add     r0, r10
        add     r1, r11
        add     r2, lr
        adds    r6, #4
        subs    r3, #1
        beq     2f
        subs    r7, #1
        bne     1b
        movs    r7, #4
        add     r6, r12
        b       1b
2:      pop     {r4-r11, pc}
        .size \name, . - \name
        .endm

        BEGIN   ofa_windows_3
        FOUR    r0, 0, 0
        FOUR    r0, 4, 2
        FOUR    r1, 0, 4
        FOUR    r1, 4, 6
        FOUR    r2, 0, 8
        FOUR    r2, 4, 10
        ldrsb   r8, [r0, #8]
        ldrsb   r9, [r1, #8]
        ldrsb   r5, [r2, #8]
        pkhbt   r8, r8, r9, lsl #16
        uxth    r5, r5
        str     r8, [r6, #16 * 12]
        str     r5, [r6, #16 * 13]
        NEXT    ofa_windows_3

        BEGIN   ofa_windows_1
        ldrsb   r8, [r0]
        ldrsb   r9, [r0, #1]
        pkhbt   r8, r8, r9, lsl #16
        str     r8, [r6]
        ldrsb   r8, [r0, #2]
        ldrsb   r9, [r1]
        pkhbt   r8, r8, r9, lsl #16
        str     r8, [r6, #16]
        ldrsb   r8, [r1, #1]
        ldrsb   r9, [r1, #2]
        pkhbt   r8, r8, r9, lsl #16
        str     r8, [r6, #32]
        ldrsb   r8, [r2]
        ldrsb   r9, [r2, #1]
        pkhbt   r8, r8, r9, lsl #16
        str     r8, [r6, #48]
        ldrsb   r8, [r2, #2]
        uxth    r8, r8
        str     r8, [r6, #64]
        NEXT    ofa_windows_1
