@ Outputs of four channels, as the filters leave them in a tile, into pixels.
@
@ void ofa_pack(const uint32_t *tile, int8_t *pixels, size_t step, size_t groups): of each group of four pixels, channels
@ 0 and 2, then 1 and 3; `pixels` is the first of the four channels of the first pixel, `step` the bytes from a pixel to
@ the next.

        .syntax unified
        .thumb
        .section .text.ofa_pack, "ax", %progbits
        .balign 4
        .global ofa_pack
        .type ofa_pack, %function

        .macro  PACK even, odd
        uxtb16  \even, \even
        uxtb16  \odd, \odd
        orr     \even, \even, \odd, lsl #8
        .endm

ofa_pack:
        push    {r4-r11, lr}
        add     r12, r2, r2, lsl #1
1:      ldm     r0!, {r4-r11}
        PACK    r4, r8
        PACK    r5, r9
        PACK    r6, r10
        PACK    r7, r11
        str     r4, [r1]
        str     r5, [r1, r2]
        str     r6, [r1, r2, lsl #1]
        str     r7, [r1, r12]
        add     r1, r1, r2, lsl #2
        subs    r3, #1
        bne     1b
        pop     {r4-r11, pc}
        .size ofa_pack, . - ofa_pack
