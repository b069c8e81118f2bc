@ A row of int8 into a ring of pairs of int16, four channels at a time.
@
@ void ofa_fill_K_R(const int8_t *row, size_t step, uint32_t *slot, size_t pixels, uint32_t padding, size_t next,
@                   size_t advance, size_t count):
@ a kernel of side K, a ring of R rows. `row` is the first of four channels of the first pixel, `step` the bytes from a
@ pixel to the next, `slot` the slot's place for the first values of the first channel, `padding` a word of padding.
@ Then on to what lies `advance` bytes further, `next` bytes behind the words written last, `count` times in all: the
@ next four channels, or the next row. There are three pixels or more. Of a row's padding, only what shares a group of
@ four values with pixels is written.

        .syntax unified
        .thumb

        @ Four pixels in r4–r7 as two words for each of their four channels.
        .macro  FILL_QUAD rows
        pkhbt   r8, r4, r5, lsl #16
        pkhtb   r9, r5, r4, asr #16
        pkhbt   r10, r6, r7, lsl #16
        pkhtb   r11, r7, r6, asr #16
        sxtb16  r4, r8
        sxtb16  r5, r10
        strd    r4, r5, [r2], #8 * \rows
        sxtb16  r4, r8, ror #8
        sxtb16  r5, r10, ror #8
        strd    r4, r5, [r2], #8 * \rows
        sxtb16  r4, r9
        sxtb16  r5, r11
        strd    r4, r5, [r2], #8 * \rows
        sxtb16  r4, r9, ror #8
        sxtb16  r5, r11, ror #8
        strd    r4, r5, [r2], #8 * \rows
        .endm

        .macro  FILL k, rows
        .section .text.ofa_fill_\k\()_\rows, "ax", %progbits
        .balign 4
        .global ofa_fill_\k\()_\rows
        .type ofa_fill_\k\()_\rows, %function
ofa_fill_\k\()_\rows:
        push    {r0, r1, r3-r11, lr}
        add     r12, r1, r1, lsl #1
        ldr     lr, [sp, #48]
0:
        @ Half a window of padding, then pixels.
        .if \k == 3
        mov     r4, lr
        ldr     r5, [r0]
        ldr     r6, [r0, r1]
        ldr     r7, [r0, r1, lsl #1]
        add     r0, r12
        subs    r3, #3
        .elseif \k == 5
        mov     r4, lr
        mov     r5, lr
        ldr     r6, [r0]
        ldr     r7, [r0, r1]
        add     r0, r0, r1, lsl #1
        subs    r3, #2
        .else
        mov     r4, lr
        mov     r5, lr
        mov     r6, lr
        ldr     r7, [r0]
        add     r0, r1
        subs    r3, #1
        .endif
        FILL_QUAD \rows
        subs    r3, #4
        blo     2f
1:      ldr     r4, [r0]
        ldr     r5, [r0, r1]
        ldr     r6, [r0, r1, lsl #1]
        ldr     r7, [r0, r12]
        add     r0, r0, r1, lsl #2
        FILL_QUAD \rows
        subs    r3, #4
        bhs     1b
2:      adds    r3, #4
        beq     3f
        @ The last pixels, then padding.
        mov     r5, lr
        mov     r6, lr
        mov     r7, lr
        ldr     r4, [r0]
        cmp     r3, #2
        it      hs
        ldrhs   r5, [r0, r1]
        it      hi
        ldrhi   r6, [r0, r1, lsl #1]
        FILL_QUAD \rows
3:      ldr     r4, [sp, #52]
        add     r2, r4
        ldrd    r0, r1, [sp]
        ldrd    r4, r5, [sp, #56]
        ldr     r3, [sp, #8]
        add     r0, r4
        str     r0, [sp]
        subs    r5, #1
        str     r5, [sp, #60]
        bne.w   0b
        add     sp, #12
        pop     {r4-r11, pc}
        .size ofa_fill_\k\()_\rows, . - ofa_fill_\k\()_\rows
        .endm

        FILL    3, 3
        FILL    5, 5
        FILL    7, 7
        FILL    3, 24
        FILL    5, 24
        FILL    7, 24
        FILL    3, 15
        FILL    5, 15
        FILL    7, 15
