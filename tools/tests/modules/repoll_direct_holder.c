// SPDX-License-Identifier: GPL-2.0
/*
 * For the tests: holds the place for a direct call of the functions that
 * repoll's hook may be on, as a BPF program does. A function has one place.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#ifdef CONFIG_X86_64
#include <asm/asm-offsets.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>
#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS

void repoll_hold_nothing(void);

/* Does nothing but return to the function that calls it. See helpers.c of repoll. */
asm (
"	.pushsection .text, \"ax\"\n"
"	.balign 16\n"
"	.globl repoll_hold_nothing\n"
"repoll_hold_nothing:\n"
#ifdef CONFIG_X86_64
"	.type repoll_hold_nothing, @function\n"
	ASM_ENDBR
	ASM_RET
#elif defined(CONFIG_ARM64)
"	hint 34\n" /* bti c */
"	mov x10, x30\n"
"	mov x30, x9\n"
"	ret x10\n"
#endif
"	.size repoll_hold_nothing, .-repoll_hold_nothing\n"
"	.popsection\n"
);

static struct ftrace_ops ops[2];
static char *functions[2] = { "security_file_release", "locks_remove_file" };
module_param_array(functions, charp, NULL, 0444);
MODULE_PARM_DESC(functions, "The functions; by default those at a file's last close");

static char *function;
module_param(function, charp, 0);
MODULE_PARM_DESC(function, "The only function whose direct call is held");

static void give_back(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		if (ops[i].flags & FTRACE_OPS_FL_ENABLED)
			unregister_ftrace_direct(&ops[i], (unsigned long)repoll_hold_nothing, true);
	}
}

static int __init hold(void)
{
	unsigned int i;
	int ret;

	if (function) {
		functions[0] = function;
		functions[1] = "";
	}
	for (i = 0; i < ARRAY_SIZE(ops) && *functions[i]; i++) {
		ret = ftrace_set_filter(&ops[i], functions[i], strlen(functions[i]), 1);
		/* Without CONFIG_SECURITY there is only the latter. */
		if (ret)
			continue;
		ret = register_ftrace_direct(&ops[i], (unsigned long)repoll_hold_nothing);
		if (ret) {
			give_back();
			return ret;
		}
	}
	return 0;
}
module_init(hold);
module_exit(give_back);

#endif

MODULE_DESCRIPTION("Holds the direct calls of a file's last close, for tests of repoll");
MODULE_LICENSE("GPL");
