@ Int8 to pairs of int16.
@
@ void ofa_widen(const int8_t *pixels, size_t depth, uint32_t *tile, size_t quads, size_t groups, size_t skip):
@ four pixels at a time, `depth` bytes apart, four values of each at a time; `skip` bytes of the tile are left out
@ after each four pixels.

        .syntax unified
        .thumb
        .section .text.ofa_widen, "ax", %progbits
        .balign 4
        .global ofa_widen
        .type ofa_widen, %function
ofa_widen:
        push    {r4-r11, lr}
        sub     sp, #12
        @ r0–r3: the four pixels. lr: the tile.
        mov     lr, r2
        lsl     r4, r1, #2
        sub     r4, r4, r3, lsl #2              @ from the end of a pixel's values to the start of the fourth next
        strd    r3, r4, [sp]
        add     r2, r0, r1, lsl #1
        add     r3, r2, r1
        add     r1, r0, r1
.Lwiden_group:
        ldr     r12, [sp]
.Lwiden_quad:
        ldr     r4, [r0], #4
        ldr     r5, [r1], #4
        ldr     r6, [r2], #4
        ldr     r7, [r3], #4
        sxtb16  r8, r4
        sxtb16  r9, r5
        sxtb16  r10, r6
        sxtb16  r11, r7
        stm     lr!, {r8-r11}
        sxtb16  r8, r4, ror #8
        sxtb16  r9, r5, ror #8
        sxtb16  r10, r6, ror #8
        sxtb16  r11, r7, ror #8
        stm     lr!, {r8-r11}
        subs    r12, #1
        bne     .Lwiden_quad
        ldr     r4, [sp, #4]
        add     r0, r4
        add     r1, r4
        add     r2, r4
        add     r3, r4
        ldrd    r4, r5, [sp, #48]
        add     lr, r5
        subs    r4, #1
        str     r4, [sp, #48]
        bne     .Lwiden_group
        add     sp, #12
        pop     {r4-r11, pc}
        .size ofa_widen, . - ofa_widen
