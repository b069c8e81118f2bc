/* A net that `ofa compile` wrote, as libofa.a holds it: integers only, no heap, no state of its own.
 *
 *     static uint32_t arena[ARENA_BYTES / 4];         all the memory that it needs, image included
 *     memcpy(arena, image, ofa_image_bytes);          each pixel less 128, row by row, channels innermost
 *     const int8_t *scores = ofa_infer(arena, sizeof arena);
 *     size_t class = ofa_class(scores);
 */

#ifndef OFA_H
#define OFA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of an image. */
extern const size_t ofa_image_bytes;

/* Bytes of the memory that an inference needs. */
extern const size_t ofa_arena_bytes;

/* Scores of an image. */
extern const size_t ofa_classes;

/* The scores of the image that lies in the arena's first bytes: ofa_classes of them, higher is likelier. They lie in
 * the arena, until it is written to. NULL where the arena is NULL, not aligned to 4 bytes, or too short. */
const int8_t *ofa_infer(uint32_t *arena, size_t bytes);

/* The likeliest class of an inference's scores; 0 where they are NULL. */
size_t ofa_class(const int8_t *scores);

/* The logit that a score stands for, in units of 1/65536. */
int32_t ofa_logit(int8_t score);

#ifdef __cplusplus
}
#endif

#endif
