// SPDX-License-Identifier: GPL-2.0
/* See ../spinlock_irq.rs. */
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include "helpers.h"

#ifdef CONFIG_PREEMPT_RT

/* Such a lock leaves interrupts on. */
static void interrupts_off(void) {}
static void interrupts_on(void) {}

#else

/* Accessed by its CPU only, with interrupts off. */
struct interrupts {
	unsigned int off;	/* the number of held locks */
	unsigned long flags;	/* saved by the first lock */
};
static DEFINE_PER_CPU(struct interrupts, interrupts);

static void interrupts_off(void)
{
	unsigned long flags;

	local_irq_save(flags);
	if (!this_cpu_ptr(&interrupts)->off++)
		this_cpu_ptr(&interrupts)->flags = flags;
}

static void interrupts_on(void)
{
	/* Read while interrupts are off: a handler may write it. */
	unsigned long flags = this_cpu_ptr(&interrupts)->flags;

	if (!--this_cpu_ptr(&interrupts)->off)
		local_irq_restore(flags);
}

#endif

void kernel_ext_spin_lock_irq_disable(spinlock_t *lock)
{
	interrupts_off();
	spin_lock(lock);
}

bool kernel_ext_spin_trylock_irq_disable(spinlock_t *lock)
{
	interrupts_off();
	if (spin_trylock(lock))
		return true;
	interrupts_on();
	return false;
}

void kernel_ext_spin_unlock_irq_enable(spinlock_t *lock)
{
	/* Preemption is enabled last: with interrupts off it would not reschedule. */
	preempt_disable();
	spin_unlock(lock);
	interrupts_on();
	preempt_enable();
}
