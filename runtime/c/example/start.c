/* The vector table of a Cortex-M, and what comes before newlib's own start: the floating-point unit, whose registers
 * the kernels use. */

#include <stdint.h>

extern uint32_t stack_top;
extern void _start(void);

#define CPACR (*(volatile uint32_t *)0xE000ED88)

static void reset(void) {
    CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb");
    _start();
}

static void fault(void) {
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&stack_top, reset, fault, fault, fault, fault, fault,
};
