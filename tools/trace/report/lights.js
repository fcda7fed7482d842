// SPDX-License-Identifier: GPL-2.0
// The objects and arrows that a step lights, and the objects that the steps nearby name.

// The keys of the picture's objects.
const keyOf = {
  station: (station) => `station ${station}`,
  file: (file) => `file ${file}`,
  entry: (entry) => (entry.task === undefined ? `entry ${entry.item}` : `entry of ${entry.task} fd ${entry.fd}`),
  item: (item) => `item ${item}`,
  instance: (ep) => `instance ${ep}`,
  queue: (ep) => `queue ${ep}`,
  ready: (item) => `ready ${item}`,
  waiters: (ep) => `waiters ${ep}`,
  thread: (pid) => `thread ${pid}`,
  call: (task) => `call ${task}`,
  cell: (task, fd) => `cell ${task} ${fd}`,
  cpu: (cpu) => `cpu ${cpu}`,
  token: (number) => `token ${number}`,
  source: (number) => `source ${number}`,
};

// For each event: the objects that it lights, and its arrows as pairs of keys.
const { station: atStation, thread: atThread, queue: atQueue } = keyOf;
const entryOf = ({ has }) => keyOf.entry({ item: has.item });
const fileNow = (state, { has }) => keyOf.file(state.instances.get(has.ep)?.items.get(has.item)?.file);
const station = (name) => () => ({ lit: [atStation(name)] });
const instance = (state, { has }) => ({ lit: [keyOf.instance(has.ep)] });
const inWait = (state, { has, pid }) => ({ lit: [atThread(pid), keyOf.waiters(has.ep)] });
const itemAlone = (state, step) => ({ lit: [keyOf.item(step.has.item), entryOf(step)] });
const inCall = (state, { has, pid }) => ({ lit: [keyOf.call(has.task), atThread(pid)] });
// The caller of an item: the file at the end of the way, or the watched instance.
const caller = (state, { has }) => {
  const target = state.instances.get(has.ep)?.items.get(has.item)?.target;
  return target ? keyOf.instance(target) : atStation("file");
};

const LIGHTS = new Map(Object.entries({
  irq_handler_entry: station("hardirq"),
  hrtimer_expire_entry: station("timer"),
  softirq_entry: station("softirq"),
  napi_poll: station("driver"),
  napi_gro_receive_entry: station("driver"),
  netif_receive_skb: station("protocol"),
  sk_data_ready: station("file"),
  sched_waking: (state, { has }) => ({ lit: [atThread(has.pid)], arrows: [[atThread(has.pid), keyOf.cpu(has.target_cpu)]] }),
  sched_switch: (state, { has }) => ({ lit: [atThread(has.next_pid), atThread(has.prev_pid)] }),
  sock_recv_length: (state, { pid }, file) => ({ lit: [atThread(pid), file], arrows: [[file, atThread(pid)]] }),
  net_dev_start_xmit: (state, { pid }) => ({ lit: [atStation("nic"), atThread(pid)], arrows: [[atThread(pid), atStation("nic")]] }),

  create: instance, release: instance, ctl: instance, limit: instance,
  add: itemAlone, modify: itemAlone, disarm: itemAlone,
  remove: instance,
  callback: (state, step) => ({ lit: [entryOf(step), fileNow(state, step)], arrows: [[caller(state, step), entryOf(step)], [entryOf(step), keyOf.item(step.has.item)]] }),
  callback_exit: (state, step) => ({ lit: [entryOf(step)] }),
  queue: (state, step) => {
    const { item, reason } = step.has;
    return { lit: [keyOf.ready(item)], arrows: [[reason === "callback" ? entryOf(step) : keyOf.item(item), keyOf.ready(item)]] };
  },
  wake: (state, { has }) => {
    // The pollers of an instance include the items that watch it.
    const outer = [...state.instances.values()].flatMap((one) => [...one.items.values()]).filter((item) => item.target === has.ep);
    return {
      lit: [has.waiters ? keyOf.waiters(has.ep) : keyOf.instance(has.ep)],
      arrows: [...(has.waiters ? [[atQueue(has.ep), keyOf.waiters(has.ep)]] : []), ...(has.pollers ? outer.map((item) => [keyOf.instance(has.ep), keyOf.entry(item)]) : [])],
    };
  },
  wait_enter: inWait, wait_sleep: inWait, wait_wake: inWait,
  scan_begin: (state, { has, pid }) => ({ lit: [atQueue(has.ep)], arrows: [[atThread(pid), atQueue(has.ep)]] }),
  scan_end: (state, { has }) => ({ lit: [atQueue(has.ep)] }),
  poll: (state, step) => ({ lit: [keyOf.item(step.has.item), fileNow(state, step)], arrows: [[keyOf.item(step.has.item), fileNow(state, step)]] }),
  deliver: (state, { has, pid }) => ({ lit: [keyOf.ready(has.item), atThread(pid)], arrows: [[keyOf.ready(has.item), atThread(pid)]] }),
  wait_exit: (state, { has, pid }) => ({ lit: [atThread(pid)], arrows: [[keyOf.waiters(has.ep), atThread(pid)]] }),

  select_setup: (state, { has, pid }) => ({ lit: [keyOf.call(has.task), atThread(pid)], arrows: [[atThread(pid), keyOf.call(has.task)]] }),
  select_poll: (state, { has }) => {
    const [cell, file] = [keyOf.cell(has.task, has.fd), keyOf.file(fileOfCall(has.task, has.fd))];
    return { lit: [cell, file], arrows: [[cell, file]] };
  },
  select_pass: inCall, select_sleep: inCall,
  select_wake: (state, step) => {
    const { task, fd } = step.has;
    const entry = keyOf.entry({ task, fd });
    return { lit: [entry, keyOf.file(fileOfCall(task, fd)), atThread(task)], arrows: [[atStation("file"), entry], [entry, keyOf.cell(task, fd)]] };
  },
  select_result: (state, { has, pid }) => ({ lit: [keyOf.call(has.task), atThread(pid)], arrows: [[keyOf.call(has.task), atThread(pid)]] }),

  source_arrive: (state, { has }) => ({ lit: [keyOf.source(has.source), atStation("file")], arrows: [[atStation("file"), keyOf.source(has.source)]] }),
  source_drop: (state, { has }) => ({ lit: [keyOf.source(has.source)] }),
  source_read: (state, { has, pid }) => ({ lit: [keyOf.source(has.source), atThread(pid)], arrows: [[keyOf.source(has.source), atThread(pid)]] }),
  source_write: (state, { has, pid }) => ({ lit: [keyOf.source(has.source), atThread(pid)], arrows: [[atThread(pid), keyOf.source(has.source)]] }),
  source_sleep: (state, { has, pid }) => ({ lit: [keyOf.source(has.source), atThread(pid)] }),
  source_poll: (state, { has }) => ({ lit: [keyOf.source(has.source)] }),
  source_wake: (state, { has }) => ({ lit: [keyOf.source(has.source)] }),
}));

// The objects and arrows of a step, in the state after it. `file` is the file of the step's story,
// for the kernel's records.
function lights(state, step, file) {
  const of = LIGHTS.get(step.event)?.(state, step, keyOf.file(file)) ?? {};
  if (step.event.startsWith("sys_enter_")) {
    of.lit = [atThread(step.pid)];
    if (step.line === "system call") of.lit.push(atStation("syscall"));
    if (step.line === "use") Object.assign(of, { lit: [atThread(step.pid), keyOf.file(file)], arrows: [[keyOf.file(file), atThread(step.pid)]] });
  }
  return { lit: new Set(of.lit), arrows: of.arrows ?? [] };
}

// The objects that the steps nearby name, with their distance: these are shown first.
function nearby(steps, now) {
  const near = new Map();
  const note = (step, distance) => {
    const { has } = step;
    const keys = [keyOf.cpu(step.cpu), keyOf.thread(step.pid)];
    if (has.item !== undefined) keys.push(keyOf.item(has.item));
    if (has.ep !== undefined) keys.push(keyOf.instance(has.ep));
    if (has.task !== undefined) keys.push(keyOf.call(has.task), keyOf.file(fileOfCall(has.task, has.fd)));
    if (has.source !== undefined) keys.push(keyOf.source(has.source));
    for (const key of keys) near.set(key, Math.min(distance, near.get(key) ?? distance));
  };
  // In blocks of steps, so that the choice does not change at each step.
  const block = 40 * Math.floor(now / 40);
  for (const step of steps.slice(Math.max(0, block - 20), block + 60)) note(step, 1);
  note(steps[now], 0);
  return near;
}

// Chooses at most `most` of a list, the nearest first, and keeps the list's order. Also returns the
// number left out.
function choose(list, most, distance) {
  if (list.length <= most) return { shown: list, more: 0 };
  const by = list.map((one, at) => ({ one, at, distance: distance(one) ?? 2 }));
  by.sort((a, b) => a.distance - b.distance || a.at - b.at);
  const shown = by.slice(0, most).sort((a, b) => a.at - b.at).map(({ one }) => one);
  return { shown, more: list.length - most };
}
