/* Infers from one image on QEMU's mps2-an386, and prints the scores over semihosting, one a line. The image is a
 * pattern that any host can make too: value i is 37 i + 11, modulo 256, as int8. */

#include <stdio.h>
#include <stdlib.h>

#include "ofa.h"

extern void initialise_monitor_handles(void);

static uint32_t arena[OFA_ARENA_BYTES / 4];

int main(void) {
    initialise_monitor_handles();
    int8_t *image = (int8_t *)arena;
    for (size_t i = 0; i < OFA_IMAGE_BYTES; i++) {
        image[i] = (int8_t)(37 * i + 11);
    }
    const int8_t *scores = ofa_infer(arena, sizeof arena);
    if (scores == NULL) {
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < OFA_CLASSES; i++) {
        printf("%d\n", scores[i]);
    }
    return EXIT_SUCCESS;
}
