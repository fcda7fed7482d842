/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for the inline functions and macros of the kernel's headers, and
 * constants that bindgen can't evaluate. In Rust the functions' names lack the
 * prefix kernel_ext_, and the constants' names KERNEL_EXT_CONST_.
 */
#ifndef KERNEL_EXT_HELPERS_H
#define KERNEL_EXT_HELPERS_H

#include <asm/ioctls.h>
#ifdef CONFIG_ARM64
#include <asm/cpucaps.h>
#endif
#include <linux/fcntl.h>
#include <uapi/linux/eventpoll.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/poll.h>
#include <linux/sched/user.h>
#include <linux/sysrq.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "gate.h"

struct cgroup;
struct pt_regs;

__poll_t kernel_ext_vfs_poll(struct file *file, struct poll_table_struct *pt);
struct file *kernel_ext_file_get_active(struct file **slot);
__poll_t kernel_ext_poll_now(struct file *file, __poll_t events);
bool kernel_ext_file_can_poll(struct file *file);
bool kernel_ext_file_is_epoll(struct file *file);
u64 kernel_ext_file_ino(struct file *file);
u32 kernel_ext_file_dev(struct file *file);
void kernel_ext_init_poll_funcptr(struct poll_table_struct *pt, poll_queue_proc qproc,
				     __poll_t key);

void kernel_ext_init_waitqueue_func_entry(struct wait_queue_entry *entry,
					     wait_queue_func_t func);
void kernel_ext_init_wait_func(struct wait_queue_entry *entry, wait_queue_func_t func);
void kernel_ext_prepare_to_wait_first(struct wait_queue_head *wq, struct wait_queue_entry *entry);
void kernel_ext_list_del_init(struct list_head *entry);
void kernel_ext_list_del_init_careful(struct list_head *entry);

bool kernel_ext_wait_queue_has_room(struct wait_queue_head *wq, unsigned int max,
				       wait_queue_func_t except);
void kernel_ext_wake_up_poll(struct wait_queue_head *wq, unsigned int key, unsigned int depth,
				unsigned int *next_depth);
void kernel_ext_mutex_lock_nested(struct mutex *lock, unsigned int subclass);
int kernel_ext_mutex_lock_killable(struct mutex *lock);
void kernel_ext_cond_resched(void);
bool kernel_ext_read_words(u64 *to, unsigned long from, unsigned int words);
bool kernel_ext_put_event(unsigned long to, u32 events, u64 data);
bool kernel_ext_put_revents(unsigned long to, const u64 *pollfds, unsigned int count);
bool kernel_ext_access_ok(unsigned long address, size_t size);

bool kernel_ext_try_module_get(struct module *module);
void kernel_ext_module_put(struct module *module);
bool kernel_ext_module_init_is_shared(struct module *module);
bool kernel_ext_has_files(void);
unsigned int kernel_ext_max_fds(void);
u64 kernel_ext_open_fds(unsigned int word);
unsigned long kernel_ext_nofile_limit(void);

void kernel_ext_set_current_state(unsigned int state);
bool kernel_ext_sticky_timeouts(void);

bool kernel_ext_fatal_signal_pending(void);
void kernel_ext_set_wait_sigmask(u64 mask);
void kernel_ext_restore_sigmask(void);
u64 kernel_ext_timer_slack(s64 wait_ns);
s64 kernel_ext_monotonic_offset(void);

void *kernel_ext_ftrace_first_argument(struct ftrace_regs *regs);
int kernel_ext_register_direct_call(struct ftrace_ops *ops);
int kernel_ext_unregister_direct_call(struct ftrace_ops *ops);
int kernel_ext_ftrace_site(const char *function, unsigned long *site);
bool kernel_ext_ftrace_is_off(unsigned long site);
int kernel_ext_register_jump(struct ftrace_ops *ops, unsigned long gate);
int kernel_ext_unregister_jump(struct ftrace_ops *ops, unsigned long gate);
int kernel_ext_register_redirection(struct ftrace_ops *ops, unsigned long gate);
void kernel_ext_synchronize_rcu_tasks(void);
void kernel_ext_preempt_disable(void);
void kernel_ext_preempt_enable(void);

struct user_struct *kernel_ext_get_current_user(void);
bool kernel_ext_user_charge_watch(struct user_struct *user, s64 max);
void kernel_ext_user_uncharge_watch(struct user_struct *user);
s64 kernel_ext_default_max_user_watches(s64 cost);

struct net *kernel_ext_get_current_net(void);
void kernel_ext_put_net(struct net *net);
bool kernel_ext_net_capable_raw(struct net *net);
bool kernel_ext_is_ethernet(struct net_device *dev);
struct net_device *kernel_ext_notified_device(void *info);
u32 kernel_ext_frame_length(struct sk_buff *skb);
bool kernel_ext_frame_copy(struct sk_buff *skb, void *to, u32 length);
bool kernel_ext_frame_is_ethernet(struct sk_buff *skb);
void kernel_ext_consume_skb(struct sk_buff *skb);
u16 kernel_ext_htons(u16 value);

bool kernel_ext_capable(int capability);

struct cgroup *kernel_ext_cgroup_get_from_fd(int fd);
void kernel_ext_cgroup_put(struct cgroup *cgroup);
u64 kernel_ext_cgroup_id(const struct cgroup *cgroup);
bool kernel_ext_cgroup_is_removed(const struct cgroup *cgroup);
bool kernel_ext_cgroup_has_current(struct cgroup *cgroup);

void kernel_ext_init_work(struct work_struct *work, work_func_t function);
bool kernel_ext_schedule_work(struct work_struct *work);

unsigned long *kernel_ext_sysctl_long(const char *table, const char *name);

int kernel_ext_register_sysrq_key(u8 key, const struct sysrq_key_op *op);
int kernel_ext_unregister_sysrq_key(u8 key, const struct sysrq_key_op *op);

bool kernel_ext_is_oops(unsigned long event);
bool kernel_ext_oops_in_module(struct module *module, void *die_args);

/* Defined only for kernels that have no such functions. */
void kernel_ext_spin_lock_irq_disable(spinlock_t *lock);
bool kernel_ext_spin_trylock_irq_disable(spinlock_t *lock);
void kernel_ext_spin_unlock_irq_enable(spinlock_t *lock);

static const unsigned int KERNEL_EXT_CONST_FMODE_NOWAIT = (__force unsigned int)FMODE_NOWAIT;
static const int KERNEL_EXT_CONST_IOCB_NOWAIT = IOCB_NOWAIT;
static const unsigned int KERNEL_EXT_CONST_BAND_IN = POLL_IN;
static const unsigned int KERNEL_EXT_CONST_BAND_OUT = POLL_OUT;
static const unsigned int KERNEL_EXT_CONST_BAND_HUP = POLL_HUP;
static const unsigned long KERNEL_EXT_CONST_NETDEV_UNREGISTER = NETDEV_UNREGISTER;
static const unsigned int KERNEL_EXT_CONST_FIRST_ETHERTYPE = ETH_P_802_3_MIN;
static const unsigned int KERNEL_EXT_CONST_FIONREAD = FIONREAD;

#ifdef CONFIG_ARM64
static const unsigned int KERNEL_EXT_CONST_HAS_LSE_ATOMICS = ARM64_HAS_LSE_ATOMICS;
#endif

static const int KERNEL_EXT_CONST_NOT_OURS = KERNEL_EXT_NOT_OURS;

static const unsigned int KERNEL_EXT_CONST_POLLFREE = (__force unsigned int)POLLFREE;
static const unsigned int KERNEL_EXT_CONST_O_CLOEXEC = O_CLOEXEC;

/* The epoll bits, without their __poll_t. */
static const unsigned int KERNEL_EXT_CONST_EPOLLIN = (__force unsigned int)EPOLLIN;
static const unsigned int KERNEL_EXT_CONST_EPOLLOUT = (__force unsigned int)EPOLLOUT;
static const unsigned int KERNEL_EXT_CONST_EPOLLPRI = (__force unsigned int)EPOLLPRI;
static const unsigned int KERNEL_EXT_CONST_EPOLLNVAL = (__force unsigned int)EPOLLNVAL;
static const unsigned int KERNEL_EXT_CONST_EPOLLRDBAND = (__force unsigned int)EPOLLRDBAND;
static const unsigned int KERNEL_EXT_CONST_EPOLLWRNORM = (__force unsigned int)EPOLLWRNORM;
static const unsigned int KERNEL_EXT_CONST_EPOLLWRBAND = (__force unsigned int)EPOLLWRBAND;
static const unsigned int KERNEL_EXT_CONST_EPOLLRDHUP = (__force unsigned int)EPOLLRDHUP;
static const unsigned int KERNEL_EXT_CONST_EPOLLMSG = (__force unsigned int)EPOLLMSG;
static const unsigned int KERNEL_EXT_CONST_EPOLLRDNORM = (__force unsigned int)EPOLLRDNORM;
static const unsigned int KERNEL_EXT_CONST_EPOLLERR = (__force unsigned int)EPOLLERR;
static const unsigned int KERNEL_EXT_CONST_EPOLLHUP = (__force unsigned int)EPOLLHUP;
static const unsigned int KERNEL_EXT_CONST_EPOLL_URING_WAKE = (__force unsigned int)EPOLL_URING_WAKE;
static const unsigned int KERNEL_EXT_CONST_EPOLLEXCLUSIVE = (__force unsigned int)EPOLLEXCLUSIVE;
static const unsigned int KERNEL_EXT_CONST_EPOLLWAKEUP = (__force unsigned int)EPOLLWAKEUP;
static const unsigned int KERNEL_EXT_CONST_EPOLLONESHOT = (__force unsigned int)EPOLLONESHOT;
static const unsigned int KERNEL_EXT_CONST_EPOLLET = (__force unsigned int)EPOLLET;
static const unsigned int KERNEL_EXT_CONST_EPIOCSPARAMS = EPIOCSPARAMS;
static const unsigned int KERNEL_EXT_CONST_EPIOCGPARAMS = EPIOCGPARAMS;
static const int KERNEL_EXT_CONST_EPOLL_CTL_ADD = EPOLL_CTL_ADD;
static const int KERNEL_EXT_CONST_EPOLL_CTL_DEL = EPOLL_CTL_DEL;
static const int KERNEL_EXT_CONST_EPOLL_CTL_MOD = EPOLL_CTL_MOD;

#endif /* KERNEL_EXT_HELPERS_H */
