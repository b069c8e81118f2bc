@ Int8 to pairs of int16.
@
@ void ofa_widen(const int8_t *pixels, size_t depth, uint32_t *tile, size_t quads, size_t groups, size_t skip):
@ four pixels at a time, `depth` bytes apart, four values of each at a time, eight times at most; `skip` bytes of the tile are left out
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
        rsb     r3, r3, #8
        movs    r5, #56
        adr.w   r6, .Lwiden_quads + 1
        mla     r3, r3, r5, r6
        strd    r3, r4, [sp]
        add     r2, r0, r1, lsl #1
        add     r3, r2, r1
        add     r1, r0, r1
.Lwiden_group:
        ldr     pc, [sp]
        .balign 4
.Lwiden_quads:                                  @ 56 bytes of code each
        .rept   8
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
        .endr
        ldr     r6, [sp, #4]
        ldrd    r4, r5, [sp, #48]
        add     r0, r6
        add     r1, r6
        add     r2, r6
        add     r3, r6
        add     lr, r5
        subs    r4, #1
        str     r4, [sp, #48]
        bne     .Lwiden_group
        add     sp, #12
        pop     {r4-r11, pc}
        .size ofa_widen, . - ofa_widen
