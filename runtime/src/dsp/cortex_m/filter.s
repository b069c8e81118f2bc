@ Depthwise convolutions of rows in a ring: four channels, one after the other, four outputs at a time.
@
@ void ofa_filter_K_S(const Job *job): kernel K, stride S. The job's words: ring, taps, bytes from one channel's taps to
@ the next, channels, zero point, groups of four outputs, line.
@
@ r0–r3: sums. r4–r8: pairs of inputs of one row, a0, a1 and so on. r9, r10: two pairs of taps, (2j, 2j + 1) and
@ (2j + 1, 2j + 2); the first tap is the lower half of the first pair, the last tap the upper half of the last.
@ r11: ring, r12: bias, lr: line.

        .syntax unified
        .thumb

        .equ F_TABLE, 0         @ taps of the channel, 42 words at most
        .equ F_MULTIPLIER, 168
        .equ F_ZERO, 172
        .equ F_END, 176
        .equ F_RING, 180
        .equ F_TAPS, 184
        .equ F_TAPS_STEP, 188
        .equ F_CHANNELS, 192
        .equ F_LINE, 196
        .equ F_COUNT, 200
        .equ F_BYTES, 204
        .equ F_FRAME, 208

        @ A pair of taps for outputs one value apart, whose inputs are a, b and c; `start` is where the sums begin.
        .macro  TAPS_1 a, b, c, first, last, start=no
        .ifc \start, no
        smlad   r0, \a, r9, r0
        smlad   r2, \b, r9, r2
        .else
        smlad   r0, \a, r9, \start
        smlad   r2, \b, r9, \start
        .endif
        .if \first
        .ifc \start, no
        smlatb  r1, \a, r9, r1
        smlatb  r3, \b, r9, r3
        .else
        smlatb  r1, \a, r9, \start
        smlatb  r3, \b, r9, \start
        .endif
        .endif
        smlad   r1, \b, r10, r1
        smlad   r3, \c, r10, r3
        .if \last
        smlabt  r0, \b, r10, r0
        smlabt  r2, \c, r10, r2
        .endif
        .endm

        @ The same for outputs two values apart.
        .macro  TAPS_2 a, b, c, d, start=no
        .ifc \start, no
        smlad   r0, \a, r9, r0
        smlad   r1, \b, r9, r1
        smlad   r2, \c, r9, r2
        smlad   r3, \d, r9, r3
        .else
        smlad   r0, \a, r9, \start
        smlad   r1, \b, r9, \start
        smlad   r2, \c, r9, \start
        smlad   r3, \d, r9, \start
        .endif
        .endm

        .macro  LAST_2 a, b, c, d
        smlabt  r0, \a, r10, r0
        smlabt  r1, \b, r10, r1
        smlabt  r2, \c, r10, r2
        smlabt  r3, \d, r10, r3
        .endm

        @ One row: slot `s` of the ring.
        .macro  ROW_3_1 s, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldr     r6, [r11, #96 + 8 * \s]
        ldrd    r9, r10, [sp, #8 * \s]
        TAPS_1  r4, r5, r6, 1, 1, \start
        .endm

        .macro  ROW_5_1 s, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #160 + 8 * \s]
        ldrd    r9, r10, [sp, #16 * \s]
        TAPS_1  r4, r5, r6, 1, 0, \start
        ldrd    r9, r10, [sp, #16 * \s + 8]
        TAPS_1  r5, r6, r7, 0, 1
        .endm

        .macro  ROW_7_1 s, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #224 + 8 * \s]
        ldr     r8, [r11, #448 + 8 * \s]
        ldrd    r9, r10, [sp, #24 * \s]
        TAPS_1  r4, r5, r6, 1, 0, \start
        ldrd    r9, r10, [sp, #24 * \s + 8]
        TAPS_1  r5, r6, r7, 0, 0
        ldrd    r9, r10, [sp, #24 * \s + 16]
        TAPS_1  r6, r7, r8, 0, 1
        .endm

        .macro  ROW_3_2 s, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #96 + 8 * \s]
        ldr     r8, [r11, #192 + 8 * \s]
        ldrd    r9, r10, [sp, #8 * \s]
        TAPS_2  r4, r5, r6, r7, \start
        LAST_2  r5, r6, r7, r8
        .endm

        .macro  ROW_5_2 s, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #160 + 8 * \s]
        ldrd    r9, r10, [sp, #16 * \s]
        TAPS_2  r4, r5, r6, r7, \start
        ldrd    r8, r4, [r11, #320 + 8 * \s]
        ldrd    r9, r10, [sp, #16 * \s + 8]
        TAPS_2  r5, r6, r7, r8
        LAST_2  r6, r7, r8, r4
        .endm

        .macro  ROW_7_2 s, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #224 + 8 * \s]
        ldrd    r9, r10, [sp, #24 * \s]
        TAPS_2  r4, r5, r6, r7, \start
        ldrd    r8, r4, [r11, #448 + 8 * \s]
        ldrd    r9, r10, [sp, #24 * \s + 8]
        TAPS_2  r5, r6, r7, r8
        ldr     r5, [r11, #672 + 8 * \s]
        ldrd    r9, r10, [sp, #24 * \s + 16]
        TAPS_2  r6, r7, r8, r4
        LAST_2  r7, r8, r4, r5
        .endm

        .macro  ROWS k, stride
        ROW_\k\()_\stride 0, r12
        ROW_\k\()_\stride 1
        ROW_\k\()_\stride 2
        .if \k > 3
        ROW_\k\()_\stride 3
        ROW_\k\()_\stride 4
        .endif
        .if \k > 5
        ROW_\k\()_\stride 5
        ROW_\k\()_\stride 6
        .endif
        .endm

        .macro  FILTER k, stride
        .section .text.ofa_filter_\k\()_\stride, "ax", %progbits
        .balign 4
        .global ofa_filter_\k\()_\stride
        .type ofa_filter_\k\()_\stride, %function
ofa_filter_\k\()_\stride:
        push    {r4-r11, lr}
        sub     sp, #F_FRAME
        ldm     r0, {r1-r7}
        str     r1, [sp, #F_RING]
        strd    r2, r3, [sp, #F_TAPS]
        strd    r4, r7, [sp, #F_CHANNELS]
        str     r5, [sp, #F_ZERO]
        mov     r8, #32 * \k * \stride
        mul     r8, r6, r8
        mov     r9, #4
        strd    r9, r8, [sp, #F_COUNT]

1:      ldr     r11, [sp, #F_RING]
        ldr     r8, [sp, #F_BYTES]
        add     r8, r11
        add     r9, r11, #8 * \k
        strd    r8, r9, [sp, #F_END]
        ldrd    r8, r9, [sp, #F_TAPS]
        add     r9, r8
        str     r9, [sp, #F_TAPS]
        .if \k == 3
        ldm     r8, {r0-r5}
        stm     sp, {r0-r5}
        .else
        mov     r9, sp
        ldm     r8!, {r0-r7}
        stm     r9!, {r0-r7}
        ldm     r8!, {r0-r7}
        stm     r9!, {r0-r7}
        .if \k == 5
        ldm     r8, {r0-r3}
        stm     r9, {r0-r3}
        .else
        ldm     r8!, {r0-r7}
        stm     r9!, {r0-r7}
        ldm     r8!, {r0-r7}
        stm     r9!, {r0-r7}
        ldm     r8!, {r0-r7}
        stm     r9!, {r0-r7}
        ldm     r8, {r0-r1}
        stm     r9, {r0-r1}
        .endif
        .endif
        ldr     r8, [sp, #F_CHANNELS]
        ldrd    r12, r9, [r8], #8
        str     r8, [sp, #F_CHANNELS]
        str     r9, [sp, #F_MULTIPLIER]
        ldr     lr, [sp, #F_LINE]
        add     r8, lr, #1
        str     r8, [sp, #F_LINE]

2:      ROWS    \k, \stride
        ldrd    r4, r5, [sp, #F_MULTIPLIER]
        smmlar  r0, r0, r4, r5
        smmlar  r1, r1, r4, r5
        smmlar  r2, r2, r4, r5
        smmlar  r3, r3, r4, r5
        ssat    r0, #8, r0
        ssat    r1, #8, r1
        ssat    r2, #8, r2
        ssat    r3, #8, r3
        strb    r0, [lr], #4
        strb    r1, [lr], #4
        strb    r2, [lr], #4
        strb    r3, [lr], #4
        add     r11, #32 * \k * \stride
        ldr     r4, [sp, #F_END]
        cmp     r11, r4
        bne.w   2b
        ldr     r4, [sp, #F_COUNT]
        subs    r4, #1
        str     r4, [sp, #F_COUNT]
        bne.w   1b
        add     sp, #F_FRAME
        pop     {r4-r11, pc}
        .size ofa_filter_\k\()_\stride, . - ofa_filter_\k\()_\stride
        .endm

        FILTER  3, 1
        FILTER  5, 1
        FILTER  7, 1
        FILTER  3, 2
        FILTER  5, 2
        FILTER  7, 2
