// SPDX-License-Identifier: GPL-2.0 The state of all objects, and the changes that each record makes
// to it. It does not depend on the page.
//
// Names and numbers come from an untrusted file: they are keys of Maps, never names of properties.

// The recording's steps, from its rows.
function stepsOf({ steps: { kinds, threads, rows }, stories }) {
  const steps = rows.map((row, at) => {
    const { event, own, fields } = kinds[row[0]];
    const [comm, pid] = threads[row[4]];
    const has = Object.create(null);
    fields.forEach((field, number) => { has[field] = row[6 + number]; });
    return { at, event, own, time: row[1], cpu: row[2], context: row[3], comm, pid, story: row[5], has };
  });
  // The step's name in its story.
  for (const story of stories) for (const line of story.steps) steps[line.at].line ??= line.name;
  return steps;
}

// The subject of a story: the item, or the file of a call, that its first record of repoll names.
function aboutOf(story, steps) {
  const named = story.steps.map((line) => steps[line.at].has).find((has) => has.item !== undefined || (has.task !== undefined && has.fd !== undefined));
  return named && { item: named.item, task: named.task, fd: named.fd };
}

// The state before the first step: empty, since objects appear when a record names them.
function beginning() {
  return {
    cpus: new Map(),
    threads: new Map(),
    files: new Map(),
    instances: new Map(),
    calls: new Map(),
    sources: new Map(),
    // The way of an event to its file: the stations passed, and the CPU with its current thread.
    way: { cpu: null, name: "", pid: 0, seen: [], token: null },
    // The data in transit, with their places.
    tokens: new Map(),
    born: 0,
    asked: null,
  };
}

function known(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

function leave(list, what) {
  const at = list.indexOf(what);
  if (at >= 0) list.splice(at, 1);
}

const threadOf = (state, pid, name) => {
  const thread = known(state.threads, pid, () => ({ pid, name, doing: "", on: null, asleep: false, woken: false, events: [] }));
  if (name) thread.name = name;
  return thread;
};
const instanceOf = (state, ep) =>
  known(state.instances, ep, () => ({ ep, items: new Map(), ready: [], hand: null, waiters: [], scanning: null, closed: false }));
const sourceOf = (state, number) =>
  known(state.sources, number, () => ({ number, queue: [], readers: [], writers: [], drops: 0 }));
const fileOf = (state, key, fd) => {
  const file = known(state.files, key, () => ({ key, fds: [], entries: [], says: null, source: null }));
  if (!file.fds.includes(fd)) file.fds.push(fd);
  return file;
};

function itemOf(state, { has }) {
  const instance = instanceOf(state, has.ep);
  const item = known(instance.items, has.item, () => ({
    item: has.item, ep: has.ep, fd: has.fd, file: null, events: null, armed: true, target: 0,
  }));
  if (item.file === null) watch(state, item, `item ${has.item}`);
  return item;
}

// Moves an item's entry into a file's wait queue.
function watch(state, item, key) {
  unwatch(state, item);
  item.file = key;
  fileOf(state, key, item.fd).entries.push({ item: item.item, ep: item.ep });
}

function unwatch(state, item) {
  const file = state.files.get(item.file);
  if (!file) return;
  file.entries = file.entries.filter((entry) => entry.item !== item.item);
  if (file.entries.length === 0) forget(state, item.file);
}

function forget(state, key) {
  state.files.delete(key);
  removeTokens(state, "file", key);
}

function callOf(state, { has, pid, comm }) {
  return known(state.calls, has.task ?? pid, () => ({
    task: has.task ?? pid, name: comm, call: "?", nfds: null, pass: 1, passed: false, list: new Map(), entries: 0, polled: 0,
    wakeups: 0, sleeps: 0, found: false, once: false, ret: null,
  }));
}

const fileOfCall = (task, fd) => `task ${task} fd ${fd}`;

// A poll of a file. A poll of the source just before, in the same thread, says that the file is
// that source.
function said(state, step, file) {
  file.says = step.has.ready;
  if (state.asked && state.asked.pid === step.pid) file.source = state.asked.source;
  state.asked = null;
  if (!words(file.says).includes("IN")) removeTokens(state, "file", file.key);
}

const words = (text) => (text ? text.split(" ") : []);

function removeTokens(state, place, key) {
  for (const [number, token] of state.tokens) {
    if (token.place === place && token.key === key) state.tokens.delete(number);
  }
}

// The way reaches a station; a new way begins if `begins` is set or the old one is over.
function pass(state, step, station, text, begins) {
  const { way } = state;
  if (begins || way.cpu !== step.cpu || way.over) {
    state.way = { cpu: step.cpu, name: step.comm, pid: step.pid, seen: [], token: ++state.born, over: false };
  }
  const seen = state.way.seen.filter((one) => one.station !== station);
  state.way.seen = [...seen, { station, text }];
  if (state.way.token !== null) state.tokens.set(state.way.token, { place: "station", key: station });
}

// A file wakes its wait queue. Without records of the way there, the context says where it began.
function reach(state, step) {
  if (state.way.cpu !== step.cpu || state.way.over) {
    state.way = { cpu: step.cpu, name: step.comm, pid: step.pid, seen: [], token: null, over: false };
    pass(state, step, { task: "syscall", softirq: "softirq" }[step.context] ?? "hardirq", "");
  }
  if (!isPassed(state, "file")) pass(state, step, "file", "");
}

// The wake-up is over, and so is its way.
function end(state, { cpu }) {
  const { way } = state;
  if (way.cpu !== cpu) return;
  way.over = true;
  if (state.tokens.get(way.token)?.place === "station") state.tokens.delete(way.token);
}

// Data arrive at a file: the token of the way, or a new one if that has arrived already.
function arrive(state, step, key) {
  const { way } = state;
  const number = state.tokens.get(way.token)?.place === "station" ? way.token : ++state.born;
  state.tokens.set(number, { place: "file", key });
}

const sleeps = (thread, doing, on) => Object.assign(thread, { asleep: true, woken: false, doing, on });
const wakes = (thread, doing) => Object.assign(thread, { asleep: false, woken: false, doing });

// The change that each event makes.
const changes = new Map(Object.entries({
  irq_handler_entry: (state, step) => {
    const nic = /-(in|out)put\./.test(step.has.name ?? "");
    if (nic) pass(state, step, "nic", "", true);
    pass(state, step, "hardirq", `irq ${step.has.irq}`, !nic);
  },
  hrtimer_expire_entry: (state, step) => {
    pass(state, step, "timer", "", true);
    pass(state, step, "hardirq", "timer");
  },
  softirq_entry: (state, step) => { pass(state, step, "softirq", step.has.vec, !isPassed(state, "hardirq")); },
  napi_poll: (state, step) => pass(state, step, "driver", "NAPI"),
  napi_gro_receive_entry: (state, step) => pass(state, step, "driver", step.has.name),
  netif_receive_skb: (state, step) => pass(state, step, "protocol", step.has.name === "lo" ? "loopback" : `${step.has.len} bytes`),
  sk_data_ready: (state, step) => pass(state, step, "file", "socket"),
  net_dev_start_xmit: (state, step) => {
    for (const [number, token] of state.tokens) {
      if (token.place === "thread" && token.key === step.pid) state.tokens.set(number, { place: "station", key: "nic" });
    }
    threadOf(state, step.pid, step.comm).doing = `sends ${step.has.len} bytes`;
    state.way = { cpu: step.cpu, name: step.comm, pid: step.pid, seen: [{ station: "nic", text: "sends" }], token: null, over: true };
  },
  sock_recv_length: (state, step) => {
    threadOf(state, step.pid, step.comm).doing = `reads ${step.has.ret} bytes`;
  },
  sched_waking: (state, step) => {
    const thread = state.threads.get(step.has.pid);
    if (thread?.asleep) Object.assign(thread, { woken: true, target: step.has.target_cpu });
  },
  sched_switch: (state, step) => {
    const next = threadOf(state, step.has.next_pid, step.has.next_comm);
    if (next.asleep) wakes(next, next.doing);
  },

  create: (state, step) => { instanceOf(state, step.has.ep); },
  release: (state, step) => { instanceOf(state, step.has.ep).closed = true; },
  add: (state, step) => {
    const { has } = step;
    const item = itemOf(state, step);
    item.events = has.events;
    item.target = has.target ?? 0;
    if (has.file) watch(state, item, has.file);
    state.files.get(item.file).target = item.target;
  },
  modify: (state, step) => { Object.assign(itemOf(state, step), { armed: true, events: step.has.events }); },
  remove: (state, step) => {
    const instance = instanceOf(state, step.has.ep);
    unwatch(state, itemOf(state, step));
    leave(instance.ready, step.has.item);
    if (instance.hand === step.has.item) instance.hand = null;
    instance.items.delete(step.has.item);
  },
  callback: (state, step) => {
    const item = itemOf(state, step);
    reach(state, step);
    const keys = words(step.has.key);
    // An event of an instance is no data.
    if (!item.target && state.files.get(item.file).source === null && (keys.includes("IN") || (keys.length === 0 && step.has.outcome === "queued"))) arrive(state, step, item.file);
  },
  callback_exit: (state, step) => { end(state, step); },
  queue: (state, step) => {
    itemOf(state, step);
    const instance = instanceOf(state, step.has.ep);
    if (instance.hand === step.has.item) instance.hand = null;
    if (instance.ready.includes(step.has.item)) return;
    if (step.has.reason === "back") instance.ready.unshift(step.has.item);
    else instance.ready.push(step.has.item);
  },
  poll: (state, step) => {
    const item = itemOf(state, step);
    const instance = instanceOf(state, step.has.ep);
    said(state, step, state.files.get(item.file));
    // ADD and MOD also poll, outside a scan: the item stays where it is.
    if (!instance.scanning) return;
    leave(instance.ready, step.has.item);
    const wanted = words(step.has.events);
    const isReady = words(step.has.ready).some((word) => wanted.includes(word));
    // A poll of the instance puts a ready item back.
    if (instance.scanning === "poll" && isReady) instance.ready.unshift(step.has.item);
    instance.hand = instance.scanning === "wait" && isReady ? step.has.item : null;
  },
  deliver: (state, step) => { threadOf(state, step.pid, step.comm).events.push({ fd: step.has.fd, item: step.has.item, events: step.has.events }); },
  disarm: (state, step) => { itemOf(state, step).armed = false; },
  scan_begin: (state, step) => { instanceOf(state, step.has.ep).scanning = step.has.by; },
  scan_end: (state, step) => { Object.assign(instanceOf(state, step.has.ep), { scanning: null, hand: null }); },
  wait_enter: (state, step) => {
    const { waiters } = instanceOf(state, step.has.ep);
    leave(waiters, step.pid);
    waiters.push(step.pid);
    const thread = threadOf(state, step.pid, step.comm);
    Object.assign(thread, { doing: "WAIT", on: { ep: step.has.ep }, events: [] });
    removeTokens(state, "thread", step.pid);
  },
  wait_sleep: (state, step) => { sleeps(threadOf(state, step.pid, step.comm), "WAIT", { ep: step.has.ep }); },
  wait_wake: (state, step) => { wakes(threadOf(state, step.pid, step.comm), "WAIT"); },
  wait_exit: (state, step) => {
    leave(instanceOf(state, step.has.ep).waiters, step.pid);
    Object.assign(wakes(threadOf(state, step.pid, step.comm), "has the events"), { on: null });
  },

  select_setup: (state, step) => {
    const { has } = step;
    const call = callOf(state, step);
    // The files of the last call stay until the first pass of this one.
    for (const one of call.list.values()) Object.assign(one, { asked: 0, ready: "", entry: false });
    Object.assign(call, {
      name: step.comm, call: has.call, nfds: has.nfds, pass: 1, passed: false, entries: 0, polled: 0, wakeups: 0, sleeps: 0, found: false,
      once: has.timeout === 0, ret: null,
    });
    const thread = threadOf(state, call.task, step.comm);
    Object.assign(thread, { doing: String(has.call).toUpperCase(), on: { task: call.task }, events: [] });
    removeTokens(state, "thread", step.pid);
  },
  select_poll: (state, step) => {
    const { has } = step;
    const call = callOf(state, step);
    if (call.passed) Object.assign(call, { pass: call.pass + 1, passed: false });
    const one = known(call.list, has.fd, () => ({ fd: has.fd, entry: false }));
    const file = fileOf(state, fileOfCall(call.task, has.fd), has.fd);
    // The first pass of a call that may sleep adds an entry to each wait queue, up to the first
    // ready file's.
    if (call.pass === 1 && !call.found && !call.once && !one.entry) {
      one.entry = true;
      call.entries += 1;
      if (!file.entries.some((entry) => entry.task === call.task)) file.entries.push({ task: call.task, fd: has.fd });
    }
    Object.assign(one, { events: has.events, ready: has.ready, asked: call.pass });
    call.polled += 1;
    const wanted = words(has.events);
    one.found = words(has.ready).some((word) => wanted.includes(word));
    call.found ||= one.found;
    said(state, step, file);
  },
  select_pass: (state, step) => {
    const call = callOf(state, step);
    if (call.pass === 1) {
      for (const [fd, one] of call.list) {
        if (one.asked !== 0) continue;
        call.list.delete(fd);
        forget(state, fileOfCall(call.task, fd));
      }
    }
    Object.assign(call, { entries: step.has.entries, pass: step.has.pass, passed: true });
  },
  select_sleep: (state, step) => {
    const call = callOf(state, step);
    call.sleeps = step.has.sleep;
    sleeps(threadOf(state, call.task, step.comm), String(call.call).toUpperCase(), { task: call.task });
  },
  select_wake: (state, step) => {
    const call = callOf(state, step);
    call.wakeups += step.has.matched ? 1 : 0;
    const key = fileOfCall(call.task, step.has.fd);
    reach(state, step);
    if (state.files.get(key)?.source === null && step.has.matched) arrive(state, step, key);
    end(state, step);
  },
  select_result: (state, step) => {
    const call = callOf(state, step);
    for (const one of call.list.values()) {
      one.entry = false;
      const file = state.files.get(fileOfCall(call.task, one.fd));
      if (file) file.entries = file.entries.filter((entry) => entry.task !== call.task);
    }
    Object.assign(call, { ret: step.has.ret, entries: 0, pass: step.has.passes, polled: step.has.polled, wakeups: step.has.wakeups });
    Object.assign(wakes(threadOf(state, call.task, step.comm), "has the result"), { on: null });
  },

  source_arrive: (state, step) => {
    const { has } = step;
    const station = { timer: "timer", frame: "nic" }[has.kind] ?? "syscall";
    if (!isPassed(state, station) || state.way.cpu !== step.cpu) pass(state, step, station, "", true);
    pass(state, step, "file", `source ${has.source}`);
    // Add the message, and unknown ones that were queued before the recording.
    const source = sourceOf(state, has.source);
    source.queue.push(state.way.token);
    state.tokens.delete(state.way.token);
    state.way.token = null;
    while (source.queue.length < has.queued) source.queue.unshift(null);
    source.queue = source.queue.slice(-has.queued);
  },
  source_drop: (state, step) => { sourceOf(state, step.has.source).drops += 1; },
  source_read: (state, step) => {
    const source = sourceOf(state, step.has.source);
    leave(source.readers, step.pid);
    wakes(threadOf(state, step.pid, step.comm), "");
    const message = step.has.ret >= 0 ? source.queue.shift() : undefined;
    if (message) state.tokens.set(message, { place: "thread", key: step.pid });
  },
  source_write: (state, step) => {
    leave(sourceOf(state, step.has.source).writers, step.pid);
    wakes(threadOf(state, step.pid, step.comm), "");
  },
  source_sleep: (state, step) => {
    const source = sourceOf(state, step.has.source);
    const list = step.has.writer === 1 || step.has.writer === "writer" ? source.writers : source.readers;
    if (!list.includes(step.pid)) list.push(step.pid);
    sleeps(threadOf(state, step.pid, step.comm), list === source.writers ? "writes" : "reads", { source: source.number });
  },
  source_poll: (state, step) => {
    sourceOf(state, step.has.source);
    state.asked = { pid: step.pid, source: step.has.source };
  },
  source_wake: (state, step) => { sourceOf(state, step.has.source); },
}));

const isPassed = (state, station) => !state.way.over && state.way.seen.some((one) => one.station === station);

// Puts a thread on a CPU, and on no other.
function occupy(state, { cpu, time }, context, pid, name) {
  for (const other of state.cpus.values()) if (pid !== 0 && other.pid === pid) other.pid = null;
  state.cpus.set(cpu, { cpu, context, pid, name, time });
}

// The file of a story's subject: watched by the item, or polled by the call of SELECT or POLL.
function fileOfStory(state, story) {
  if (!story) return undefined;
  if (story.task !== undefined) return fileOfCall(story.task, story.fd);
  return [...state.instances.values()].map((instance) => instance.items.get(story.item)?.file).find((key) => key);
}

// Applies a step to the state. `story` is the subject of the step's story, for the kernel's
// records.
function apply(state, step, story) {
  const { cpu, context, comm, pid, event } = step;
  // Data at the NIC have left.
  for (const [number, token] of state.tokens) if (token.key === "nic" && number !== state.way.token) state.tokens.delete(number);
  occupy(state, step, context, pid, comm);
  const change = changes.get(event);
  if (change) change(state, step);
  if (event === "sched_switch") occupy(state, step, "task", step.has.next_pid, step.has.next_comm);
  if (event.startsWith("sys_enter_")) {
    const call = event.slice("sys_enter_".length);
    const fd = step.has.fd ?? step.has.ufd;
    threadOf(state, pid, comm).doing = fd === undefined || fd === null ? call : `${call}, fd ${fd}`;
    if (step.line === "system call") pass(state, step, "syscall", call, true);
  }
  // A thread that records in task context is awake, even if the scheduler's record is missing.
  const thread = state.threads.get(pid);
  if (context === "task" && thread?.asleep && event !== "sched_switch" && !event.endsWith("_sleep")) wakes(thread, thread.doing);
  // A read takes the oldest data of the file.
  const reads = event === "sock_recv_length" || step.line === "use";
  if (reads && story) {
    const file = fileOfStory(state, story);
    const first = [...state.tokens].find(([, token]) => token.place === "file" && token.key === file);
    if (first) state.tokens.set(first[0], { place: "thread", key: pid });
  }
}

// Returns a function from a step to the state after it. It keeps copies at intervals, so that a
// step back replays few records.
function history(steps, about) {
  const EVERY = 64;
  const copies = [beginning()];
  let state = structuredClone(copies[0]);
  let next = 0;
  const further = () => {
    apply(state, steps[next], about(steps[next]));
    next += 1;
    if (next % EVERY === 0 && copies.length === next / EVERY) copies.push(structuredClone(state));
  };
  return (number) => {
    if (number + 1 < next || number - next > EVERY) {
      const from = Math.min(Math.floor((number + 1) / EVERY), copies.length - 1);
      state = structuredClone(copies[from]);
      next = from * EVERY;
    }
    while (next <= number) further();
    return state;
  };
}
