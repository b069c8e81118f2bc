@ A single pixel times the taps of two outputs.
@
@ void ofa_dots(const uint32_t *words, const uint8_t *taps, size_t fours, int32_t sums[2]): `fours` times four pairs of
@ inputs, at least once, each with a word of taps: a pair of both outputs.

        .syntax unified
        .thumb
        .section .text.ofa_dots, "ax", %progbits
        .balign 4
        .global ofa_dots
        .type ofa_dots, %function

        .macro  DOTS word, taps
        sxtb16  r3, \taps
        smlad   r12, \word, r3, r12
        sxtb16  \taps, \taps, ror #8
        smlad   lr, \word, \taps, lr
        .endm

        @ Four words of inputs times the taps in r4–r7.
        .macro  FOUR_DOTS
        ldm     r0!, {r8-r11}
        DOTS    r8, r4
        DOTS    r9, r5
        DOTS    r10, r6
        DOTS    r11, r7
        subs    r2, #1
        .endm

ofa_dots:
        push    {r3-r11, lr}
        ldrd    r12, lr, [r3]
        tst     r1, #3                          @ of an odd number of inputs, every other pair of outputs is
        bne     2f                              @ not aligned
        .balign 4
1:      ldm     r1!, {r4-r7}
        FOUR_DOTS
        bne     1b
        b       3f
        .balign 4
2:      ldr     r4, [r1], #4
        ldr     r5, [r1], #4
        ldr     r6, [r1], #4
        ldr     r7, [r1], #4
        FOUR_DOTS
        bne     2b
3:      pop     {r3}
        strd    r12, lr, [r3]
        pop     {r4-r11, pc}
        .size ofa_dots, . - ofa_dots
