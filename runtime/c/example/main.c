/* Infers from one image on QEMU's mps2-an386, and prints the scores over semihosting, one a line. The image is a
 * pattern that any host can make too: value i is 37 i + 11, modulo 256, as int8. */

#include <stdio.h>
#include <stdlib.h>

#include "ofa.h"

#ifndef ARENA_BYTES
#error "compile with -DARENA_BYTES=…, the ARENA_BYTES of model.rs"
#endif

extern void initialise_monitor_handles(void);

static uint32_t arena[ARENA_BYTES / 4];

int main(void) {
    initialise_monitor_handles();
    if (ofa_arena_bytes > sizeof arena) {
        printf("the arena lacks %u bytes\n", (unsigned)(ofa_arena_bytes - sizeof arena));
        return EXIT_FAILURE;
    }
    int8_t *image = (int8_t *)arena;
    for (size_t i = 0; i < ofa_image_bytes; i++) {
        image[i] = (int8_t)(37 * i + 11);
    }
    const int8_t *scores = ofa_infer(arena, sizeof arena);
    if (scores == NULL) {
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < ofa_classes; i++) {
        printf("%d\n", scores[i]);
    }
    return EXIT_SUCCESS;
}
