@ A tile of pixels times pairs of output channels.
@
@ Four pixels × two channels at a time: eight sums in r0–r7, a pair of inputs of four pixels in r8–r11, a pair of taps
@ in r12, the tile in lr. The taps of a chunk of 16 pairs wait in s0–s31. Where there are more chunks, sums wait in
@ memory between them.
@
@ void ofa_multiply(const Job *job): words of the job as in the frame below, from TILE0 on.

        .syntax unified
        .thumb
        .fpu fpv4-sp-d16
        .section .text.ofa_multiply, "ax", %progbits
        .balign 4
        .global ofa_multiply
        .type ofa_multiply, %function

        .equ M0, 0              @ multipliers of both channels
        .equ M1, 4
        .equ ZERO, 8            @ the output's zero point
        .equ OUT, 12            @ where the group's first pixel goes
        .equ STEP, 16           @ bytes between pixels
        .equ ENTRY, 20          @ where the chunk's first pair is multiplied
        .equ AFTER, 24          @ what follows the chunk's last pair
        .equ SUMS_IN, 28        @ where a group's sums begin
        .equ SUMS_OUT, 32       @ where they go
        .equ END, 36            @ of the groups in the tile
        .equ TAPS, 40
        .equ CHANNELS, 44
        .equ LEFT, 48           @ chunks before the last
        .equ COUNT, 52          @ channel pairs
        .equ SAVED, 56
        .equ LAST_UNPACK, 60    @ of the last chunk, for all channels: where its taps are unpacked,
        .equ LAST_TAIL, 64      @ its very last pair,
        .equ LAST_ENTRY, 68
        .equ LAST_AFTER, 72
        .equ LAST_BYTES, 76     @ of its whole groups in the tile
        .equ CHUNKS, 80         @ chunks before the last
        .equ CHUNK_BYTES, 84    @ of all groups of such a chunk
        .equ TILE0, 88          @ the job: tile, taps, channels, output,
        .equ OUTPUT, 100
        .equ STEP0, 104
        .equ PAIRS, 108         @ pairs of inputs
        .equ COUNT0, 112        @ pairs of channels
        .equ GROUPS, 116        @ whole groups of pixels
        .equ REST, 120          @ pixels of the last group, if it is not whole
        .equ ZERO0, 124
        .equ ODD, 128           @ whether the last pair of inputs is one input
        .equ RESIDUAL, 132      @ its multiplier
        .equ CONSTANT, 136      @ 64 bits that a residual's sum starts with
        .equ PLANAR, 144        @ 0: outputs go to pixels. Else the side of the kernel whose ring they go to
        .equ PAIR_STEP, 148     @ bytes from one pair of channels to the next, and from that to its next
        .equ BIAS, 160          @ both biases, four times each
        .equ SUMS, 192          @ eight groups of eight
        .equ FRAME, 448

        @ A word of taps: a pair of each of both channels.
        .macro  UNPACK a, b
        ldr     r1, [r0], #4
        sxtb16  r2, r1
        sxtb16  r3, r1, ror #8
        vmov    \a, \b, r2, r3
        .endm

        @ The same of a word that is loaded.
        .macro  SPLIT r, a, b
        sxtb16  r3, \r
        sxtb16  r8, \r, ror #8
        vmov    \a, \b, r3, r8
        .endm

        @ All 16 words of a whole chunk.
        .macro  SPLIT_WHOLE
        ldm     r0!, {r1, r2, r5, r6}
        SPLIT   r1, s0, s1
        SPLIT   r2, s2, s3
        SPLIT   r5, s4, s5
        SPLIT   r6, s6, s7
        ldm     r0!, {r1, r2, r5, r6}
        SPLIT   r1, s8, s9
        SPLIT   r2, s10, s11
        SPLIT   r5, s12, s13
        SPLIT   r6, s14, s15
        ldm     r0!, {r1, r2, r5, r6}
        SPLIT   r1, s16, s17
        SPLIT   r2, s18, s19
        SPLIT   r5, s20, s21
        SPLIT   r6, s22, s23
        ldm     r0!, {r1, r2, r5, r6}
        SPLIT   r1, s24, s25
        SPLIT   r2, s26, s27
        SPLIT   r5, s28, s29
        SPLIT   r6, s30, s31
        .endm

        @ A pair of inputs of four pixels times the taps of both channels: 44 bytes of code.
        .macro  PAIR a, b
        ldm.w   lr!, {r8-r11}
        vmov    r12, \a
        smlad   r0, r8, r12, r0
        smlad   r1, r9, r12, r1
        smlad   r2, r10, r12, r2
        smlad   r3, r11, r12, r3
        vmov    r12, \b
        smlad   r4, r8, r12, r4
        smlad   r5, r9, r12, r5
        smlad   r6, r10, r12, r6
        smlad   r7, r11, r12, r7
        .endm

ofa_multiply:
        push    {r4-r11, lr}
        vpush   {s16-s31}
        sub     sp, #FRAME
        add     r12, sp, #TILE0
        ldm     r0!, {r1-r9}
        stm     r12!, {r1-r9}
        ldm     r0!, {r1-r8}
        stm     r12!, {r1-r8}
        ldrd    r0, r1, [sp, #TILE0 + 4]
        strd    r0, r1, [sp, #TAPS]
        ldr     r0, [sp, #COUNT0]
        str     r0, [sp, #COUNT]
        ldr     r0, [sp, #STEP0]
        str     r0, [sp, #STEP]
        ldr     r0, [sp, #ZERO0]
        str     r0, [sp, #ZERO]

        @ The last chunk has r1 pairs, r2 less than 16; r3 chunks come before it.
        ldr     r0, [sp, #PAIRS]
        subs    r0, #1
        lsrs    r3, r0, #4
        and     r1, r0, #15
        adds    r1, #1
        rsb     r2, r1, #16
        str     r3, [sp, #CHUNKS]
        adr.w   r4, .Lmultiply_unpack + 1
        add     r4, r4, r2, lsl #4
        adr.w   r5, .Lmultiply_whole_pair + 1
        ldr     r6, [sp, #ODD]
        cbz     r6, 1f
        adr.w   r5, .Lmultiply_half_pair + 1
        b       2f
1:      cmp     r1, #16
        bne     2f
        adr.w   r4, .Lmultiply_whole_chunk + 1
2:      strd    r4, r5, [sp, #LAST_UNPACK]
        adr.w   r4, .Lmultiply_pairs + 1
        movs    r5, #44
        mla     r4, r2, r5, r4
        str     r4, [sp, #LAST_ENTRY]
        ldr     r6, [sp, #PLANAR]
        cmp     r6, #0
        bne     7f
        ldr     r6, [sp, #RESIDUAL]
        cbnz    r6, 2f
        adr.w   r5, .Lmultiply_narrow + 1
        cbz     r3, 3f
        adr.w   r5, .Lmultiply_tail + 1
        b       3f
2:      adr.w   r5, .Lmultiply_add + 1
        cbz     r3, 3f
        adr.w   r5, .Lmultiply_add_tail + 1
        b       3f
7:      adr.w   r5, .Lmultiply_planar_5 + 1
        cmp     r6, #5
        beq     8f
        adr.w   r5, .Lmultiply_planar_3 + 1
        blo     8f
        adr.w   r5, .Lmultiply_planar_7 + 1
8:      cbz     r3, 3f
        subs    r5, #12                         @ the code of ADVANCE_SUMS
3:      ldr     r4, [sp, #GROUPS]
        mul     r6, r1, r4
        lsls    r6, r6, #4
        strd    r5, r6, [sp, #LAST_AFTER]
        ldr     r5, [sp, #REST]
        cbz     r5, 4f
        adds    r4, #1
4:      lsls    r4, r4, #8
        str     r4, [sp, #CHUNK_BYTES]

.Lmultiply_channels:
        ldr     r12, [sp, #CHANNELS]
        ldm     r12!, {r0-r3}                   @ bias, multiplier, bias, multiplier
        str     r12, [sp, #CHANNELS]
        strd    r1, r3, [sp, #M0]
        strd    r0, r0, [sp, #BIAS]
        strd    r0, r0, [sp, #BIAS + 8]
        strd    r2, r2, [sp, #BIAS + 16]
        strd    r2, r2, [sp, #BIAS + 24]
        ldr     r4, [sp, #OUTPUT]
        ldrd    r5, r6, [sp, #PAIR_STEP]
        str     r4, [sp, #OUT]
        add     r4, r5
        str     r4, [sp, #OUTPUT]
        strd    r6, r5, [sp, #PAIR_STEP]
        ldr     r0, [sp, #TAPS]
        ldr     lr, [sp, #TILE0]
        add     r9, sp, #BIAS
        ldr     r4, [sp, #CHUNKS]
        cmp     r4, #0
        beq     .Lmultiply_last
        adr.w   r7, .Lmultiply_head + 1

.Lmultiply_chunk:                               @ r4: chunks before the last, r7: what follows, r9: where sums begin
        tst     r0, #3
        bne.w   5f
        SPLIT_WHOLE
6:      str     r0, [sp, #TAPS]
        add     r8, sp, #SUMS
        strd    r9, r8, [sp, #SUMS_IN]
        adr.w   r6, .Lmultiply_pairs + 1
        strd    r6, r7, [sp, #ENTRY]
        ldr     r5, [sp, #CHUNK_BYTES]
        add     r5, lr
        str     r5, [sp, #END]
        str     r4, [sp, #LEFT]
        b       .Lmultiply_group
5:
        UNPACK  s0, s1
        UNPACK  s2, s3
        UNPACK  s4, s5
        UNPACK  s6, s7
        UNPACK  s8, s9
        UNPACK  s10, s11
        UNPACK  s12, s13
        UNPACK  s14, s15
        UNPACK  s16, s17
        UNPACK  s18, s19
        UNPACK  s20, s21
        UNPACK  s22, s23
        UNPACK  s24, s25
        UNPACK  s26, s27
        UNPACK  s28, s29
        UNPACK  s30, s31
        b       6b

        .balign 4
.Lmultiply_whole_chunk:
        tst     r0, #3
        bne.w   .Lmultiply_unpack
        SPLIT_WHOLE
        b       .Lmultiply_unpacked

.Lmultiply_last:
        ldr     pc, [sp, #LAST_UNPACK]
        .balign 4
.Lmultiply_unpack:
        UNPACK  s0, s1
        UNPACK  s2, s3
        UNPACK  s4, s5
        UNPACK  s6, s7
        UNPACK  s8, s9
        UNPACK  s10, s11
        UNPACK  s12, s13
        UNPACK  s14, s15
        UNPACK  s16, s17
        UNPACK  s18, s19
        UNPACK  s20, s21
        UNPACK  s22, s23
        UNPACK  s24, s25
        UNPACK  s26, s27
        UNPACK  s28, s29
        ldr     pc, [sp, #LAST_TAIL]
        .balign 4
.Lmultiply_half_pair:
        ldrh    r1, [r0], #2
        b       1f
        .balign 4
.Lmultiply_whole_pair:
        ldr     r1, [r0], #4
1:      sxtb16  r2, r1
        sxtb16  r3, r1, ror #8
        vmov    s30, s31, r2, r3
.Lmultiply_unpacked:
        str     r0, [sp, #TAPS]
        str     r9, [sp, #SUMS_IN]
        ldrd    r6, r7, [sp, #LAST_ENTRY]
        strd    r6, r7, [sp, #ENTRY]
        ldr     r5, [sp, #LAST_BYTES]
        adds    r5, r5, lr
        str     r5, [sp, #END]
        cmp     r5, lr
        beq.w   .Lmultiply_rest

.Lmultiply_group:
        ldr     r12, [sp, #SUMS_IN]
        ldm     r12, {r0-r7}
        ldr     pc, [sp, #ENTRY]

        .balign 4
.Lmultiply_pairs:
        PAIR    s0, s1
        PAIR    s2, s3
        PAIR    s4, s5
        PAIR    s6, s7
        PAIR    s8, s9
        PAIR    s10, s11
        PAIR    s12, s13
        PAIR    s14, s15
        PAIR    s16, s17
        PAIR    s18, s19
        PAIR    s20, s21
        PAIR    s22, s23
        PAIR    s24, s25
        PAIR    s26, s27
        PAIR    s28, s29
        PAIR    s30, s31
        ldr     pc, [sp, #AFTER]

        .balign 4
.Lmultiply_head:                                @ first of several chunks: sums began with the biases
        ldr     r12, [sp, #SUMS_OUT]
        stm     r12!, {r0-r7}
        str     r12, [sp, #SUMS_OUT]
        ldr     r8, [sp, #END]
        cmp     lr, r8
        bne     .Lmultiply_group
        b       .Lmultiply_next_chunk

        .balign 4
.Lmultiply_middle:
        ldr     r12, [sp, #SUMS_IN]
        stm     r12!, {r0-r7}
        str     r12, [sp, #SUMS_IN]
        ldr     r8, [sp, #END]
        cmp     lr, r8
        bne     .Lmultiply_group
.Lmultiply_next_chunk:
        ldr     r0, [sp, #TAPS]
        ldr     r4, [sp, #LEFT]
        add     r9, sp, #SUMS
        adr.w   r7, .Lmultiply_middle + 1
        subs    r4, #1
        bne.w   .Lmultiply_chunk
        b       .Lmultiply_last


        @ On to the sums of the next group, in the last of several chunks: 12 bytes of code.
        .macro  ADVANCE_SUMS
        ldr.w   r12, [sp, #SUMS_IN]
        add.w   r12, r12, #32
        str.w   r12, [sp, #SUMS_IN]
        .endm

        @ Sums to outputs; then r11: where they go, r12: the step between pixels.
        .macro  NARROW_SUMS
        ldm     sp, {r8-r12}
        smmlar  r0, r0, r8, r10
        smmlar  r1, r1, r8, r10
        smmlar  r2, r2, r8, r10
        smmlar  r3, r3, r8, r10
        smmlar  r4, r4, r9, r10
        smmlar  r5, r5, r9, r10
        smmlar  r6, r6, r9, r10
        smmlar  r7, r7, r9, r10
        ssat    r0, #8, r0
        ssat    r1, #8, r1
        ssat    r2, #8, r2
        ssat    r3, #8, r3
        ssat    r4, #8, r4
        ssat    r5, #8, r5
        ssat    r6, #8, r6
        ssat    r7, #8, r7
        .endm

        .macro  PLANAR_NEXT k
        add     r11, #32 * \k
        str     r11, [sp, #OUT]
        ldr     r8, [sp, #END]
        cmp     lr, r8
        bne.w   .Lmultiply_group
        b.w     .Lmultiply_next_channels
        .endm

        @ Half a window of padding is one value, or three: the first pixel ends a word.
        .macro  PLANAR_ODD k, first, middle, last
        pkhbt   r1, r1, r2, lsl #16
        pkhbt   r5, r5, r6, lsl #16
        strh    r0, [r11, #\first]
        str     r1, [r11, #\middle]
        strh    r3, [r11, #\last]
        strh    r4, [r11, #8 * \k + \first]
        str     r5, [r11, #8 * \k + \middle]
        strh    r7, [r11, #8 * \k + \last]
        .endm

        .balign 4
        ADVANCE_SUMS
.Lmultiply_planar_3:
        NARROW_SUMS
        PLANAR_ODD 3, 2, 4, 96
        PLANAR_NEXT 3

        .balign 4
        ADVANCE_SUMS
.Lmultiply_planar_7:
        NARROW_SUMS
        PLANAR_ODD 7, 6, 224, 228
        PLANAR_NEXT 7

        .balign 4
        ADVANCE_SUMS
.Lmultiply_planar_5:
        NARROW_SUMS
        pkhbt   r0, r0, r1, lsl #16
        pkhbt   r2, r2, r3, lsl #16
        pkhbt   r4, r4, r5, lsl #16
        pkhbt   r6, r6, r7, lsl #16
        str     r0, [r11, #4]
        str     r2, [r11, #160]
        str     r4, [r11, #44]
        str     r6, [r11, #200]
        PLANAR_NEXT 5

        .macro  NARROW_BOTH
        NARROW_SUMS
        bfi     r0, r4, #8, #8
        bfi     r1, r5, #8, #8
        bfi     r2, r6, #8, #8
        bfi     r3, r7, #8, #8
        .endm

        .balign 4
.Lmultiply_tail:                                @ last of several chunks
        ADVANCE_SUMS
.Lmultiply_narrow:
        NARROW_BOTH
        strh    r0, [r11]
        strh    r1, [r11, r12]
        add     r11, r11, r12, lsl #1
        strh    r2, [r11]
        strh    r3, [r11, r12]
        add     r11, r11, r12, lsl #1
        str     r11, [sp, #OUT]
        ldr     r8, [sp, #END]
        cmp     lr, r8
        bne     .Lmultiply_group

.Lmultiply_rest:
        ldr     r0, [sp, #REST]
        cbnz    r0, .Lmultiply_rest_group
.Lmultiply_next_channels:
        ldr     r0, [sp, #COUNT]
        subs    r0, #1
        str     r0, [sp, #COUNT]
        bne.w   .Lmultiply_channels
        add     sp, #FRAME
        vpop    {s16-s31}
        pop     {r4-r11, pc}

.Lmultiply_rest_group:
        ldr     r12, [sp, #RESIDUAL]
        adr.w   r8, .Lmultiply_narrow_rest + 1
        cmp     r12, #0
        beq     1f
        adr.w   r8, .Lmultiply_add_rest + 1
1:      str     r8, [sp, #AFTER]
        b       .Lmultiply_group

        .balign 4
.Lmultiply_narrow_rest:
        NARROW_BOTH
        strh    r0, [r11]
        ldr     r8, [sp, #REST]
        cmp     r8, #2
        blo     .Lmultiply_next_channels
        strh    r1, [r11, r12]
        beq     .Lmultiply_next_channels
        strh    r2, [r11, r12, lsl #1]
        b       .Lmultiply_next_channels

        @ One pixel of a residual block: the input at r11 is added before the one rounding. r12: its multiplier.
        .macro  ADD_PIXEL a, b
        ldrd    r8, r9, [sp, #CONSTANT]
        ldr     lr, [sp, #M0]
        smlal   r8, r9, \a, lr
        ldrsb   r10, [r11]
        lsl     r10, r10, #8
        smlal   r8, r9, r10, r12
        ssat    \a, #8, r9
        ldrd    r8, r9, [sp, #CONSTANT]
        ldr     lr, [sp, #M1]
        smlal   r8, r9, \b, lr
        ldrsb   r10, [r11, #1]
        lsl     r10, r10, #8
        smlal   r8, r9, r10, r12
        ssat    \b, #8, r9
        bfi     \a, \b, #8, #8
        strh    \a, [r11]
        ldr     r10, [sp, #STEP]
        add     r11, r10
        .endm

        .balign 4
.Lmultiply_add_tail:
        ADVANCE_SUMS
.Lmultiply_add:
        str     lr, [sp, #SAVED]
        ldr     r11, [sp, #OUT]
        ldr     r12, [sp, #RESIDUAL]
        ADD_PIXEL r0, r4
        ADD_PIXEL r1, r5
        ADD_PIXEL r2, r6
        ADD_PIXEL r3, r7
        str     r11, [sp, #OUT]
        ldr     lr, [sp, #SAVED]
        ldr     r8, [sp, #END]
        cmp     lr, r8
        bne.w   .Lmultiply_group
        b       .Lmultiply_rest

        .balign 4
.Lmultiply_add_rest:
        ldr     r11, [sp, #OUT]
        ldr     r12, [sp, #RESIDUAL]
        ADD_PIXEL r0, r4
        ldr     r8, [sp, #REST]
        cmp     r8, #1
        beq     .Lmultiply_next_channels
        ADD_PIXEL r1, r5
        ldr     r8, [sp, #REST]
        cmp     r8, #2
        beq     .Lmultiply_next_channels
        ADD_PIXEL r2, r6
        b       .Lmultiply_next_channels
        .size ofa_multiply, . - ofa_multiply
