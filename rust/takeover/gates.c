// SPDX-License-Identifier: GPL-2.0
/*
 * The gates of takeover: see kernel_ext/bindings/gate.h. The servers are in
 * takeover/backend.rs.
 */
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/sched.h>
#include "gate.h"

#ifdef KERNEL_EXT_WIDEN
/* Spins for 200 ms. Preemption is on, so a task that shares its CPU is preempted. */
void kernel_ext_linger(void)
{
	unsigned long end = jiffies + HZ / 5;

	while (time_before(jiffies, end))
		cpu_relax();
}
#endif

/* The operations of our files. */
extern const struct file_operations repoll_takeover_fops;

#define CONSTANTS								\
	[f_op] "i"(offsetof(struct file, f_op)),				\
	[files] "i"(offsetof(struct task_struct, files)),			\
	[fdt] "i"(offsetof(struct files_struct, fdt)),				\
	[max_fds] "i"(offsetof(struct fdtable, max_fds)),			\
	[fd] "i"(offsetof(struct fdtable, fd))

/* The first argument is a file, which is held: ours, or not. */
#ifdef CONFIG_X86_64
#define FILE_GATE(name, server)							\
	KERNEL_EXT_GATE(name)							\
	{									\
		asm volatile (							\
			KERNEL_EXT_GATE_BEGIN(name)				\
			"	cmpq $repoll_takeover_fops, %c[f_op](%%rdi)\n"	\
			"	jne " KERNEL_EXT_ORIGINAL(name) "\n"		\
			"	jmp " #server "\n"				\
			KERNEL_EXT_GATE_END(name)				\
			:: CONSTANTS);						\
	}									\
	void name(void)
#else
#define FILE_GATE(name, server)							\
	KERNEL_EXT_GATE(name)							\
	{									\
		asm volatile (							\
			KERNEL_EXT_GATE_BEGIN(name)				\
			"	adrp x10, repoll_takeover_fops\n"		\
			"	add x10, x10, #:lo12:repoll_takeover_fops\n"	\
			"	ldr x11, [x0, #%c[f_op]]\n"			\
			"	cmp x10, x11\n"					\
			"	b.ne 1f\n"					\
			"	b " #server "\n"				\
			"1:	ret x16\n"					\
			KERNEL_EXT_GATE_END(name)				\
			:: CONSTANTS);						\
	}									\
	void name(void)
#endif

/* The server asks. */
#define ASKING_GATE(name, server)						\
	KERNEL_EXT_GATE(name)							\
	{									\
		asm volatile (							\
			KERNEL_EXT_GATE_BEGIN(name)				\
			KERNEL_EXT_SERVE_OR(server, KERNEL_EXT_GO_ON(name))	\
			KERNEL_EXT_GATE_END(name)				\
			:: CONSTANTS);						\
	}									\
	void name(void)

FILE_GATE(repoll_gate_ctl, repoll_takeover_ctl);
FILE_GATE(repoll_gate_send_events, repoll_takeover_send_events);
FILE_GATE(repoll_gate_target, repoll_takeover_target);

ASKING_GATE(repoll_gate_create, repoll_takeover_create);
ASKING_GATE(repoll_gate_select, repoll_takeover_select);
ASKING_GATE(repoll_gate_poll, repoll_takeover_poll);

#ifdef CONFIG_X86_64
/* Ends the section of repoll_gate_wait in which preemption is off, if it has become due. */
void repoll_takeover_preempt(void);
void repoll_takeover_preempt(void)
{
	preempt_disable();
	preempt_enable();
}

/*
 * The first argument is a descriptor. Its file is looked at without a reference,
 * with preemption off, which is an RCU read-side section: the memory stays that of
 * some struct file (SLAB_TYPESAFE_BY_RCU). "Ours" is only a guess: the server takes
 * the file by the descriptor and looks again, and this gate begins anew if it is
 * another one. A closed descriptor is such a guess, too. "Not ours" may be stale: if
 * another thread puts one of ours in the place of a C epoll just then, the kernel's
 * function returns EINVAL. A descriptor out of range is looked up as 0, also in
 * speculation, which leads to a wrong guess at worst.
 */
KERNEL_EXT_GATE(repoll_gate_wait)
{
	asm volatile (
		KERNEL_EXT_GATE_BEGIN(repoll_gate_wait)
		"	movq %%gs:current_task(%%rip), %%rax\n"
		"	movq %c[files](%%rax), %%rax\n"
		"	.if %c[count_size] == 8\n"
		"	incq %%gs:__preempt_count(%%rip)\n"
		"	.else\n"
		"	incl %%gs:__preempt_count(%%rip)\n"
		"	.endif\n"
		"	movq %c[fdt](%%rax), %%rax\n"
		"	cmpl %c[max_fds](%%rax), %%edi\n"
		"	sbbl %%r11d, %%r11d\n"
		"	andl %%edi, %%r11d\n"
		"	movq %c[fd](%%rax), %%rax\n"
		"	movq (%%rax, %%r11, 8), %%rax\n"
		"	testq %%rax, %%rax\n"
		"	je 3f\n"
		"	cmpq $repoll_takeover_fops, %c[f_op](%%rax)\n"
		"	je 3f\n"
		"	.if %c[count_size] == 8\n"
		"	decq %%gs:__preempt_count(%%rip)\n"
		"	.else\n"
		"	decl %%gs:__preempt_count(%%rip)\n"
		"	.endif\n"
		"	jne " KERNEL_EXT_ORIGINAL(repoll_gate_wait) "\n"
		KERNEL_EXT_CALL_ASIDE(repoll_takeover_preempt)
		"	jmp " KERNEL_EXT_ORIGINAL(repoll_gate_wait) "\n"
		"3:	.if %c[count_size] == 8\n"
		"	decq %%gs:__preempt_count(%%rip)\n"
		"	.else\n"
		"	decl %%gs:__preempt_count(%%rip)\n"
		"	.endif\n"
		"	jne 4f\n"
		KERNEL_EXT_CALL_ASIDE(repoll_takeover_preempt)
		"4:\n"
		KERNEL_EXT_SERVE_OR(repoll_takeover_wait, "jmp repoll_gate_wait")
		KERNEL_EXT_GATE_END(repoll_gate_wait)
		:: CONSTANTS, [count_size] "i"(sizeof(__preempt_count)));
}
#else
/* Whether the current task's descriptor @fd is one of our files, or closed; a guess. */
bool repoll_takeover_guess(unsigned int fd);
bool repoll_takeover_guess(unsigned int fd)
{
	struct file *file;

	guard(rcu)();
	file = files_lookup_fd_raw(current->files, fd);
	return !file || READ_ONCE(file->f_op) == &repoll_takeover_fops;
}

/* As on x86-64. */
KERNEL_EXT_GATE(repoll_gate_wait)
{
	asm volatile (
		KERNEL_EXT_GATE_BEGIN(repoll_gate_wait)
		"1:	stp x29, x30, [sp, #-64]!\n"
		"	mov x29, sp\n"
		"	stp x0, x1, [sp, #16]\n"
		"	stp x2, x3, [sp, #32]\n"
		"	str x16, [sp, #48]\n"
		"	bl repoll_takeover_guess\n"
		"	and w9, w0, #1\n"
		"	ldp x0, x1, [sp, #16]\n"
		"	ldp x2, x3, [sp, #32]\n"
		"	ldr x16, [sp, #48]\n"
		"	ldp x29, x30, [sp], #64\n"
		"	cbnz w9, 2f\n"
		"	ret x16\n"
		"2:\n"
		KERNEL_EXT_SERVE_OR(repoll_takeover_wait, "b 1b")
		KERNEL_EXT_GATE_END(repoll_gate_wait)
		:: CONSTANTS);
}
#endif
