// SPDX-License-Identifier: GPL-2.0
// What a step means, in a sentence.

const micros = (ns) => (ns / 1000).toFixed(Math.abs(ns) < 1e6 ? 1 : 0);
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const errno = (ret) => (ret < 0 ? `error ${-ret}` : ret);
// Event bits as readers know them: without the finer names of what is there anyway.
function brief(events) {
  const all = words(events);
  const finer = (word) => (/^(RD|WR)(NORM|BAND)$/.test(word) && all.includes(word.startsWith("RD") ? "IN" : "OUT"));
  return all.filter((word) => !finer(word)).join(" ");
}
const says = (events) => brief(events) || "that nothing is ready";

const forKey = (key) => (key ? `for ${brief(key)}` : "it does not say what for");
const SENTENCES = new Map(Object.entries({
  irq_handler_entry: ({ has, cpu, comm }) => `Interrupt ${has.irq} (${has.name}) stops CPU ${cpu}, where ${comm} is.`,
  hrtimer_expire_entry: ({ cpu }) => `A timer expires on CPU ${cpu}.`,
  softirq_entry: ({ has, cpu }) => `The softirq ${has.vec} begins on CPU ${cpu}: the work that the interrupt has left for later.`,
  napi_poll: ({ has }) => `The driver of ${has.dev_name} looks for packets.`,
  napi_gro_receive_entry: ({ has }) => `The driver of ${has.name} hands a packet to the network stack.`,
  netif_receive_skb: ({ has }) => `The protocols get the packet: ${plural(has.len, "byte")} from ${has.name}.`,
  sk_data_ready: () => "The packet is in the socket's receive queue: the socket calls its wait queue.",
  sched_waking: ({ has }) => `${has.comm} (${has.pid}) is to run, on CPU ${has.target_cpu}.`,
  sched_switch: ({ has, cpu }) => `CPU ${cpu} goes from ${has.prev_comm} (${has.prev_pid}) to ${has.next_comm} (${has.next_pid}).`,
  sock_recv_length: ({ has, comm }) => `${comm} reads ${plural(has.ret, "byte")}.`,
  net_dev_start_xmit: ({ has, comm }) => `${comm} sends ${plural(has.len, "byte")} through ${has.name}.`,

  create: ({ has }) => `Instance ${has.ep} is made.`,
  release: ({ has }) => `Instance ${has.ep} is closed for the last time.`,
  ctl: ({ has }) => `CTL ${has.op} of fd ${has.fd} returns ${errno(has.ret)}.`,
  add: ({ has }) => (has.target ? `Item ${has.item} watches fd ${has.fd}, which is instance ${has.target}.` : `Item ${has.item} watches fd ${has.fd}: its entry is in the file's wait queue.`),
  modify: ({ has }) => `Of item ${has.item} something else is wanted: ${has.events}.`,
  remove: ({ has }) => `Item ${has.item} is gone: ${has.reason}.`,
  limit: ({ has }) => `The limit ${has.limit} is hit.`,
  callback: ({ has, context }) => {
    const then = {
      queued: "it enters the ready queue",
      "already-queued": "it is in the ready queue already",
      mismatch: "nothing of that is wanted: no more happens",
      disarmed: "it is disarmed: the event is thrown away",
    }[has.outcome] ?? has.outcome;
    return `The file's wait queue calls item ${has.item} (${forKey(has.key)}), in ${context === "task" ? "a task" : `a ${context}`}: ${then}.`;
  },
  callback_exit: ({ has }) => `The callback of item ${has.item} returns: ${has.woken ? "it has woken someone" : "nobody was woken"}${has.used ? ", so no other exclusive watcher is called" : ""}.`,
  queue: ({ has }) => {
    const why = {
      callback: "its file has called",
      add: "its file was ready when it was added",
      mod: "its file was ready when it was modified",
      level: "level-triggered, so the next WAIT looks again",
      back: "it could not be copied to the waiter",
    }[has.reason] ?? has.reason;
    return `Item ${has.item} enters the ready queue: ${why}.`;
  },
  wake: ({ has }) => {
    const who = [has.waiters ? "one waiter" : "", has.pollers ? "those who poll it" : ""].filter((word) => word);
    return `Instance ${has.ep} wakes ${who.join(" and ")}.`;
  },
  wait_enter: ({ has, comm }) => `${comm} calls WAIT on instance ${has.ep}, for ${plural(has.maxevents, "event")} at the most.`,
  wait_sleep: ({ has, comm }) => `Nothing is ready: ${comm} goes to sleep on instance ${has.ep}.`,
  wait_wake: ({ has, comm }) => `${comm} is awake: ${{ event: "the ready queue is not empty", timeout: "the time is over", signal: "a signal", nothing: "but another waiter was quicker" }[has.reason] ?? has.reason}.`,
  scan_begin: ({ has, comm }) => `${comm} goes through the ready queue of instance ${has.ep}${has.by === "poll" ? ", only to ask" : ""}.`,
  poll: ({ has }) => `Fd ${has.fd} is asked for ${brief(has.events)}: it says ${says(has.ready)}.`,
  deliver: ({ has, comm }) => `${comm} gets the event: fd ${has.fd}, ${has.events}.`,
  disarm: ({ has }) => `ONESHOT: item ${has.item} is disarmed until MOD.`,
  scan_end: ({ has }) => `The pass is over: ${plural(has.taken, "item")} asked, ${has.ready} ready.`,
  wait_exit: ({ has, comm }) => `WAIT returns ${has.ret < 0 ? errno(has.ret) : plural(has.ret, "event")} to ${comm}.`,

  select_setup: ({ has, comm }) => `${comm} calls ${has.call}: ${plural(has.bytes_in, "byte")} of list are copied in, ${plural(has.nfds, "descriptor")}${has.call === "select" ? " at the most" : ""}.`,
  select_poll: ({ has }) => `Fd ${has.fd} is asked: it says ${says(has.ready)}.`,
  select_pass: ({ has }) => `Pass ${has.pass} is over: ${plural(has.polled, "file")} asked, ${has.ready} ready; ${plural(has.entries, "entry").replace("entrys", "entries")} in wait queues.`,
  select_sleep: ({ comm }) => `Nothing is ready: ${comm} goes to sleep, with an entry in the wait queue of each file.`,
  select_wake: ({ has }) => `The wait queue of fd ${has.fd} calls the entry of task ${has.task} (${forKey(has.key)})${has.matched ? ": it is woken" : ": not what it wants"}.`,
  select_result: ({ has, comm }) => `All entries are removed; ${comm} gets ${has.ret < 0 ? errno(has.ret) : `${has.ret} ready`} after ${has.passes === 1 ? "one pass" : `${has.passes} passes`}: ${plural(has.polled, "file")} asked, ${plural(has.bytes_out, "byte")} copied out.`,

  source_arrive: ({ has }) => `A message of ${plural(has.length, "byte")} enters the queue of source ${has.source} (${has.kind}): ${has.queued} are there now.`,
  source_drop: ({ has }) => `Source ${has.source} drops a message of ${plural(has.length, "byte")}: ${has.reason}.`,
  source_read: ({ has, comm }) => `${comm} reads from source ${has.source}: ${has.ret < 0 ? errno(has.ret) : plural(has.ret, "byte")}.`,
  source_write: ({ has, comm }) => `${comm} writes to source ${has.source}: ${has.ret < 0 ? errno(has.ret) : plural(has.ret, "byte")}.`,
  source_sleep: ({ has, comm }) => `${comm} goes to sleep on source ${has.source}.`,
  source_poll: ({ has }) => `Source ${has.source} is asked: it says ${says(has.events)}.`,
  source_wake: ({ has }) => `Source ${has.source} tells of ${has.events}.`,
}));

// The event's name, and what happened, in words.
function inWords(step) {
  const call = /^sys_(enter|exit)_(.*)$/.exec(step.event);
  if (call) {
    const fd = step.has.fd ?? step.has.ufd;
    const on = fd === undefined || fd === null ? "" : ` on fd ${fd}`;
    return call[1] === "enter" ? `${step.comm} calls ${call[2]}${on}.` : `${call[2]} returns ${errno(step.has.ret)} to ${step.comm}.`;
  }
  return SENTENCES.get(step.event)?.(step) ?? "";
}

// The fields as they were recorded.
const inFields = ({ has }) =>
  Object.entries(has).filter(([, value]) => value !== null && value !== "").map(([name, value]) => `${name} ${value}`).join(", ");
