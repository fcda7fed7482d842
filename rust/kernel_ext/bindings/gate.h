/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Gates, for kernel_ext/replacement.rs: code that the entry of a kernel function
 * jumps to, with the function's arguments and return address in place. A gate
 * decides first. Then it either serves the call and returns to the function's
 * caller, or goes on with the function itself, as if it had not been there: no
 * frame of a gate is on the stack then.
 *
 * A gate is the text of an extended asm, in a function that nobody calls. So it can
 * have constants as operands, and percent signs are doubled.
 */
#ifndef KERNEL_EXT_GATE_H
#define KERNEL_EXT_GATE_H

#include <linux/objtool.h>
#include <linux/stringify.h>

/*
 * A server returns this if the call is not ours after all. No such function returns it:
 * a table has fewer than 2^28 descriptors, so select finds fewer than 3 * 2^28 bits;
 * poll's array and the events of a wait are limited to 2^31 bytes.
 */
#define KERNEL_EXT_NOT_OURS 0x40000000

#define KERNEL_EXT_GATE_LABEL(name)						\
	"	.pushsection .text.gates, \"ax\", @progbits\n"			\
	"	.balign 16\n"							\
	"	.type " #name ", @function\n"					\
	"	.globl " #name "\n"						\
	#name ":\n"

#define KERNEL_EXT_GATE_END(name)						\
	"	.size " #name ", . - " #name "\n"				\
	"	.popsection\n"

/*
 * With KERNEL_EXT_WIDEN, for tests only: a task stays at the first and last
 * instructions of a gate, where it holds no reference to the module, until others
 * have run.
 */
#ifdef KERNEL_EXT_WIDEN
void kernel_ext_linger(void);
#else
#define KERNEL_EXT_LINGER ""
#endif

#ifdef CONFIG_X86_64

#include <asm/linkage.h>
#include <asm/ibt.h>
#include <linux/static_call.h>

/*
 * The function begins with a call or jump of 5 bytes, its site. Behind it the
 * function is as it was built. The way there is a static call: direct jumps, which
 * are patched before the gate is used. So neither IBT, nor retpolines, nor the
 * return stack buffer make it slow or forbid it.
 */
#define KERNEL_EXT_GATE(name)							\
	DEFINE_STATIC_CALL(name, kernel_ext_no_original);			\
	void name##_set_site(unsigned long site);				\
	void name##_set_site(unsigned long site)				\
	{									\
		__static_call_update(&STATIC_CALL_KEY(name),			\
				     STATIC_CALL_TRAMP_ADDR(name),		\
				     (void *)(site + 5));			\
	}									\
	static void __used name##_text(void)

#define KERNEL_EXT_ORIGINAL(name) STATIC_CALL_TRAMP_STR(name)

/* Goes on with the function. */
#define KERNEL_EXT_GO_ON(name) "jmp " KERNEL_EXT_ORIGINAL(name)

/*
 * A redirection may be followed by an indirect call: a trampoline of BPF calls the
 * function by the instruction pointer that ftrace has left it.
 */
#define KERNEL_EXT_GATE_BEGIN(name)						\
	KERNEL_EXT_GATE_LABEL(name)						\
	ASM_ENDBR "\n"								\
	KERNEL_EXT_LINGER

#ifdef CONFIG_FRAME_POINTER
#define KERNEL_EXT_FRAME_BEGIN							\
	"	pushq %%rbp\n"							\
	"	movq %%rsp, %%rbp\n"
#define KERNEL_EXT_FRAME_END "	popq %%rbp\n"
#else
#define KERNEL_EXT_FRAME_BEGIN ""
#define KERNEL_EXT_FRAME_END ""
#endif

/* Calls @function, and keeps up to four arguments. */
#define KERNEL_EXT_CALL_ASIDE(function)						\
	KERNEL_EXT_FRAME_BEGIN							\
	"	pushq %%rdi\n"							\
	"	pushq %%rsi\n"							\
	"	pushq %%rdx\n"							\
	"	pushq %%rcx\n"							\
	"	call " #function "\n"						\
	"	popq %%rcx\n"							\
	"	popq %%rdx\n"							\
	"	popq %%rsi\n"							\
	"	popq %%rdi\n"							\
	KERNEL_EXT_FRAME_END

#ifdef KERNEL_EXT_WIDEN
/* Keeps the result of a server, too. */
#define KERNEL_EXT_LINGER							\
	KERNEL_EXT_FRAME_BEGIN							\
	"	pushq %%rax\n"							\
	"	pushq %%rdi\n"							\
	"	pushq %%rsi\n"							\
	"	pushq %%rdx\n"							\
	"	pushq %%rcx\n"							\
	"	pushq %%r8\n"							\
	"	call kernel_ext_linger\n"					\
	"	popq %%r8\n"							\
	"	popq %%rcx\n"							\
	"	popq %%rdx\n"							\
	"	popq %%rsi\n"							\
	"	popq %%rdi\n"							\
	"	popq %%rax\n"							\
	KERNEL_EXT_FRAME_END
#endif

/* Returns what @server returns; if the call is not ours, executes @otherwise instead. */
#define KERNEL_EXT_SERVE_OR(server, otherwise)					\
	KERNEL_EXT_FRAME_BEGIN							\
	"	pushq %%rdi\n"							\
	"	pushq %%rsi\n"							\
	"	pushq %%rdx\n"							\
	"	pushq %%rcx\n"							\
	"	call " #server "\n"						\
	KERNEL_EXT_LINGER							\
	"	cmpq $" __stringify(KERNEL_EXT_NOT_OURS) ", %%rax\n"		\
	"	je 8f\n"							\
	"	addq $32, %%rsp\n"						\
	KERNEL_EXT_FRAME_END							\
	ASM_RET									\
	"8:	popq %%rcx\n"							\
	"	popq %%rdx\n"							\
	"	popq %%rsi\n"							\
	"	popq %%rdi\n"							\
	KERNEL_EXT_FRAME_END							\
	"	" otherwise "\n"

/* The target of gates that are not in use. */
void kernel_ext_no_original(void);

#elif defined(CONFIG_ARM64)

/*
 * The function calls the gate: x30 is the return address into the function, and x9
 * the one to its caller, which belongs in x30. A return to x16, unlike a branch,
 * needs no landing pad.
 */
#define KERNEL_EXT_GATE(name)							\
	void name##_set_site(unsigned long site);				\
	void name##_set_site(unsigned long site)				\
	{									\
	}									\
	static void __used name##_text(void)

#define KERNEL_EXT_GATE_BEGIN(name)						\
	KERNEL_EXT_GATE_LABEL(name)						\
	"	hint #34\n" /* bti c */						\
	"	mov x16, x30\n"							\
	"	mov x30, x9\n"							\
	KERNEL_EXT_LINGER

#ifdef KERNEL_EXT_WIDEN
/* Keeps the result of a server, too. */
#define KERNEL_EXT_LINGER							\
	"	stp x29, x30, [sp, #-80]!\n"					\
	"	mov x29, sp\n"							\
	"	stp x0, x1, [sp, #16]\n"					\
	"	stp x2, x3, [sp, #32]\n"					\
	"	stp x4, x16, [sp, #48]\n"					\
	"	bl kernel_ext_linger\n"						\
	"	ldp x0, x1, [sp, #16]\n"					\
	"	ldp x2, x3, [sp, #32]\n"					\
	"	ldp x4, x16, [sp, #48]\n"					\
	"	ldp x29, x30, [sp], #80\n"
#endif

#define KERNEL_EXT_GO_ON(name) "ret x16 // " #name

#define KERNEL_EXT_SERVE_OR(server, otherwise)					\
	"	stp x29, x30, [sp, #-64]!\n"					\
	"	mov x29, sp\n"							\
	"	stp x0, x1, [sp, #16]\n"					\
	"	stp x2, x3, [sp, #32]\n"					\
	"	str x16, [sp, #48]\n"						\
	"	bl " #server "\n"						\
	KERNEL_EXT_LINGER							\
	"	mov x9, #" __stringify(KERNEL_EXT_NOT_OURS) "\n"		\
	"	cmp x0, x9\n"							\
	"	b.eq 8f\n"							\
	"	ldp x29, x30, [sp], #64\n"					\
	"	ret\n"								\
	"8:	ldp x0, x1, [sp, #16]\n"					\
	"	ldp x2, x3, [sp, #32]\n"					\
	"	ldr x16, [sp, #48]\n"						\
	"	ldp x29, x30, [sp], #64\n"					\
	"	" otherwise "\n"

#endif

#endif /* KERNEL_EXT_GATE_H */
