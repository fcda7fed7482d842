// SPDX-License-Identifier: GPL-2.0
// Describes each step in a sentence.

const micros = (ns) => (ns / 1000).toFixed(Math.abs(ns) < 1e6 ? 1 : 0);
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const errno = (ret) => (ret < 0 ? `error ${-ret}` : ret);
// Event bits for readers: without RDNORM and WRBAND, for example, beside IN and OUT.
function brief(events) {
  const all = words(events);
  const finer = (word) => (/^(RD|WR)(NORM|BAND)$/.test(word) && all.includes(word.startsWith("RD") ? "IN" : "OUT"));
  return all.filter((word) => !finer(word)).join(" ");
}
const found = (events) => brief(events) || "not ready";

const forKey = (key) => (key ? `for ${brief(key)}` : "events not specified");
const SENTENCES = new Map(Object.entries({
  irq_handler_entry: ({ has, cpu, comm }) => `Interrupt ${has.irq} (${has.name}) interrupts CPU ${cpu}, which runs ${comm}.`,
  hrtimer_expire_entry: ({ cpu }) => `A timer expires on CPU ${cpu}.`,
  softirq_entry: ({ has, cpu }) => `Softirq ${has.vec} begins on CPU ${cpu}: the work that the interrupt has deferred.`,
  napi_poll: ({ has }) => `The driver of ${has.dev_name} polls for packets.`,
  napi_gro_receive_entry: ({ has }) => `The driver of ${has.name} passes a packet to the network stack.`,
  netif_receive_skb: ({ has }) => `The protocols receive the packet: ${plural(has.len, "byte")} from ${has.name}.`,
  sk_data_ready: () => "The packet is in the socket's receive queue; the socket wakes its wait queue.",
  sched_waking: ({ has }) => `${has.comm} (${has.pid}) becomes runnable on CPU ${has.target_cpu}.`,
  sched_switch: ({ has, cpu }) => `CPU ${cpu} switches from ${has.prev_comm} (${has.prev_pid}) to ${has.next_comm} (${has.next_pid}).`,
  sock_recv_length: ({ has, comm }) => `${comm} reads ${plural(has.ret, "byte")}.`,
  net_dev_start_xmit: ({ has, comm }) => `${comm} sends ${plural(has.len, "byte")} through ${has.name}.`,

  create: ({ has }) => `Instance ${has.ep} is created.`,
  release: ({ has }) => `Instance ${has.ep} is closed for the last time.`,
  ctl: ({ has }) => `CTL ${has.op} of fd ${has.fd} returns ${errno(has.ret)}.`,
  add: ({ has }) => (has.target ? `Item ${has.item} watches fd ${has.fd}, which is instance ${has.target}.` : `Item ${has.item} watches fd ${has.fd}, by an entry in the file's wait queue.`),
  modify: ({ has }) => `The events of item ${has.item} are now ${has.events}.`,
  remove: ({ has }) => `Item ${has.item} is removed: ${has.reason}.`,
  limit: ({ has }) => `The limit "${has.limit}" is reached.`,
  callback: ({ has, context }) => {
    const then = {
      queued: "it is queued",
      "already-queued": "it is already queued",
      mismatch: "none of these events is of interest",
      disarmed: "it is disarmed, so the event is dropped",
    }[has.outcome] ?? has.outcome;
    return `The file's wait queue calls item ${has.item} (${forKey(has.key)}), in ${context === "task" ? "a task" : `a ${context}`}: ${then}.`;
  },
  callback_exit: ({ has }) => `The callback of item ${has.item} returns: ${has.woken ? "it woke a waiter" : "it woke no waiter"}${has.used ? ", so no other exclusive entry is called" : ""}.`,
  queue: ({ has }) => {
    const why = {
      callback: "its file's wait queue called it",
      add: "its file was ready when it was added",
      mod: "its file was ready when it was modified",
      level: "level-triggered, so the next WAIT polls it again",
      back: "the event could not be copied to the waiter",
    }[has.reason] ?? has.reason;
    return `Item ${has.item} enters the ready queue: ${why}.`;
  },
  wake: ({ has }) => {
    const who = [has.waiters ? "one waiter" : "", has.pollers ? "its pollers" : ""].filter((word) => word);
    return `Instance ${has.ep} wakes ${who.join(" and ")}.`;
  },
  wait_enter: ({ has, comm }) => `${comm} calls WAIT on instance ${has.ep}, for at most ${plural(has.maxevents, "event")}.`,
  wait_sleep: ({ has, comm }) => `Nothing is ready: ${comm} sleeps on instance ${has.ep}.`,
  wait_wake: ({ has, comm }) => `${comm} is awake: ${{ event: "the ready queue is not empty", timeout: "time-out", signal: "a signal", nothing: "another waiter has taken the event" }[has.reason] ?? has.reason}.`,
  scan_begin: ({ has, comm }) => `${comm} scans the ready queue of instance ${has.ep}${has.by === "poll" ? " for a poll, which takes no events" : ""}.`,
  poll: ({ has }) => `Fd ${has.fd} is polled for ${brief(has.events)}: ${found(has.ready)}.`,
  deliver: ({ has, comm }) => `${comm} gets the event: fd ${has.fd}, ${has.events}.`,
  disarm: ({ has }) => `ONESHOT: item ${has.item} is disarmed until MOD.`,
  scan_end: ({ has }) => `The scan ends: ${plural(has.taken, "item")} polled, ${has.ready} ready.`,
  wait_exit: ({ has, comm }) => `WAIT returns ${has.ret < 0 ? errno(has.ret) : plural(has.ret, "event")} to ${comm}.`,

  select_setup: ({ has, comm }) => `${comm} calls ${has.call} of ${has.call === "select" ? "up to " : ""}${plural(has.nfds, "descriptor")}: ${plural(has.bytes_in, "byte")} copied in.`,
  select_poll: ({ has }) => `Fd ${has.fd} is polled: ${found(has.ready)}.`,
  select_pass: ({ has }) => `Pass ${has.pass} ends: ${plural(has.polled, "file")} polled, ${has.ready} ready; ${has.entries} ${has.entries === 1 ? "entry" : "entries"} in wait queues.`,
  select_sleep: ({ comm }) => `Nothing is ready: ${comm} sleeps, with an entry in the wait queue of each file.`,
  select_wake: ({ has }) => `The wait queue of fd ${has.fd} calls the entry of task ${has.task} (${forKey(has.key)})${has.matched ? ", which wakes it" : ", which ignores these events"}.`,
  select_result: ({ has, comm }) => `The call removes its entries and returns ${has.ret < 0 ? errno(has.ret) : `${has.ret} ready`} to ${comm} after ${has.passes === 1 ? "one pass" : `${has.passes} passes`}: ${plural(has.polled, "poll")}, ${plural(has.bytes_out, "byte")} copied out.`,

  source_arrive: ({ has }) => `A message of ${plural(has.length, "byte")} (${has.kind}) enters the queue of source ${has.source}, which now has ${has.queued}.`,
  source_drop: ({ has }) => `Source ${has.source} drops a message of ${plural(has.length, "byte")}: ${has.reason}.`,
  source_read: ({ has, comm }) => `${comm} reads from source ${has.source}: ${has.ret < 0 ? errno(has.ret) : plural(has.ret, "byte")}.`,
  source_write: ({ has, comm }) => `${comm} writes to source ${has.source}: ${has.ret < 0 ? errno(has.ret) : plural(has.ret, "byte")}.`,
  source_sleep: ({ has, comm }) => `${comm} sleeps on source ${has.source}.`,
  source_poll: ({ has }) => `Source ${has.source} is polled: ${found(has.events)}.`,
  source_wake: ({ has }) => `Source ${has.source} wakes its wait queue for ${has.events}.`,
}));

// The sentence of a step; empty for an event without one.
function inWords(step) {
  const call = /^sys_(enter|exit)_(.*)$/.exec(step.event);
  if (call) {
    const fd = step.has.fd ?? step.has.ufd;
    const on = fd === undefined || fd === null ? "" : ` on fd ${fd}`;
    return call[1] === "enter" ? `${step.comm} calls ${call[2]}${on}.` : `${call[2]} returns ${errno(step.has.ret)} to ${step.comm}.`;
  }
  return SENTENCES.get(step.event)?.(step) ?? "";
}

// The fields of the record.
const inFields = ({ has }) =>
  Object.entries(has).filter(([, value]) => value !== null && value !== "").map(([name, value]) => `${name} ${value}`).join(", ");
