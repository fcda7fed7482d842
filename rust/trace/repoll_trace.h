/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tracepoints of repoll, system "repoll". Documentation/reference/tracepoints.rst
 * describes when each one fires. Each instance has a number (ep), and each watch
 * has one (item). No number is reused in the module's life, so that one event can
 * be followed across contexts.
 *
 * The names, the fields, their order and their types are an interface:
 * tools/tests/src/cases/tracing/tracepoint_format.rs lists them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM repoll
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE repoll_trace

#if !defined(_REPOLL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _REPOLL_TRACE_H

#include <linux/preempt.h>
#include <linux/tracepoint.h>
#include <repoll.h>

#ifndef _REPOLL_TRACE_ONCE
#define _REPOLL_TRACE_ONCE
/* The outcome of a callback. */
#define REPOLL_CB_QUEUED	0	/* the item entered the ready queue */
#define REPOLL_CB_ALREADY	1	/* it was in the ready queue, or on its way in */
#define REPOLL_CB_MISMATCH	2	/* none of the events is of interest */
#define REPOLL_CB_DISARMED	3	/* ONESHOT has fired; no MOD since */

/* The reason why an item entered the ready queue. */
#define REPOLL_QUEUE_CALLBACK	0	/* its file called back */
#define REPOLL_QUEUE_ADD	1	/* it was ready when it was added */
#define REPOLL_QUEUE_MOD	2	/* it was ready when it was modified */
#define REPOLL_QUEUE_LEVEL	3	/* level-triggered: delivered, polled again by the next wait */
#define REPOLL_QUEUE_BACK	4	/* it could not be copied: first in the next wait */

/* The reason why an item was removed. */
#define REPOLL_REMOVE_DEL	0	/* EPOLL_CTL_DEL */
#define REPOLL_REMOVE_CLOSED	1	/* the last close of the watched file */
#define REPOLL_REMOVE_RELEASE	2	/* the last close of the instance */

/* The reason of a wake-up. */
#define REPOLL_WAKE_EVENT	0	/* an item is ready */
#define REPOLL_WAKE_LEFT	1	/* a wait has left items for the next one */
#define REPOLL_WAKE_RELEASE	2	/* the last close of the instance */

/* The reason why a waiter is awake. */
#define REPOLL_WOKEN_EVENT	0	/* the ready queue is not empty */
#define REPOLL_WOKEN_TIMEOUT	1	/* the timeout has passed */
#define REPOLL_WOKEN_SIGNAL	2	/* a signal is pending */
#define REPOLL_WOKEN_NOTHING	3	/* none of these: another waiter took the event, or a push is under way */

/* The purpose of a scan of the ready queue. */
#define REPOLL_SCAN_WAIT	0	/* REPOLL_WAIT */
#define REPOLL_SCAN_POLL	1	/* a poll of the instance */

/* The limit that was exceeded. */
#define REPOLL_LIMIT_USER	0	/* the watches of a user: ENOSPC */
#define REPOLL_LIMIT_FILE	1	/* the watches of one file: ENOSPC */
#define REPOLL_LIMIT_DEPTH	2	/* instances in instances: ELOOP */
#define REPOLL_LIMIT_PATHS	3	/* paths from a file to an outermost instance: EINVAL */
#define REPOLL_LIMIT_POLLERS	4	/* pollers of one instance: EPOLLERR */

/* The reason why a message was dropped. */
#define REPOLL_DROP_FULL	0	/* no room */
#define REPOLL_DROP_TOO_LONG	1	/* longer than the maximum */
#define REPOLL_DROP_OTHER	2	/* hung up meanwhile, or it could not be copied */

/* The call. */
#define REPOLL_CALL_SELECT	0	/* REPOLL_SELECT */
#define REPOLL_CALL_POLL	1	/* REPOLL_POLL */
#endif

#define repoll_context() \
	(in_nmi() ? 3 : in_hardirq() ? 2 : in_serving_softirq() ? 1 : 0)
#define repoll_show_context(c) __print_symbolic(c, \
	{ 0, "task" }, { 1, "softirq" }, { 2, "hardirq" }, { 3, "nmi" })

/* An instance was created: /dev/repoll was opened, or REPOLL_CREATE. */
TRACE_EVENT(repoll_create,
	TP_PROTO(u32 ep),
	TP_ARGS(ep),
	TP_STRUCT__entry(
		__field(u32, ep)
	),
	TP_fast_assign(
		__entry->ep = ep;
	),
	TP_printk("ep=%u",
		  __entry->ep)
);

/* The last close of an instance: its items are removed after this. */
TRACE_EVENT(repoll_release,
	TP_PROTO(u32 ep),
	TP_ARGS(ep),
	TP_STRUCT__entry(
		__field(u32, ep)
	),
	TP_fast_assign(
		__entry->ep = ep;
	),
	TP_printk("ep=%u",
		  __entry->ep)
);

/* A REPOLL_CTL returns. ret: 0 or a negative errno. */
TRACE_EVENT(repoll_ctl,
	TP_PROTO(u32 ep, s32 op, s32 fd, u32 events, u64 data, s32 ret),
	TP_ARGS(ep, op, fd, events, data, ret),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(s32, op)
		__field(u32, events)
		__field(u64, data)
		__field(s32, ret)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->op = op;
		__entry->fd = fd;
		__entry->events = events;
		__entry->data = data;
		__entry->ret = ret;
	),
	TP_printk("ep=%u op=%s fd=%d events=0x%x data=0x%llx ret=%d",
		  __entry->ep,
		  __print_symbolic(__entry->op,
				   { 1, "ADD" },
				   { 2, "DEL" },
				   { 3, "MOD" }),
		  __entry->fd, __entry->events, __entry->data, __entry->ret)
);

/* An item was added. file: the watched file; target: its number if it is an instance, or 0. */
TRACE_EVENT(repoll_add,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 events, u64 data, unsigned long file, u32 target),
	TP_ARGS(ep, item, fd, events, data, file, target),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, events)
		__field(u64, data)
		__field(void *, file)
		__field(u32, target)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->events = events;
		__entry->data = data;
		__entry->file = (void *)file;
		__entry->target = target;
	),
	TP_printk("ep=%u item=%llu fd=%d events=0x%x data=0x%llx file=%p target=%u",
		  __entry->ep, __entry->item, __entry->fd, __entry->events, __entry->data,
		  __entry->file, __entry->target)
);

/* The events or the data of an item were changed. */
TRACE_EVENT(repoll_modify,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 events, u64 data),
	TP_ARGS(ep, item, fd, events, data),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, events)
		__field(u64, data)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->events = events;
		__entry->data = data;
	),
	TP_printk("ep=%u item=%llu fd=%d events=0x%x data=0x%llx",
		  __entry->ep, __entry->item, __entry->fd, __entry->events, __entry->data)
);

/* An item was removed. */
TRACE_EVENT(repoll_remove,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 reason),
	TP_ARGS(ep, item, fd, reason),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->reason = reason;
	),
	TP_printk("ep=%u item=%llu fd=%d reason=%s",
		  __entry->ep, __entry->item, __entry->fd,
		  __print_symbolic(__entry->reason,
				   { REPOLL_REMOVE_DEL, "del" },
				   { REPOLL_REMOVE_CLOSED, "last-close" },
				   { REPOLL_REMOVE_RELEASE, "release" }))
);

/* A limit of repoll was exceeded. ret: the errno of the refused ADD, 0 for pollers. */
TRACE_EVENT(repoll_limit,
	TP_PROTO(u32 ep, s32 fd, u32 limit, s32 ret),
	TP_ARGS(ep, fd, limit, ret),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u32, limit)
		__field(s32, ret)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->fd = fd;
		__entry->limit = limit;
		__entry->ret = ret;
	),
	TP_printk("ep=%u fd=%d limit=%s ret=%d",
		  __entry->ep, __entry->fd,
		  __print_symbolic(__entry->limit,
				   { REPOLL_LIMIT_USER, "watches-of-user" },
				   { REPOLL_LIMIT_FILE, "watches-of-file" },
				   { REPOLL_LIMIT_DEPTH, "nesting" },
				   { REPOLL_LIMIT_PATHS, "paths" },
				   { REPOLL_LIMIT_POLLERS, "pollers" }),
		  __entry->ret)
);

/* A watched file was polled. ready: the returned events, of interest or not; 0 if closed. */
TRACE_EVENT(repoll_poll,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 events, u32 ready),
	TP_ARGS(ep, item, fd, events, ready),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, events)
		__field(u32, ready)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->events = events;
		__entry->ready = ready;
	),
	TP_printk("ep=%u item=%llu fd=%d events=0x%x ready=0x%x",
		  __entry->ep, __entry->item, __entry->fd, __entry->events, __entry->ready)
);

/* A watched file woke its wait queue. key: the events that the waker passed, or 0 for none. */
TRACE_EVENT(repoll_callback,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 key, u32 outcome),
	TP_ARGS(ep, item, fd, key, outcome),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, key)
		__field(u32, context)
		__field(u32, outcome)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->key = key;
		__entry->context = repoll_context();
		__entry->outcome = outcome;
	),
	TP_printk("ep=%u item=%llu fd=%d key=0x%x context=%s outcome=%s",
		  __entry->ep, __entry->item, __entry->fd, __entry->key,
		  repoll_show_context(__entry->context),
		  __print_symbolic(__entry->outcome,
				   { REPOLL_CB_QUEUED, "queued" },
				   { REPOLL_CB_ALREADY, "already-queued" },
				   { REPOLL_CB_MISMATCH, "mismatch" },
				   { REPOLL_CB_DISARMED, "disarmed" }))
);

/* A callback returns. woken: it woke a waiter; used: the wake-up calls no other exclusive watch. */
TRACE_EVENT(repoll_callback_exit,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 woken, u32 used),
	TP_ARGS(ep, item, fd, woken, used),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, woken)
		__field(u32, used)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->woken = woken;
		__entry->used = used;
	),
	TP_printk("ep=%u item=%llu fd=%d woken=%u used=%u",
		  __entry->ep, __entry->item, __entry->fd, __entry->woken, __entry->used)
);

/* An item enters the ready queue. */
TRACE_EVENT(repoll_queue,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 reason),
	TP_ARGS(ep, item, fd, reason),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->reason = reason;
	),
	TP_printk("ep=%u item=%llu fd=%d reason=%s",
		  __entry->ep, __entry->item, __entry->fd,
		  __print_symbolic(__entry->reason,
				   { REPOLL_QUEUE_CALLBACK, "callback" },
				   { REPOLL_QUEUE_ADD, "add" },
				   { REPOLL_QUEUE_MOD, "mod" },
				   { REPOLL_QUEUE_LEVEL, "level" },
				   { REPOLL_QUEUE_BACK, "back" }))
);

/* A ONESHOT item has fired: no event is of interest until MOD. */
TRACE_EVENT(repoll_disarm,
	TP_PROTO(u32 ep, u64 item, s32 fd),
	TP_ARGS(ep, item, fd),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
	),
	TP_printk("ep=%u item=%llu fd=%d",
		  __entry->ep, __entry->item, __entry->fd)
);

/* A waiter (waiters) or the pollers of the instance (pollers) are about to be woken. */
TRACE_EVENT(repoll_wake,
	TP_PROTO(u32 ep, u32 waiters, u32 pollers, u32 reason),
	TP_ARGS(ep, waiters, pollers, reason),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(u32, waiters)
		__field(u32, pollers)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->waiters = waiters;
		__entry->pollers = pollers;
		__entry->reason = reason;
	),
	TP_printk("ep=%u waiters=%u pollers=%u reason=%s",
		  __entry->ep, __entry->waiters, __entry->pollers,
		  __print_symbolic(__entry->reason,
				   { REPOLL_WAKE_EVENT, "event" },
				   { REPOLL_WAKE_LEFT, "left" },
				   { REPOLL_WAKE_RELEASE, "release" }))
);

/* A REPOLL_WAIT begins. timeout: in nanoseconds, negative for none. */
TRACE_EVENT(repoll_wait_enter,
	TP_PROTO(u32 ep, s32 maxevents, s64 timeout),
	TP_ARGS(ep, maxevents, timeout),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, maxevents)
		__field(s64, timeout)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->maxevents = maxevents;
		__entry->timeout = timeout;
	),
	TP_printk("ep=%u maxevents=%d timeout=%lld",
		  __entry->ep, __entry->maxevents, __entry->timeout)
);

/* A waiter is about to sleep. */
TRACE_EVENT(repoll_wait_sleep,
	TP_PROTO(u32 ep),
	TP_ARGS(ep),
	TP_STRUCT__entry(
		__field(u32, ep)
	),
	TP_fast_assign(
		__entry->ep = ep;
	),
	TP_printk("ep=%u",
		  __entry->ep)
);

/* A waiter is awake again. */
TRACE_EVENT(repoll_wait_wake,
	TP_PROTO(u32 ep, u32 reason),
	TP_ARGS(ep, reason),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->reason = reason;
	),
	TP_printk("ep=%u reason=%s",
		  __entry->ep,
		  __print_symbolic(__entry->reason,
				   { REPOLL_WOKEN_EVENT, "event" },
				   { REPOLL_WOKEN_TIMEOUT, "timeout" },
				   { REPOLL_WOKEN_SIGNAL, "signal" },
				   { REPOLL_WOKEN_NOTHING, "nothing" }))
);

/* A REPOLL_WAIT returns. ret: the number of delivered events, or a negative errno. */
TRACE_EVENT(repoll_wait_exit,
	TP_PROTO(u32 ep, s32 ret),
	TP_ARGS(ep, ret),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, ret)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->ret = ret;
	),
	TP_printk("ep=%u ret=%d",
		  __entry->ep, __entry->ret)
);

/* A scan of the ready queue begins, under the mutex of the instance. */
TRACE_EVENT(repoll_scan_begin,
	TP_PROTO(u32 ep, u32 by),
	TP_ARGS(ep, by),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(u32, by)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->by = by;
	),
	TP_printk("ep=%u by=%s",
		  __entry->ep,
		  __print_symbolic(__entry->by,
				   { REPOLL_SCAN_WAIT, "wait" },
				   { REPOLL_SCAN_POLL, "poll" }))
);

/* A scan has ended. taken: polled items; ready: items that had events. */
TRACE_EVENT(repoll_scan_end,
	TP_PROTO(u32 ep, u32 taken, u32 ready),
	TP_ARGS(ep, taken, ready),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(u32, taken)
		__field(u32, ready)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->taken = taken;
		__entry->ready = ready;
	),
	TP_printk("ep=%u taken=%u ready=%u",
		  __entry->ep, __entry->taken, __entry->ready)
);

/* An event was copied to the waiter. */
TRACE_EVENT(repoll_deliver,
	TP_PROTO(u32 ep, u64 item, s32 fd, u32 events, u64 data),
	TP_ARGS(ep, item, fd, events, data),
	TP_STRUCT__entry(
		__field(u32, ep)
		__field(s32, fd)
		__field(u64, item)
		__field(u32, events)
		__field(u64, data)
	),
	TP_fast_assign(
		__entry->ep = ep;
		__entry->item = item;
		__entry->fd = fd;
		__entry->events = events;
		__entry->data = data;
	),
	TP_printk("ep=%u item=%llu fd=%d events=0x%x data=0x%llx",
		  __entry->ep, __entry->item, __entry->fd, __entry->events, __entry->data)
);

/*
 * The event source, /dev/repoll-source. source numbers its open files.
 */
#define repoll_show_kind(k) __print_symbolic(k, \
	{ 0, "write" }, { 1, "timer" }, { 2, "frame" })

/* A message entered the queue. queued: the number of messages with it. */
TRACE_EVENT(repoll_source_arrive,
	TP_PROTO(u32 source, u32 kind, u64 message, u32 length, u32 queued),
	TP_ARGS(source, kind, message, length, queued),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, kind)
		__field(u64, message)
		__field(u32, length)
		__field(u32, queued)
		__field(u32, context)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->kind = kind;
		__entry->message = message;
		__entry->length = length;
		__entry->queued = queued;
		__entry->context = repoll_context();
	),
	TP_printk("source=%u kind=%s message=%llu length=%u queued=%u context=%s",
		  __entry->source, repoll_show_kind(__entry->kind),
		  __entry->message, __entry->length,
		  __entry->queued, repoll_show_context(__entry->context))
);

/* A reader took a message. queued: the number of messages that are left. */
TRACE_EVENT(repoll_source_take,
	TP_PROTO(u32 source, u32 queued, u64 message),
	TP_ARGS(source, queued, message),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, queued)
		__field(u64, message)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->queued = queued;
		__entry->message = message;
	),
	TP_printk("source=%u queued=%u message=%llu",
		  __entry->source, __entry->queued, __entry->message)
);

/* A message of a timer or an interface was dropped. */
TRACE_EVENT(repoll_source_drop,
	TP_PROTO(u32 source, u32 kind, u32 length, u32 reason),
	TP_ARGS(source, kind, length, reason),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, kind)
		__field(u32, length)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->kind = kind;
		__entry->length = length;
		__entry->reason = reason;
	),
	TP_printk("source=%u kind=%s length=%u reason=%s",
		  __entry->source, repoll_show_kind(__entry->kind), __entry->length,
		  __print_symbolic(__entry->reason,
				   { REPOLL_DROP_FULL, "full" },
				   { REPOLL_DROP_TOO_LONG, "too-long" },
				   { REPOLL_DROP_OTHER, "other" }))
);

/* A read or a write returns; a task goes to sleep in one of them. */
DECLARE_EVENT_CLASS(repoll_source_io,
	TP_PROTO(u32 source, u32 nonblock, s64 ret),
	TP_ARGS(source, nonblock, ret),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, nonblock)
		__field(s64, ret)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->nonblock = nonblock;
		__entry->ret = ret;
	),
	TP_printk("source=%u nonblock=%u ret=%lld",
		  __entry->source, __entry->nonblock, __entry->ret)
);

DEFINE_EVENT(repoll_source_io, repoll_source_read,
	TP_PROTO(u32 source, u32 nonblock, s64 ret),
	TP_ARGS(source, nonblock, ret)
);

DEFINE_EVENT(repoll_source_io, repoll_source_write,
	TP_PROTO(u32 source, u32 nonblock, s64 ret),
	TP_ARGS(source, nonblock, ret)
);

TRACE_EVENT(repoll_source_sleep,
	TP_PROTO(u32 source, u32 writer),
	TP_ARGS(source, writer),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, writer)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->writer = writer;
	),
	TP_printk("source=%u who=%s", __entry->source,
		  __print_symbolic(__entry->writer, { 0, "reader" }, { 1, "writer" }))
);

/* A source was polled, and returned these events. */
TRACE_EVENT(repoll_source_poll,
	TP_PROTO(u32 source, u32 events),
	TP_ARGS(source, events),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, events)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->events = events;
	),
	TP_printk("source=%u events=0x%x", __entry->source, __entry->events)
);

/* A source notifies its users: it wakes sleepers and pollers, and sends signals. */
TRACE_EVENT(repoll_source_wake,
	TP_PROTO(u32 source, u32 events, u32 sleepers, u32 pollers, u32 signal),
	TP_ARGS(source, events, sleepers, pollers, signal),
	TP_STRUCT__entry(
		__field(u32, source)
		__field(u32, events)
		__field(u32, sleepers)
		__field(u32, pollers)
		__field(u32, signal)
	),
	TP_fast_assign(
		__entry->source = source;
		__entry->events = events;
		__entry->sleepers = sleepers;
		__entry->pollers = pollers;
		__entry->signal = signal;
	),
	TP_printk("source=%u events=0x%x sleepers=%u pollers=%u signal=%u",
		  __entry->source, __entry->events, __entry->sleepers,
		  __entry->pollers, __entry->signal)
);

#define repoll_show_call(call) __print_symbolic(call, \
	{ REPOLL_CALL_SELECT, "select" }, { REPOLL_CALL_POLL, "poll" })

/*
 * A SELECT or POLL has read its sets or array. task: the pid of the calling task, also in
 * select_wake.
 */
TRACE_EVENT(repoll_select_setup,
	TP_PROTO(s32 task, u32 call, u32 nfds, u64 bytes_in, s64 timeout),
	TP_ARGS(task, call, nfds, bytes_in, timeout),
	TP_STRUCT__entry(
		__field(s32, task)
		__field(u32, call)
		__field(u32, nfds)
		__field(u64, bytes_in)
		__field(s64, timeout)
	),
	TP_fast_assign(
		__entry->task = task;
		__entry->call = call;
		__entry->nfds = nfds;
		__entry->bytes_in = bytes_in;
		__entry->timeout = timeout;
	),
	TP_printk("task=%d call=%s nfds=%u bytes_in=%llu timeout=%lld",
		  __entry->task, repoll_show_call(__entry->call), __entry->nfds,
		  __entry->bytes_in, __entry->timeout)
);

/* A file was polled. events: the requested ones; ready: the returned ones, requested or not. */
TRACE_EVENT(repoll_select_poll,
	TP_PROTO(s32 task, s32 fd, u32 events, u32 ready),
	TP_ARGS(task, fd, events, ready),
	TP_STRUCT__entry(
		__field(s32, task)
		__field(s32, fd)
		__field(u32, events)
		__field(u32, ready)
	),
	TP_fast_assign(
		__entry->task = task;
		__entry->fd = fd;
		__entry->events = events;
		__entry->ready = ready;
	),
	TP_printk("task=%d fd=%d events=0x%x ready=0x%x",
		  __entry->task, __entry->fd, __entry->events, __entry->ready)
);

/* All files were polled once. entries: the number of entries in wait queues. */
TRACE_EVENT(repoll_select_pass,
	TP_PROTO(s32 task, u32 pass, u32 polled, u32 entries, u32 ready),
	TP_ARGS(task, pass, polled, entries, ready),
	TP_STRUCT__entry(
		__field(s32, task)
		__field(u32, pass)
		__field(u32, polled)
		__field(u32, entries)
		__field(u32, ready)
	),
	TP_fast_assign(
		__entry->task = task;
		__entry->pass = pass;
		__entry->polled = polled;
		__entry->entries = entries;
		__entry->ready = ready;
	),
	TP_printk("task=%d pass=%u polled=%u entries=%u ready=%u",
		  __entry->task, __entry->pass, __entry->polled,
		  __entry->entries, __entry->ready)
);

/* wakeups: the number of earlier wake-ups. If another one came since, the call does not sleep. */
TRACE_EVENT(repoll_select_sleep,
	TP_PROTO(s32 task, u32 sleep, u32 wakeups),
	TP_ARGS(task, sleep, wakeups),
	TP_STRUCT__entry(
		__field(s32, task)
		__field(u32, sleep)
		__field(u32, wakeups)
	),
	TP_fast_assign(
		__entry->task = task;
		__entry->sleep = sleep;
		__entry->wakeups = wakeups;
	),
	TP_printk("task=%d sleep=%u wakeups=%u",
		  __entry->task, __entry->sleep, __entry->wakeups)
);

TRACE_EVENT(repoll_select_wake,
	TP_PROTO(s32 task, s32 fd, u32 key, u32 matched),
	TP_ARGS(task, fd, key, matched),
	TP_STRUCT__entry(
		__field(s32, task)
		__field(s32, fd)
		__field(u32, key)
		__field(u32, context)
		__field(u32, matched)
	),
	TP_fast_assign(
		__entry->task = task;
		__entry->fd = fd;
		__entry->key = key;
		__entry->context = repoll_context();
		__entry->matched = matched;
	),
	TP_printk("task=%d fd=%d key=0x%x context=%s matched=%u",
		  __entry->task, __entry->fd, __entry->key,
		  repoll_show_context(__entry->context), __entry->matched)
);

/* ret: the number of ready files, or a negative errno (-514: restarted, or EINTR). */
TRACE_EVENT(repoll_select_result,
	TP_PROTO(s32 task, u32 call, s32 ret, const struct repoll_counts *counts),
	TP_ARGS(task, call, ret, counts),
	TP_STRUCT__entry(
		__field(s32, task)
		__field(u32, call)
		__field(s32, ret)
		__field(u32, passes)
		__field(u64, polled)
		__field(u32, entries)
		__field(u32, wakeups)
		__field(u32, sleeps)
		__field(u64, bytes_in)
		__field(u64, bytes_out)
	),
	TP_fast_assign(
		__entry->task = task;
		__entry->call = call;
		__entry->ret = ret;
		__entry->passes = counts->passes;
		__entry->polled = counts->polled;
		__entry->entries = counts->added;
		__entry->wakeups = counts->wakeups;
		__entry->sleeps = counts->sleeps;
		__entry->bytes_in = counts->bytes_in;
		__entry->bytes_out = counts->bytes_out;
	),
	TP_printk("task=%d call=%s ret=%d passes=%u polled=%llu entries=%u wakeups=%u sleeps=%u bytes_in=%llu bytes_out=%llu",
		  __entry->task, repoll_show_call(__entry->call), __entry->ret,
		  __entry->passes, __entry->polled, __entry->entries,
		  __entry->wakeups, __entry->sleeps, __entry->bytes_in,
		  __entry->bytes_out)
);

#endif /* _REPOLL_TRACE_H */

#include <trace/define_trace.h>
