/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without a C library, so that a program makes exactly the calls
 * its source names: no start-up code, no locale, no malloc. For x86_64 and, with
 * -m32, for i386. A program defines start(argc, argv) and never returns from it.
 */
#ifndef TESTS_RAW_H
#define TESTS_RAW_H

#include <asm/unistd.h>

#define inline_call static inline __attribute__((always_inline)) long

#ifdef __x86_64__

inline_call raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The 32-bit entry from 64-bit code: the kernel takes the number for i386's. */
inline_call raw_int80(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(-1L), "D"(-1L)
			 : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov (%rsp), %rdi\n"
	"	lea 8(%rsp), %rsi\n"
	"	and $-16, %rsp\n"
	"	call start\n"
	"	hlt\n");

#else

/* ebp cannot be named as an operand; no program here needs the sixth argument. */
inline_call raw(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;

	(void)f;
	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return ret;
}

#define raw_int80(nr, a, b, c) raw(nr, a, b, c, -1, -1, -1)

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov (%esp), %eax\n"
	"	lea 4(%esp), %edx\n"
	"	and $-16, %esp\n"
	"	sub $8, %esp\n"
	"	push %edx\n"
	"	push %eax\n"
	"	call start\n"
	"	hlt\n");

#endif

#define raw0(nr) raw(nr, 0, 0, 0, 0, 0, 0)
#define raw1(nr, a) raw(nr, (long)(a), 0, 0, 0, 0, 0)
#define raw2(nr, a, b) raw(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define raw3(nr, a, b, c) raw(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw4(nr, a, b, c, d) raw(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

#define X32_BIT 0x40000000L

static inline __attribute__((always_inline, noreturn)) void leave(int status)
{
	for (;;)
		raw1(__NR_exit_group, status);
}

__attribute__((noreturn, used)) void start(int argc, char **argv);

#endif /* TESTS_RAW_H */
