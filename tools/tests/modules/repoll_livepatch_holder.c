// SPDX-License-Identifier: GPL-2.0
/*
 * For the tests: a livepatch of do_epoll_create(), which then returns ENOSYS. So a
 * test sees that the patch is in force.
 */
#include <linux/errno.h>
#include <linux/livepatch.h>
#include <linux/module.h>

#ifdef CONFIG_LIVEPATCH

static int create_nothing(int flags)
{
	return -ENOSYS;
}

static struct klp_func funcs[] = {
	{ .old_name = "do_epoll_create", .new_func = create_nothing },
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = funcs }, /* of the kernel's image */
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init hold(void)
{
	return klp_enable_patch(&patch);
}
module_init(hold);

/* The patch is disabled by its sysfs file first. */
static void __exit give_back(void)
{
}
module_exit(give_back);

MODULE_INFO(livepatch, "Y");

#endif

MODULE_DESCRIPTION("A livepatch of do_epoll_create(), for tests of repoll");
MODULE_LICENSE("GPL");
