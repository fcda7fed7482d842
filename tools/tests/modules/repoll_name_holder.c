// SPDX-License-Identifier: GPL-2.0
/*
 * For the tests: holds the name of repoll's second device, so that a load of
 * repoll.ko fails when its first one is registered.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static const struct file_operations no_operations = {
	.owner = THIS_MODULE,
};

static struct miscdevice holder = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "repoll-source",
	.fops = &no_operations,
};
module_misc_device(holder);

MODULE_DESCRIPTION("Holds the name repoll-source in /dev, for tests of repoll");
MODULE_LICENSE("GPL");
