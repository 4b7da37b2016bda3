/* SPDX-License-Identifier: GPL-2.0 */
/* Which ABI a call was made by, and which calls exec: by architecture. */
#ifndef SYSCALL_ABI_H
#define SYSCALL_ABI_H

#define NO_BIT ((__u32)-1)

#if defined(__TARGET_ARCH_x86)

/*
 * TS_COMPAT, arch/x86/include/asm/thread_info.h: set for int $0x80 and 32-bit
 * sysenter or syscall, also from 64-bit code, where neither the code segment
 * nor orig_ax tells.
 */
#define TS_COMPAT 0x0002
#define X32_SYSCALL_BIT 0x40000000L
#define EXECVE 59
#define EXECVEAT 322
#define COMPAT_EXECVE 11
#define COMPAT_EXECVEAT 358
#define X32_EXECVE 520
#define X32_EXECVEAT 545

#ifndef RECORDER_BCC
static __always_inline int is_compat(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT;
}
#endif

#ifndef RECORDER_BCC
static __always_inline long call_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}
#endif

#elif defined(__TARGET_ARCH_arm64)

/* TIF_32BIT, arch/arm64/include/asm/thread_info.h */
#define TIF_32BIT (1UL << 22)
#define EXECVE 221
#define EXECVEAT 281
#define COMPAT_EXECVE 11
#define COMPAT_EXECVEAT 387

#ifndef RECORDER_BCC
static __always_inline int is_compat(struct task_struct *task)
{
	return !!(task->thread_info.flags & TIF_32BIT);
}
#endif

#ifndef RECORDER_BCC
static __always_inline long call_number(const struct pt_regs *regs)
{
	return regs->syscallno;
}
#endif

#else
#error "no ABI rule for this architecture"
#endif

/* The call's bit in the bitmaps; NO_BIT if no kernel has that number. */
static __always_inline __u32 bit_of(int compat, long number)
{
	if (compat)
		return (__u64)number < X32_FIRST - COMPAT_FIRST ? COMPAT_FIRST + number : NO_BIT;
	if ((__u64)number < COMPAT_FIRST - NATIVE_FIRST)
		return NATIVE_FIRST + number;
#ifdef X32_SYSCALL_BIT
	if (number >= X32_SYSCALL_BIT && number - X32_SYSCALL_BIT < BITMAP_BITS - X32_FIRST)
		return X32_FIRST + (number - X32_SYSCALL_BIT);
#endif
	return NO_BIT;
}

#ifndef RECORDER_BCC
static __always_inline __u32 call_bit(struct task_struct *task, long number)
{
	return bit_of(is_compat(task), number);
}
#endif

static __always_inline int bit_is_exec(__u32 bit)
{
	if (bit == NATIVE_FIRST + EXECVE || bit == NATIVE_FIRST + EXECVEAT ||
	    bit == COMPAT_FIRST + COMPAT_EXECVE || bit == COMPAT_FIRST + COMPAT_EXECVEAT)
		return 1;
#ifdef X32_SYSCALL_BIT
	if (bit == X32_FIRST + X32_EXECVE || bit == X32_FIRST + X32_EXECVEAT)
		return 1;
#endif
	return 0;
}

#endif
