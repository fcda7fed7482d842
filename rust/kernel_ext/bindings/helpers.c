// SPDX-License-Identifier: GPL-2.0
/* See helpers.h. Decisions are made in Rust. */
#ifdef CONFIG_X86_64
#include <asm/asm-offsets.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>
#endif
#include <linux/capability.h>
#include <linux/cgroup.h>
#include <linux/file.h>
#include <linux/kallsyms.h>
#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/magic.h>
#include <linux/fdtable.h>
#include <linux/if_arp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/percpu_counter.h>
#include <linux/personality.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/resource.h>
#include <linux/sched/signal.h>
#include <linux/skbuff.h>
#include <linux/stacktrace.h>
#include <linux/sysctl.h>
#include <linux/time_namespace.h>
#include <linux/uaccess.h>
#include <net/net_namespace.h>
#include "gate.h"
#include "helpers.h"

__poll_t kernel_ext_vfs_poll(struct file *file, struct poll_table_struct *pt)
{
	return vfs_poll(file, pt);
}

/*
 * get_file_active() for a @slot that can change once, to NULL, before its file
 * is freed. With preemption off, which is an RCU read-side section, the memory
 * stays that of some struct file (SLAB_TYPESAFE_BY_RCU); a reference to another
 * one is given back.
 */
struct file *kernel_ext_file_get_active(struct file **slot)
{
	struct file *file;

	scoped_guard(preempt) {
		file = READ_ONCE(*slot);
		if (!file || !file_ref_get(&file->f_ref))
			return NULL;
	}
	/* Ordered after the reference was taken, by file_ref_get(). */
	if (likely(READ_ONCE(*slot) == file))
		return file;
	fput(file);
	return NULL;
}

/* vfs_poll() without registration. */
__poll_t kernel_ext_poll_now(struct file *file, __poll_t events)
{
	struct poll_table_struct pt = { ._key = events };

	return vfs_poll(file, &pt);
}

bool kernel_ext_file_can_poll(struct file *file)
{
	return file_can_poll(file);
}

/*
 * is_file_epoll() is not exported. An epoll file is an anonymous-inode file
 * of the name "[eventpoll]"; userspace can't make another file of that kind
 * with that name. Should this ever match too much, a watch is refused.
 */
bool kernel_ext_file_is_epoll(struct file *file)
{
	static const char name[] = "[eventpoll]";
	const struct qstr *its = &file->f_path.dentry->d_name;

	return file_inode(file)->i_sb->s_magic == ANON_INODE_FS_MAGIC &&
	       its->len == sizeof(name) - 1 &&
	       !memcmp(its->name, name, sizeof(name));
}

u64 kernel_ext_file_ino(struct file *file)
{
	return file_inode(file)->i_ino;
}

u32 kernel_ext_file_dev(struct file *file)
{
	return file_inode(file)->i_sb->s_dev;
}

void kernel_ext_init_poll_funcptr(struct poll_table_struct *pt, poll_queue_proc qproc,
				     __poll_t key)
{
	init_poll_funcptr(pt, qproc);
	pt->_key = key;
}

void kernel_ext_init_waitqueue_func_entry(struct wait_queue_entry *entry,
					     wait_queue_func_t func)
{
	init_waitqueue_func_entry(entry, func);
}

/* An entry for the current task to sleep with. */
void kernel_ext_init_wait_func(struct wait_queue_entry *entry, wait_queue_func_t func)
{
	init_wait_func(entry, func);
}

/*
 * prepare_to_wait_exclusive() at the head of the queue: the latest waiter is woken
 * first, since its caches are the warmest. As ep_poll().
 */
void kernel_ext_prepare_to_wait_first(struct wait_queue_head *wq, struct wait_queue_entry *entry)
{
	unsigned long flags;

	spin_lock_irqsave(&wq->lock, flags);
	__add_wait_queue_exclusive(wq, entry);
	set_current_state(TASK_INTERRUPTIBLE);
	spin_unlock_irqrestore(&wq->lock, flags);
}

void kernel_ext_list_del_init(struct list_head *entry)
{
	list_del_init(entry);
}

void kernel_ext_list_del_init_careful(struct list_head *entry)
{
	list_del_init_careful(entry);
}

/* Whether @wq has fewer than @max entries with another function than @except. */
bool kernel_ext_wait_queue_has_room(struct wait_queue_head *wq, unsigned int max,
				       wait_queue_func_t except)
{
	struct wait_queue_entry *entry;
	unsigned int entries = 0;
	unsigned long flags;

	spin_lock_irqsave(&wq->lock, flags);
	list_for_each_entry(entry, &wq->head, entry) {
		entries += entry->func != except;
		if (entries >= max)
			break;
	}
	spin_unlock_irqrestore(&wq->lock, flags);
	return entries < max;
}

/*
 * wake_up_poll(), for queues whose entries may wake other queues of the same
 * lock class, as ep_poll_safewake(). @depth is the lockdep subclass. The entries
 * read *next_depth.
 */
void kernel_ext_wake_up_poll(struct wait_queue_head *wq, unsigned int key, unsigned int depth,
				unsigned int *next_depth)
{
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	unsigned long flags;

	spin_lock_irqsave_nested(&wq->lock, flags, depth);
	*next_depth = depth + 1;
	__wake_up_locked_key(wq, TASK_NORMAL, (void *)(unsigned long)key);
	*next_depth = 0;
	spin_unlock_irqrestore(&wq->lock, flags);
#else
	__wake_up(wq, TASK_NORMAL, 1, (void *)(unsigned long)key);
#endif
}

void kernel_ext_mutex_lock_nested(struct mutex *lock, unsigned int subclass)
{
	mutex_lock_nested(lock, subclass);
}

int kernel_ext_mutex_lock_killable(struct mutex *lock)
{
	return mutex_lock_killable(lock);
}

void kernel_ext_cond_resched(void)
{
	cond_resched();
}

/*
 * Copies @words words from userspace. For a few words this is cheaper than
 * copy_from_user(). False if they can't be read.
 */
bool kernel_ext_read_words(u64 *to, unsigned long from, unsigned int words)
{
	const u64 __user *user = (const u64 __user *)from;
	unsigned int i;

	if (!user_read_access_begin(user, words * sizeof(*to)))
		return false;
	for (i = 0; i < words; i++)
		unsafe_get_user(to[i], &user[i], fault);
	user_read_access_end();
	return true;
fault:
	user_read_access_end();
	return false;
}

/* As epoll_put_uevent(). False if the event can't be written. */
bool kernel_ext_put_event(unsigned long to, u32 events, u64 data)
{
	struct epoll_event __user *user = (struct epoll_event __user *)to;

	if (!user_write_access_begin(user, sizeof(*user)))
		return false;
	unsafe_put_user(events, (u32 __user *)&user->events, fault);
	unsafe_put_user(data, &user->data, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

/*
 * Writes the field revents of @count struct pollfd, and no other field. The
 * kernel's poll bits are userspace's on the supported architectures.
 */
bool kernel_ext_put_revents(unsigned long to, const u64 *pollfds, unsigned int count)
{
	const struct pollfd *from = (const struct pollfd *)pollfds;
	struct pollfd __user *user = (struct pollfd __user *)to;
	unsigned int i;

	BUILD_BUG_ON(sizeof(*user) != sizeof(u64));
#define SAME(event) static_assert((__force u32)EPOLL##event == POLL##event)
	SAME(IN); SAME(PRI); SAME(OUT); SAME(ERR); SAME(HUP); SAME(NVAL); SAME(RDNORM);
	SAME(RDBAND); SAME(WRNORM); SAME(WRBAND); SAME(MSG); SAME(RDHUP);
#undef SAME
	/*
	 * poll(2) of no descriptors checks the address on machines that check addresses, and
	 * does not on those that mask them.
	 */
	if (!count && can_do_masked_user_access())
		return true;
	if (!user_write_access_begin(user, (size_t)count * sizeof(*user)))
		return false;
	for (i = 0; i < count; i++)
		unsafe_put_user(from[i].revents, &user[i].revents, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

bool kernel_ext_access_ok(unsigned long address, size_t size)
{
	return access_ok((void __user *)address, size);
}

bool kernel_ext_try_module_get(struct module *module)
{
	return try_module_get(module);
}

void kernel_ext_module_put(struct module *module)
{
	module_put(module);
}

/*
 * Whether @module's initialisation has yet to succeed, and there are references
 * to the module besides the initialisation's own.
 */
bool kernel_ext_module_init_is_shared(struct module *module)
{
#ifdef CONFIG_MODULE_UNLOAD
	return module && module->state == MODULE_STATE_COMING && module_refcount(module) > 1;
#else
	return false;
#endif
}

/* An exiting task may have put its files already. */
bool kernel_ext_has_files(void)
{
	return current->files;
}

/* The size of the current task's table of descriptors, which never shrinks. */
unsigned int kernel_ext_max_fds(void)
{
	unsigned int max;

	rcu_read_lock();
	max = files_fdtable(current->files)->max_fds;
	rcu_read_unlock();
	return max;
}

/* The open descriptors from 64 * @word to 64 * @word + 63, as bits. */
u64 kernel_ext_open_fds(unsigned int word)
{
	struct fdtable *fdt;
	u64 open = 0;

	BUILD_BUG_ON(BITS_PER_LONG != 64);
	rcu_read_lock();
	fdt = files_fdtable(current->files);
	if (word < fdt->max_fds / BITS_PER_LONG)
		open = READ_ONCE(fdt->open_fds[word]);
	rcu_read_unlock();
	return open;
}

unsigned long kernel_ext_nofile_limit(void)
{
	return rlimit(RLIMIT_NOFILE);
}

void kernel_ext_set_current_state(unsigned int state)
{
	set_current_state(state);
}

bool kernel_ext_sticky_timeouts(void)
{
	return current->personality & STICKY_TIMEOUTS;
}

bool kernel_ext_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

/*
 * The second half of set_user_sigmask(), which is not exported. sigprocmask()
 * alone would also block SIGKILL and SIGSTOP.
 */
void kernel_ext_set_wait_sigmask(u64 mask)
{
	sigset_t set = { .sig = { mask } };

	BUILD_BUG_ON(sizeof(set) != sizeof(mask));
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	set_restore_sigmask();
	current->saved_sigmask = current->blocked;
	sigprocmask(SIG_SETMASK, &set, NULL);
}

/* restore_saved_sigmask(), which needs __set_current_blocked(). */
void kernel_ext_restore_sigmask(void)
{
	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
}

/*
 * As select_estimate_accuracy(), which is not exported: a thousandth of the wait
 * (a two-hundredth for a niced task), at most 100 ms, at least the task's own
 * slack. 0 for a task without slack: a real-time task, or the child of one by
 * SCHED_RESET_ON_FORK.
 */
u64 kernel_ext_timer_slack(s64 wait_ns)
{
	u64 slack;

	if (!current->timer_slack_ns)
		return 0;
	slack = wait_ns <= 0 ? 0 : div_u64(wait_ns, task_nice(current) > 0 ? 200 : 1000);
	slack = min_t(u64, slack, 100 * NSEC_PER_MSEC);
	return max_t(u64, slack, current->timer_slack_ns);
}

/*
 * timens_add_monotonic() for a number of nanoseconds. An exiting task may have
 * put its namespaces already: it gets the host's time. Only the task itself
 * changes its nsproxy, so this needs no lock.
 */
s64 kernel_ext_monotonic_offset(void)
{
#ifdef CONFIG_TIME_NS
	struct nsproxy *namespaces = current->nsproxy;

	if (namespaces)
		return timespec64_to_ns(&namespaces->time_ns->offsets.monotonic);
#endif
	return 0;
}

void *kernel_ext_ftrace_first_argument(struct ftrace_regs *regs)
{
	return (void *)ftrace_regs_get_argument(regs, 0);
}

/*
 * ftrace calls kernel_ext_direct_call() from the entry of a function. It passes
 * the function's first argument to kernel_ext_called_directly(), preserves it,
 * and returns to the function, which begins then. Other argument registers are
 * not preserved. As in samples/ftrace/ftrace-direct.c. Aligned, since ftrace
 * jumps to an odd address instead of calling it.
 */
#if defined(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) && defined(CONFIG_X86_64)
#define KERNEL_EXT_HAS_DIRECT_CALL
/* The stack holds the return address into the function, below it the one to its caller. */
asm (
"	.pushsection .text, \"ax\", @progbits\n"
"	.balign 16\n"
"	.type kernel_ext_direct_call, @function\n"
"	.globl kernel_ext_direct_call\n"
"kernel_ext_direct_call:\n"
	ASM_ENDBR
"	pushq %rbp\n"
"	movq %rsp, %rbp\n"
	CALL_DEPTH_ACCOUNT
"	pushq %rdi\n"
"	call kernel_ext_called_directly\n"
"	popq %rdi\n"
"	leave\n"
	ASM_RET
"	.size kernel_ext_direct_call, .-kernel_ext_direct_call\n"
"	.popsection\n"
);
#elif defined(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) && defined(CONFIG_ARM64)
#define KERNEL_EXT_HAS_DIRECT_CALL
/* x30 is the return address into the function; x9 the one to its caller, which belongs in x30. */
asm (
"	.pushsection .text, \"ax\", @progbits\n"
"	.balign 16\n"
"	.type kernel_ext_direct_call, @function\n"
"	.globl kernel_ext_direct_call\n"
"kernel_ext_direct_call:\n"
"	hint 34\n" /* bti c */
"	sub sp, sp, #32\n"
"	stp x9, x30, [sp]\n"
"	str x0, [sp, #16]\n"
"	bl kernel_ext_called_directly\n"
"	ldp x30, x9, [sp]\n"
"	ldr x0, [sp, #16]\n"
"	add sp, sp, #32\n"
"	ret x9\n"
"	.size kernel_ext_direct_call, .-kernel_ext_direct_call\n"
"	.popsection\n"
);
#endif

#ifdef KERNEL_EXT_HAS_DIRECT_CALL
void kernel_ext_direct_call(void);

int kernel_ext_register_direct_call(struct ftrace_ops *ops)
{
	return register_ftrace_direct(ops, (unsigned long)kernel_ext_direct_call);
}

int kernel_ext_unregister_direct_call(struct ftrace_ops *ops)
{
	return unregister_ftrace_direct(ops, (unsigned long)kernel_ext_direct_call, false);
}
#else
int kernel_ext_register_direct_call(struct ftrace_ops *ops)
{
	return -EOPNOTSUPP;
}

int kernel_ext_unregister_direct_call(struct ftrace_ops *ops)
{
	return -EOPNOTSUPP;
}
#endif

#ifdef CONFIG_KPROBES
/*
 * Finds the instruction of @function that ftrace patches. The symbol is looked up
 * for a kprobe, which is never armed. -ENOENT without such a function, -EINVAL if it
 * can't be traced.
 */
int kernel_ext_ftrace_site(const char *function, unsigned long *site)
{
	struct kprobe probe = { .symbol_name = function, .flags = KPROBE_FLAG_DISABLED };
	bool is_site;
	int err;

	err = register_kprobe(&probe);
	if (err)
		return err;
	*site = (unsigned long)probe.addr;
	/* Elsewhere ftrace finds the instruction by the function's first one. */
	is_site = !IS_ENABLED(CONFIG_KPROBES_ON_FTRACE) || probe.flags & KPROBE_FLAG_FTRACE;
	unregister_kprobe(&probe);
	return is_site ? 0 : -EINVAL;
}
#else
int kernel_ext_ftrace_site(const char *function, unsigned long *site)
{
	return -EOPNOTSUPP;
}
#endif

#if defined(CONFIG_KPROBES) && defined(CONFIG_SYSCTL)
/* Whether @address is the start of the object @name, of at least @size bytes and of no module. */
static bool is_object(unsigned long address, const char *name, size_t size)
{
	char *symbol __free(kfree) = kmalloc(KSYM_SYMBOL_LEN, GFP_KERNEL);
	unsigned long found;
	size_t length = strlen(name);
	int end = 0;

	if (!symbol)
		return false;
	/* "name+0xoffset/0xsize", and " [module]" in a module. */
	sprint_symbol(symbol, address);
	return !strncmp(symbol, name, length) &&
	       sscanf(symbol + length, "+0x0/%lx%n", &found, &end) == 1 &&
	       !symbol[length + end] && found >= size;
}

/*
 * The variable of the sysctl @name, an unsigned long, which is the first in the table
 * @table of the kernel's image. The table's symbol is looked up for a kprobe, which is
 * refused (EINVAL) as the table is no code, but has the address by then. NULL if there is
 * no such table.
 */
unsigned long *kernel_ext_sysctl_long(const char *table, const char *name)
{
	struct kprobe probe = { .symbol_name = table, .flags = KPROBE_FLAG_DISABLED };
	const struct ctl_table *entry;

	if (!register_kprobe(&probe)) {
		unregister_kprobe(&probe);
		return NULL;
	}
	entry = (const struct ctl_table *)probe.addr;
	if (!entry || !is_object((unsigned long)entry, table, sizeof(*entry)))
		return NULL;
	/* The function and the size make it sure that this is a table: then follow its pointers. */
	if (entry->proc_handler != proc_doulongvec_minmax || entry->maxlen != sizeof(long) ||
	    strcmp(entry->procname, name))
		return NULL;
	return entry->data;
}
#else
unsigned long *kernel_ext_sysctl_long(const char *table, const char *name)
{
	return NULL;
}
#endif

static void notrace do_nothing(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			       struct ftrace_regs *regs)
{
}

/* Whether kernel.ftrace_enabled is 0: then permanent operations are refused. */
bool kernel_ext_ftrace_is_off(unsigned long site)
{
	static struct ftrace_ops ops = {
		.func = do_nothing,
		.flags = FTRACE_OPS_FL_PERMANENT,
	};
	static DEFINE_MUTEX(lock);
	int err;

	guard(mutex)(&lock);
	err = ftrace_set_filter_ip(&ops, site, 0, 1);
	if (err)
		return false;
	err = register_ftrace_function(&ops);
	if (!err)
		unregister_ftrace_function(&ops);
	ftrace_free_filter(&ops);
	return err == -EBUSY;
}

/* Makes the function of @ops begin with a jump to @gate; on arm64 with a call. */
#if defined(CONFIG_X86_64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_JMP)
/* The jump is direct, or a return if other users of ftrace are there: it needs no endbr64. */
static unsigned long jump_to(unsigned long gate)
{
	return ftrace_jmp_set(gate + ENDBR_INSN_SIZE);
}

int kernel_ext_register_jump(struct ftrace_ops *ops, unsigned long gate)
{
	return register_ftrace_direct(ops, jump_to(gate));
}

int kernel_ext_unregister_jump(struct ftrace_ops *ops, unsigned long gate)
{
	return unregister_ftrace_direct(ops, jump_to(gate), false);
}
#elif defined(CONFIG_ARM64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)
int kernel_ext_register_jump(struct ftrace_ops *ops, unsigned long gate)
{
	return register_ftrace_direct(ops, gate);
}

int kernel_ext_unregister_jump(struct ftrace_ops *ops, unsigned long gate)
{
	return unregister_ftrace_direct(ops, gate, false);
}
#else
int kernel_ext_register_jump(struct ftrace_ops *ops, unsigned long gate)
{
	return -EOPNOTSUPP;
}

int kernel_ext_unregister_jump(struct ftrace_ops *ops, unsigned long gate)
{
	return -EOPNOTSUPP;
}
#endif

/* Makes the function of @ops go on at @gate, by ftrace's change of the instruction pointer. */
#ifdef CONFIG_X86_64
static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *regs)
{
	ftrace_regs_set_instruction_pointer(regs, (unsigned long)ops->private);
}

int kernel_ext_register_redirection(struct ftrace_ops *ops, unsigned long gate)
{
	ops->func = redirect;
	ops->private = (void *)gate;
	/* Never left out as a recursion, in which it can't be: it calls nothing. */
	ops->flags |= FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_RECURSION;
	return register_ftrace_function(ops);
}

void kernel_ext_no_original(void)
{
	WARN_ON_ONCE(1);
}
#else
/* The gates need the registers of a direct call. */
int kernel_ext_register_redirection(struct ftrace_ops *ops, unsigned long gate)
{
	return -EOPNOTSUPP;
}
#endif

void kernel_ext_synchronize_rcu_tasks(void)
{
	synchronize_rcu_tasks();
}

void kernel_ext_preempt_disable(void)
{
	preempt_disable();
}

void kernel_ext_preempt_enable(void)
{
	preempt_enable();
}

struct user_struct *kernel_ext_get_current_user(void)
{
	return get_current_user();
}

/* Counts a watch of the user, as ep_alloc_epitem(); false if there are @max already. */
bool kernel_ext_user_charge_watch(struct user_struct *user, s64 max)
{
	if (percpu_counter_compare(&user->epoll_watches, max) >= 0)
		return false;
	percpu_counter_inc(&user->epoll_watches);
	return true;
}

void kernel_ext_user_uncharge_watch(struct user_struct *user)
{
	percpu_counter_dec(&user->epoll_watches);
}

/* eventpoll_init()'s rule: 4 % of low memory, in watches of @cost bytes. */
s64 kernel_ext_default_max_user_watches(s64 cost)
{
	struct sysinfo si;

	si_meminfo(&si);
	return div64_s64((s64)((si.totalram - si.totalhigh) / 25) << PAGE_SHIFT, cost);
}

/* A reference to the current task's network namespace; NULL in an exiting task. */
struct net *kernel_ext_get_current_net(void)
{
	return current->nsproxy ? get_net(current->nsproxy->net_ns) : NULL;
}

void kernel_ext_put_net(struct net *net)
{
	put_net(net);
}

bool kernel_ext_net_capable_raw(struct net *net)
{
	return ns_capable(net->user_ns, CAP_NET_RAW);
}

/* Whether the device's frames have an Ethernet header. The loopback's have one too. */
bool kernel_ext_is_ethernet(struct net_device *dev)
{
	return dev->type == ARPHRD_ETHER || dev->type == ARPHRD_LOOPBACK;
}

struct net_device *kernel_ext_notified_device(void *info)
{
	return netdev_notifier_info_to_dev(info);
}

/*
 * Length of the MAC header, which is before the data that a packet handler
 * gets; 0 if there is none there. It is in the linear part, as skb->data is.
 */
static u32 mac_length(struct sk_buff *skb)
{
	if (!skb_mac_header_was_set(skb) || skb_mac_header(skb) > skb->data)
		return 0;
	return skb->data - skb_mac_header(skb);
}

u32 kernel_ext_frame_length(struct sk_buff *skb)
{
	return mac_length(skb) + skb->len;
}

/* Only reads the frame, which may be shared. */
bool kernel_ext_frame_copy(struct sk_buff *skb, void *to, u32 length)
{
	u32 mac = min(length, mac_length(skb));

	memcpy(to, skb->data - mac_length(skb), mac);
	return !skb_copy_bits(skb, 0, to + mac, length - mac);
}

/*
 * Whether the frame has an Ethernet header, and is not a copy of one that the host
 * sent, as packet_rcv(). The type of an interface can change, and an interface
 * without headers can be given that type.
 */
bool kernel_ext_frame_is_ethernet(struct sk_buff *skb)
{
	return skb->pkt_type != PACKET_LOOPBACK && kernel_ext_is_ethernet(skb->dev) &&
	       mac_length(skb) >= ETH_HLEN;
}

void kernel_ext_consume_skb(struct sk_buff *skb)
{
	consume_skb(skb);
}

u16 kernel_ext_htons(u16 value)
{
	return (__force u16)htons(value);
}

bool kernel_ext_capable(int capability)
{
	return capable(capability);
}

#ifdef CONFIG_CGROUPS
struct cgroup *kernel_ext_cgroup_get_from_fd(int fd)
{
	return cgroup_get_from_fd(fd);
}

void kernel_ext_cgroup_put(struct cgroup *cgroup)
{
	cgroup_put(cgroup);
}

u64 kernel_ext_cgroup_id(const struct cgroup *cgroup)
{
	return cgroup_id(cgroup);
}

bool kernel_ext_cgroup_is_removed(const struct cgroup *cgroup)
{
	return cgroup_is_dead(cgroup);
}

/* Whether the current task is in @cgroup or below it. */
bool kernel_ext_cgroup_has_current(struct cgroup *cgroup)
{
	guard(rcu)();
	return task_under_cgroup_hierarchy(current, cgroup);
}
#else
struct cgroup *kernel_ext_cgroup_get_from_fd(int fd)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void kernel_ext_cgroup_put(struct cgroup *cgroup)
{
}

u64 kernel_ext_cgroup_id(const struct cgroup *cgroup)
{
	return 0;
}

bool kernel_ext_cgroup_is_removed(const struct cgroup *cgroup)
{
	return true;
}

bool kernel_ext_cgroup_has_current(struct cgroup *cgroup)
{
	return false;
}
#endif

void kernel_ext_init_work(struct work_struct *work, work_func_t function)
{
	INIT_WORK(work, function);
}

/* False if it is queued already or disabled, or in an NMI, where nothing can be queued. */
bool kernel_ext_schedule_work(struct work_struct *work)
{
	return !in_nmi() && schedule_work(work);
}

int kernel_ext_register_sysrq_key(u8 key, const struct sysrq_key_op *op)
{
#ifdef CONFIG_MAGIC_SYSRQ
	return register_sysrq_key(key, op) ? -EBUSY : 0;
#else
	return -EOPNOTSUPP;
#endif
}

int kernel_ext_unregister_sysrq_key(u8 key, const struct sysrq_key_op *op)
{
	return unregister_sysrq_key(key, op);
}

bool kernel_ext_is_oops(unsigned long event)
{
	return event == DIE_OOPS;
}

/*
 * Whether code of @module is on the stack of the oops, which is the current stack.
 * The caller is a notifier in @module: the topmost entries of @module are that of
 * the notifier itself.
 */
bool kernel_ext_oops_in_module(struct module *module, void *die_args)
{
	const struct die_args *args = die_args;
	unsigned long entries[64];
	unsigned int i = 0, count;

	if (!module)
		return false;
	if (args->regs && within_module(instruction_pointer(args->regs), module))
		return true;
	count = stack_trace_save(entries, ARRAY_SIZE(entries), 0);
	while (i < count && within_module(entries[i], module))
		i++;
	while (i < count)
		if (within_module(entries[i++], module))
			return true;
	return false;
}
