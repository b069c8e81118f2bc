@ Depthwise convolutions of rows in a ring, one channel after the other, four outputs at a time, into a tile.
@
@ void ofa_filter_K_S(Job *job): kernel K, stride S. The job's words: ring, taps, channels, tile, bytes from one group
@ of a channel's four outputs to the next less 16, count of groups, count of quads of channels, bytes from one quad's ring
@ to the next less those of four channels, zero point, and the slot in which the windows begin. Channels 0 and 2 of a
@ quad share the words of the first pair in the tile, 1 and 3 those of the second.
@
@ r0–r3: sums. r4–r8: pairs of inputs of one row, a0, a1 and so on. r9, r10: two pairs of taps, (2j, 2j + 1) and
@ (2j + 1, 2j + 2); the first tap is the lower half of the first pair, the last tap the upper half of the last.
@ r11: ring, r12: bias, lr: tile.

        .syntax unified
        .thumb

        .equ F_TABLE, 0         @ taps of the channel, row by row as their slots lie: 42 words at most
        .equ F_MULTIPLIER, 168
        .equ F_ZERO, 172
        .equ F_END, 176         @ of the channel's ring
        .equ F_SKIP, 180
        .equ F_RING, 184
        .equ F_TILE, 188
        .equ F_TAPS, 192
        .equ F_CHANNELS, 196
        .equ F_COUNT, 200       @ channels of the quad that are left
        .equ F_QUADS, 204
        .equ F_BYTES, 208       @ of ring that a channel's groups take
        .equ F_NEXT, 212
        .equ F_FIRST, 216       @ where the first row of taps goes
        .equ F_FRAME, 224

        @ Two pairs of taps t and u for outputs one value apart, whose inputs are a, b and c; `start` is where the sums
        @ begin, which may be the last of them.
        .macro  TAPS_1 a, b, c, first, last, start=no, s0=r0, s1=r1, s2=r2, s3=r3, t=r9, u=r10
        .ifc \start, no
        smlad   \s0, \a, \t, \s0
        smlad   \s2, \b, \t, \s2
        .else
        smlad   \s0, \a, \t, \start
        smlad   \s2, \b, \t, \start
        .endif
        .if \first
        .ifc \start, no
        smlatb  \s1, \a, \t, \s1
        smlatb  \s3, \b, \t, \s3
        .else
        smlatb  \s1, \a, \t, \start
        smlatb  \s3, \b, \t, \start
        .endif
        .endif
        smlad   \s1, \b, \u, \s1
        smlad   \s3, \c, \u, \s3
        .if \last
        smlabt  \s0, \b, \u, \s0
        smlabt  \s2, \c, \u, \s2
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

        @ One row: slot `s` of the ring, in which four values of all channels take `q` bytes; the taps lie at `t`.
        .macro  ROW_3_1 s, q, t, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldr     r6, [r11, #\q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 8 * \s]
        TAPS_1  r4, r5, r6, 1, 1, \start
        .endm

        .macro  ROW_5_1 s, q, t, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #\q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 16 * \s]
        TAPS_1  r4, r5, r6, 1, 0, \start
        ldrd    r9, r10, [sp, #\t + 16 * \s + 8]
        TAPS_1  r5, r6, r7, 0, 1
        .endm

        .macro  ROW_7_1 s, q, t, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #\q + 8 * \s]
        ldr     r8, [r11, #2 * \q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 24 * \s]
        TAPS_1  r4, r5, r6, 1, 0, \start
        ldrd    r9, r10, [sp, #\t + 24 * \s + 8]
        TAPS_1  r5, r6, r7, 0, 0
        ldrd    r9, r10, [sp, #\t + 24 * \s + 16]
        TAPS_1  r6, r7, r8, 0, 1
        .endm

        .macro  ROW_3_2 s, q, t, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #\q + 8 * \s]
        ldr     r8, [r11, #2 * \q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 8 * \s]
        TAPS_2  r4, r5, r6, r7, \start
        LAST_2  r5, r6, r7, r8
        .endm

        .macro  ROW_5_2 s, q, t, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #\q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 16 * \s]
        TAPS_2  r4, r5, r6, r7, \start
        ldrd    r8, r4, [r11, #2 * \q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 16 * \s + 8]
        TAPS_2  r5, r6, r7, r8
        LAST_2  r6, r7, r8, r4
        .endm

        .macro  ROW_7_2 s, q, t, start=no
        ldrd    r4, r5, [r11, #8 * \s]
        ldrd    r6, r7, [r11, #\q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 24 * \s]
        TAPS_2  r4, r5, r6, r7, \start
        ldrd    r8, r4, [r11, #2 * \q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 24 * \s + 8]
        TAPS_2  r5, r6, r7, r8
        ldr     r5, [r11, #3 * \q + 8 * \s]
        ldrd    r9, r10, [sp, #\t + 24 * \s + 16]
        TAPS_2  r6, r7, r8, r4
        LAST_2  r7, r8, r4, r5
        .endm

        .macro  ROWS k, stride, q, t
        ROW_\k\()_\stride 0, \q, \t, r12
        ROW_\k\()_\stride 1, \q, \t
        ROW_\k\()_\stride 2, \q, \t
        .if \k > 3
        ROW_\k\()_\stride 3, \q, \t
        ROW_\k\()_\stride 4, \q, \t
        .endif
        .if \k > 5
        ROW_\k\()_\stride 5, \q, \t
        ROW_\k\()_\stride 6, \q, \t
        .endif
        .endm

        @ Row after row of taps, from r0 on, to the table at r9, which wraps at r10.
        .macro  TAPS k
        ldrsb   r1, [r0], #1
        ldrsb   r2, [r0], #1
        ldrsb   r3, [r0], #1
        pkhbt   r1, r1, r2, lsl #16
        pkhbt   r2, r2, r3, lsl #16
        strd    r1, r2, [r9], #8
        .if \k > 3
        ldrsb   r4, [r0], #1
        ldrsb   r5, [r0], #1
        pkhbt   r3, r3, r4, lsl #16
        pkhbt   r4, r4, r5, lsl #16
        strd    r3, r4, [r9], #8
        .endif
        .if \k > 5
        ldrsb   r6, [r0], #1
        ldrsb   r7, [r0], #1
        pkhbt   r5, r5, r6, lsl #16
        pkhbt   r6, r6, r7, lsl #16
        strd    r5, r6, [r9], #8
        .endif
        .endm

        @ The four outputs of a group, narrowed.
        .macro  NARROW m, z, s0=r0, s1=r1, s2=r2, s3=r3
        smmlar  \s0, \s0, \m, \z
        smmlar  \s1, \s1, \m, \z
        smmlar  \s2, \s2, \m, \z
        smmlar  \s3, \s3, \m, \z
        .endm

        @ And cut to int8.
        .macro  CLAMP s0=r0, s1=r1, s2=r2, s3=r3
        ssat    \s0, #8, \s0
        ssat    \s1, #8, \s1
        ssat    \s2, #8, \s2
        ssat    \s3, #8, \s3
        .endm

        .macro  FILTER k, stride
        .section .text.ofa_filter_\k\()_\stride, "ax", %progbits
        .balign 4
        .global ofa_filter_\k\()_\stride
        .type ofa_filter_\k\()_\stride, %function
ofa_filter_\k\()_\stride:
        push    {r4-r11, lr}
        sub     sp, #F_FRAME
        ldm     r0, {r1-r10}
        str     r1, [sp, #F_RING]
        strd    r2, r3, [sp, #F_TAPS]
        str     r4, [sp, #F_TILE]
        str     r5, [sp, #F_SKIP]
        str     r7, [sp, #F_QUADS]
        str     r8, [sp, #F_NEXT]
        str     r9, [sp, #F_ZERO]
        mov     r8, #32 * \k * \stride
        mul     r8, r6, r8
        str     r8, [sp, #F_BYTES]
        mov     r8, #4 * (\k - 1)
        mul     r8, r10, r8
        add     r8, sp, r8
        str     r8, [sp, #F_FIRST]
        movs    r0, #4

1:      str     r0, [sp, #F_COUNT]
        ldr     r0, [sp, #F_TAPS]
        ldr     r9, [sp, #F_FIRST]
        add     r10, sp, #4 * \k * (\k - 1)
        .rept   \k - 1
        TAPS    \k
        cmp     r9, r10
        it      eq
        moveq   r9, sp
        .endr
        TAPS    \k
        ldr     r1, [sp, #F_CHANNELS]
        .if \k * \stride == 3
        ldrd    r12, r7, [r1], #8
        ldr     r8, [sp, #F_ZERO]
        .else
        ldrd    r12, r2, [r1], #8
        str     r2, [sp, #F_MULTIPLIER]
        .endif
        strd    r0, r1, [sp, #F_TAPS]
        ldrd    r11, lr, [sp, #F_RING]
        ldr     r0, [sp, #F_BYTES]
        add     r0, r11
        str     r0, [sp, #F_END]

2:      ROWS    \k, \stride, 32 * \k, F_TABLE
        .if \k * \stride == 3
        NARROW  r7, r8
        .else
        ldrd    r4, r5, [sp, #F_MULTIPLIER]
        NARROW  r4, r5
        .endif
        ldrd    r4, r5, [sp, #F_END]
        CLAMP
        strh    r0, [lr], #4
        strh    r1, [lr], #4
        strh    r2, [lr], #4
        strh    r3, [lr], #4
        add     lr, r5
        add     r11, #32 * \k * \stride
        cmp     r11, r4
        bne.w   2b

        ldr     r0, [sp, #F_COUNT]
        ldrd    r1, r2, [sp, #F_RING]
        adds    r1, #8 * \k
        subs    r0, #1
        beq     3f
        @ Channel 1: the next pair. 2: back to the first, upper halves. 3: the next pair.
        lsls    r3, r0, #31
        ite     mi
        addmi   r2, #16
        subpl   r2, #14
        strd    r1, r2, [sp, #F_RING]
        b       1b
3:      ldr     r0, [sp, #F_NEXT]
        add     r1, r0
        adds    r2, #14
        strd    r1, r2, [sp, #F_RING]
        ldr     r1, [sp, #F_QUADS]
        movs    r0, #4
        subs    r1, #1
        str     r1, [sp, #F_QUADS]
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

@ Depthwise convolutions of four whole channels, or bands of them, to pixels.
@
@ void ofa_plane_K_S(Job *job): kernel K, stride S. The job's words: plane, taps, channels, output, bytes between pixels,
@ bytes from a pixel to the one below, groups of four outputs in a row, rows, zero
@ point, bytes from a group's first pixel to that of the next group. A plane is a ring with room for 24 rows, 15 for
@ stride 2. Groups go from the last to the first, so that what a last group has too many is overwritten.

        .equ P_STEP, 0          @ one pixel on, three pixels, a row
        .equ P_END, 12          @ of the group's rows, or pairs of rows
        .equ P_OUT, 16
        .equ P_TABLE, 20
        .equ P_BIAS, 188
        .equ P_MULTIPLIER, 192
        .equ P_ZERO, 196
        .equ P_PLANE, 200       @ of the channel's last group
        .equ P_OUTPUT, 204
        .equ P_TAPS, 208
        .equ P_CHANNELS, 212
        .equ P_GROUPS, 216
        .equ P_ROWS, 220        @ bytes of a group's rows, or pairs of rows
        .equ P_COUNT, 224
        .equ P_BACK, 228
        .equ P_GROUP, 232
        .equ P_AT, 236          @ the group's first pixel
        .equ P_UP, 240          @ bytes from behind a group's pairs of rows to the group before it
        .equ P_ODD, 244         @ whether a row is left
        .equ P_FRAME, 248

        @ Outputs of four pixels, which lie r4 apart and the last of them r5 behind the first.
        .macro  STORE s0=r0, s1=r1, s2=r2, s3=r3
        CLAMP   \s0, \s1, \s2, \s3
        strb    \s0, [lr]
        strb    \s1, [lr, r4]
        strb    \s2, [lr, r4, lsl #1]
        strb    \s3, [lr, r5]
        .endm

        @ To the last group of the first channel; the job is in r1 to r10, r8 bytes of rows.
        .macro  FIRST_CHANNEL stride, rows
        strd    r2, r3, [sp, #P_TAPS]
        add     r0, r5, r5, lsl #1
        strd    r5, r0, [sp, #P_STEP]
        str     r6, [sp, #P_STEP + 8]
        str     r9, [sp, #P_ZERO]
        strd    r7, r8, [sp, #P_GROUPS]
        movs    r0, #4
        strd    r0, r10, [sp, #P_COUNT]
        subs    r7, #1
        mov     r8, #32 * \rows * \stride
        mla     r1, r7, r8, r1
        mla     r4, r7, r10, r4
        strd    r1, r4, [sp, #P_PLANE]
        .endm

        @ To the group before, or on to the next channel, or the end.
        .macro  NEXT_GROUP rows
        ldrd    r0, lr, [sp, #P_GROUP]
        ldr     r4, [sp, #P_BACK]
        sub     lr, r4
        subs    r0, #1
        bne.w   2b
        ldrd    r1, r2, [sp, #P_PLANE]
        adds    r1, #8 * \rows
        adds    r2, #1
        strd    r1, r2, [sp, #P_PLANE]
        ldr     r0, [sp, #P_COUNT]
        subs    r0, #1
        str     r0, [sp, #P_COUNT]
        bne.w   1b
        add     sp, #P_FRAME
        pop     {r4-r11, pc}
        .endm

        .macro  PLANE k, stride, rows
        .section .text.ofa_plane_\k\()_\stride, "ax", %progbits
        .balign 4
        .global ofa_plane_\k\()_\stride
        .type ofa_plane_\k\()_\stride, %function
ofa_plane_\k\()_\stride:
        push    {r4-r11, lr}
        sub     sp, #P_FRAME
        ldm     r0, {r1-r10}
        lsls    r8, r8, #2 + \stride
        FIRST_CHANNEL \stride, \rows

1:      ldr     r0, [sp, #P_TAPS]
        add     r9, sp, #P_TABLE
        .rept   \k
        TAPS    \k
        .endr
        ldr     r1, [sp, #P_CHANNELS]
        ldrd    r12, r2, [r1], #8
        strd    r0, r1, [sp, #P_TAPS]
        str     r2, [sp, #P_MULTIPLIER]
        ldr     r0, [sp, #P_GROUPS]
        ldrd    r11, lr, [sp, #P_PLANE]
2:      strd    r0, lr, [sp, #P_GROUP]
        ldr     r0, [sp, #P_ROWS]
        add     r0, r11
        str     r0, [sp, #P_END]
        .if \k * \stride == 3
        ldrd    r7, r8, [sp, #P_MULTIPLIER]
        .endif

3:      ROWS    \k, \stride, 32 * \rows, P_TABLE
        .if \k * \stride == 3
        NARROW  r7, r8
        .else
        ldrd    r4, r5, [sp, #P_MULTIPLIER]
        NARROW  r4, r5
        .endif
        ldm     sp, {r4, r5, r6, r9}
        STORE
        add     lr, r6
        add     r11, #8 * \stride
        cmp     r11, r9
        bne.w   3b

        ldr     r4, [sp, #P_ROWS]
        sub     r11, r4
        sub     r11, #32 * \rows * \stride
        NEXT_GROUP \rows
        .size ofa_plane_\k\()_\stride, . - ofa_plane_\k\()_\stride
        .endm

        PLANE   5, 1, 24
        PLANE   7, 1, 24
        PLANE   3, 2, 15
        PLANE   5, 2, 15
        PLANE   7, 2, 15

@ The same for kernel 3 and stride 1, two rows of outputs at a time: they have two rows of inputs in common, and the taps
@ stay for the row below.
@
@ r0–r3: sums of the upper row, r6–r9: of the lower. r4, r5, r10: inputs. r12, lr: taps. r11: plane.

        .macro  INPUTS s
        ldrd    r4, r5, [r11, #8 * \s]
        ldr     r10, [r11, #32 * 24 + 8 * \s]
        .endm

        .macro  SUMS s0, s1, s2, s3, start=no
        TAPS_1  r4, r5, r10, 1, 1, \start, \s0, \s1, \s2, \s3, r12, lr
        .endm

        .section .text.ofa_plane_3_1, "ax", %progbits
        .balign 4
        .global ofa_plane_3_1
        .type ofa_plane_3_1, %function
ofa_plane_3_1:
        push    {r4-r11, lr}
        sub     sp, #P_FRAME
        ldm     r0, {r1-r10}
        and     r11, r8, #1
        subs    r8, r11
        lsls    r8, r8, #3
        add     r12, r8, #32 * 24
        strd    r12, r11, [sp, #P_UP]
        FIRST_CHANNEL 1, 24

1:      ldr     r0, [sp, #P_TAPS]
        add     r9, sp, #P_TABLE
        .rept   3
        TAPS    3
        .endr
        ldr     r1, [sp, #P_CHANNELS]
        ldrd    r2, r3, [r1], #8
        strd    r0, r1, [sp, #P_TAPS]
        strd    r2, r3, [sp, #P_BIAS]
        ldr     r0, [sp, #P_GROUPS]
        ldrd    r11, lr, [sp, #P_PLANE]
2:      strd    r0, lr, [sp, #P_GROUP]
        str     lr, [sp, #P_OUT]
        ldr     r0, [sp, #P_ROWS]
        add     r0, r11
        str     r0, [sp, #P_END]
        cmp     r11, r0
        beq.w   4f

3:      ldr     r9, [sp, #P_BIAS]
        INPUTS  0
        ldrd    r12, lr, [sp, #P_TABLE]
        SUMS    r0, r1, r2, r3, r9
        INPUTS  1
        SUMS    r6, r7, r8, r9, r9
        ldrd    r12, lr, [sp, #P_TABLE + 8]
        SUMS    r0, r1, r2, r3
        INPUTS  2
        SUMS    r6, r7, r8, r9
        ldrd    r12, lr, [sp, #P_TABLE + 16]
        SUMS    r0, r1, r2, r3
        INPUTS  3
        SUMS    r6, r7, r8, r9
        ldrd    r4, r5, [sp, #P_MULTIPLIER]
        NARROW  r4, r5
        NARROW  r4, r5, r6, r7, r8, r9
        ldm     sp, {r4, r5, r10, r12, lr}
        STORE
        add     lr, r10
        STORE   r6, r7, r8, r9
        add     lr, r10
        str     lr, [sp, #P_OUT]
        adds    r11, #16
        cmp     r11, r12
        bne.w   3b

4:      ldrd    r4, r5, [sp, #P_UP]
        cmp     r5, #0
        beq.w   5f
        ldr     r12, [sp, #P_BIAS]
        ROWS    3, 1, 32 * 24, P_TABLE
        ldrd    r4, r5, [sp, #P_MULTIPLIER]
        NARROW  r4, r5
        ldrd    r4, r5, [sp, #P_STEP]
        ldr     lr, [sp, #P_OUT]
        STORE
        ldr     r4, [sp, #P_UP]

5:      sub     r11, r4
        NEXT_GROUP 24
        .size ofa_plane_3_1, . - ofa_plane_3_1
