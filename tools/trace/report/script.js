// SPDX-License-Identifier: GPL-2.0
// The recording, step by step: what each record changes in the picture, forward and back.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const steps = data.steps;
const element = (id) => document.getElementById(id);
const micros = (ns) => (ns / 1000).toFixed(ns < 1e6 ? 1 : 0);

// What is known before the first step: nothing. Objects appear when a record names them.
function beginning() {
  return { instances: {}, cpus: {}, files: {} };
}

function instanceOf(state, ep) {
  return (state.instances[ep] ??= { items: {}, ready: [], waiters: {}, scanning: null, closed: false });
}

function itemOf(state, step) {
  const instance = instanceOf(state, step.ep);
  return (instance.items[step.item] ??= { fd: step.fd, file: null, armed: true });
}

function leave(list, what) {
  const at = list.indexOf(what);
  if (at >= 0) list.splice(at, 1);
}

// What one record does to the state.
const changes = {
  create: (state, step) => { instanceOf(state, step.ep); },
  release: (state, step) => { instanceOf(state, step.ep).closed = true; },
  add: (state, step) => {
    const item = itemOf(state, step);
    item.file = step.file;
    item.events = step.words;
    if (step.target) item.target = step.target;
  },
  modify: (state, step) => {
    const item = itemOf(state, step);
    item.armed = true;
    item.events = step.words;
  },
  remove: (state, step) => {
    const instance = instanceOf(state, step.ep);
    leave(instance.ready, step.item);
    delete instance.items[step.item];
  },
  callback: (state, step) => { itemOf(state, step); },
  queue: (state, step) => {
    itemOf(state, step);
    const { ready } = instanceOf(state, step.ep);
    if (ready.includes(step.item)) return;
    if (step.reason === "back") ready.unshift(step.item);
    else ready.push(step.item);
  },
  poll: (state, step) => {
    itemOf(state, step);
    const instance = instanceOf(state, step.ep);
    // ADD and MOD poll, too: then the item stays where it is.
    if (instance.scanning) leave(instance.ready, step.item);
    // Someone who only asks puts back what he found ready.
    if (instance.scanning === "poll" && step.isReady) instance.ready.unshift(step.item);
  },
  disarm: (state, step) => { itemOf(state, step).armed = false; },
  scan_begin: (state, step) => { instanceOf(state, step.ep).scanning = step.by; },
  scan_end: (state, step) => { instanceOf(state, step.ep).scanning = null; },
  wait_enter: (state, step) => {
    instanceOf(state, step.ep).waiters[step.pid] = { name: step.comm, doing: "looks" };
  },
  wait_sleep: (state, step) => {
    instanceOf(state, step.ep).waiters[step.pid] = { name: step.comm, doing: "sleeps" };
  },
  wait_wake: (state, step) => {
    instanceOf(state, step.ep).waiters[step.pid] = { name: step.comm, doing: "awake" };
  },
  wait_exit: (state, step) => { delete instanceOf(state, step.ep).waiters[step.pid]; },
};

function apply(state, step) {
  state.cpus[step.cpu] = { context: step.context, name: step.comm, pid: step.pid };
  const change = changes[step.event];
  if (change) change(state, step);
  if (step.event === "sched_waking") {
    for (const instance of Object.values(state.instances)) {
      const waiter = instance.waiters[step.target_pid];
      if (waiter && waiter.doing === "sleeps") waiter.doing = "to run";
    }
  }
}

// A copy of the state now and then, so that a step back does not begin at the beginning.
const EVERY = 64;
const copies = [beginning()];
function stateAt(number) {
  for (let at = copies.length; at * EVERY <= number; at++) {
    const state = structuredClone(copies[at - 1]);
    for (let step = (at - 1) * EVERY; step < at * EVERY; step++) apply(state, steps[step]);
    copies.push(state);
  }
  const from = Math.floor(number / EVERY);
  const state = structuredClone(copies[from]);
  for (let step = from * EVERY; step <= number; step++) if (steps[step]) apply(state, steps[step]);
  return state;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function lane(title, chips) {
  const node = make("div", "lane box");
  node.append(make("h4", "", title));
  if (chips.length === 0) node.append(make("span", "none", "empty"));
  node.append(...chips);
  return node;
}

function chip(text, isOn, isOff) {
  return make("span", `chip${isOn ? " on" : ""}${isOff ? " off" : ""}`, text);
}

function draw(state, step) {
  const picture = element("picture");
  picture.replaceChildren();
  const cpus = make("div", "row");
  for (const [cpu, what] of Object.entries(state.cpus)) {
    const box = make("div", `box${Number(cpu) === step.cpu ? " on" : ""}`);
    box.append(`CPU ${cpu}: `, make("span", what.context.replace(" ", ""), what.context));
    box.append(what.context === "task" ? ` of ${what.name} (${what.pid})` : ` while ${what.name} (${what.pid}) is there`);
    cpus.append(box);
  }
  picture.append(cpus);

  // The wait queues of the watched files, and who is in them.
  const files = {};
  for (const [ep, instance] of Object.entries(state.instances)) {
    for (const [number, item] of Object.entries(instance.items)) {
      (files[item.file ?? `of item ${number}`] ??= []).push({ ep, number: Number(number), item });
    }
  }
  const names = Object.keys(files);
  const queues = names.map((file, at) => {
    const fds = [...new Set(files[file].map((entry) => entry.item.fd))].join(", ");
    const on = (entry) => entry.number === step.item && step.event.startsWith("callback");
    return lane(`wait queue of file ${at + 1} (fd ${fds})`, files[file].map((entry) => chip(`item ${entry.number}`, on(entry))));
  });
  if (queues.length) {
    const row = make("div", "instance");
    row.append(make("h3", "", "Watched files"), ...queues);
    picture.append(row);
  }

  for (const [ep, instance] of Object.entries(state.instances)) {
    if (instance.closed && Object.keys(instance.items).length === 0) continue;
    const row = make("div", `instance box${Number(ep) === step.ep ? " on" : ""}`);
    const scanning = instance.scanning ? `, looked through by a ${instance.scanning}` : "";
    row.append(make("h3", "", `Instance ${ep}${scanning}`));
    const items = Object.entries(instance.items).map(([number, item]) => {
      const nested = item.target ? ` = instance ${item.target}` : "";
      const wanted = item.events ? `: ${item.events}` : "";
      return chip(`item ${number}, fd ${item.fd}${nested}${wanted}`, Number(number) === step.item, !item.armed);
    });
    const ready = instance.ready.map((number) => chip(`item ${number}`, number === step.item));
    const waiters = Object.entries(instance.waiters).map(([pid, waiter]) =>
      chip(`${waiter.name} (${pid}): ${waiter.doing}`, Number(pid) === step.pid && step.context === "task"));
    row.append(lane("interest list", items), lane("ready queue, the first one first", ready), lane("waiters", waiters));
    picture.append(row);
  }
}

let now = 0;
function show(number) {
  if (steps.length === 0) {
    element("now").textContent = "The trace has no events of repoll.";
    return;
  }
  now = Math.max(0, Math.min(steps.length - 1, number));
  const step = steps[now];
  draw(stateAt(now), step);
  element("place").value = now;
  element("number").textContent = `${now + 1} of ${steps.length}`;
  element("player").dataset.step = now;
  const line = element("now");
  line.replaceChildren(make("b", "", step.event.replaceAll("_", " ")), `: ${step.text} `);
  line.append(make("span", "none", `${micros(step.time - steps[0].time)} µs, CPU ${step.cpu}, ${step.context}, ${step.comm} (${step.pid})`));
  // The story that this step is a part of, if it is not the one that is told already.
  const told = data.stories[element("which").value];
  const known = told && told.steps.some((line) => line.at === now);
  if (!known && step.story !== null && step.story !== undefined) tell(step.story);
  for (const row of element("story").tBodies[0].rows) {
    const lit = Number(row.dataset.at) === now;
    row.classList.toggle("lit", lit);
  }
}

function tell(number) {
  const story = data.stories[number];
  element("which").value = number;
  const body = element("story").tBodies[0];
  body.replaceChildren();
  if (!story) return;
  let last = null;
  for (const line of story.steps) {
    const row = body.insertRow();
    row.dataset.at = line.at;
    const cells = [micros(line.time - story.steps[0].time), last === null ? "" : micros(line.time - last), line.cpu, line.context, line.name, line.detail];
    cells.forEach((text, at) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (at < 3) cell.className = "count";
      if (at === 3) cell.className = line.context.replace(" ", "");
    });
    row.addEventListener("click", () => show(line.at));
    last = line.time;
  }
  if (story.missing) {
    const row = body.insertRow();
    const cell = row.insertCell();
    cell.colSpan = 6;
    cell.textContent = `The trace does not show the step "${story.missing}".`;
  }
}

let timer = null;
function pause() {
  clearInterval(timer);
  timer = null;
  element("play").textContent = "play";
}
function play() {
  if (timer !== null) return pause();
  element("play").textContent = "pause";
  timer = setInterval(() => (now + 1 < steps.length ? show(now + 1) : pause()), 700);
}

function statistics() {
  const counts = element("counts");
  for (const [ep, instance] of Object.entries(data.statistics.instances)) {
    counts.append(make("h3", "", `Instance ${ep}`));
    const perWait = (instance.delivered / Math.max(1, instance.successful)).toFixed(2);
    counts.append(make("p", "", `WAIT returned ${instance.waits} times, ${instance.successful} of them with events: ${instance.delivered} in all, ${perWait} each, ${instance.most} at the most. Waiters slept ${instance.sleeps} times; ${instance.useless} wake-ups were useless; ${instance.timeouts} timeouts, ${instance.signals} signals.`));
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const title of ["item", "fd", "queued", "already queued", "useless callbacks", "polls", "not ready", "delivered"]) head.append(make("th", "count", title));
    const body = table.createTBody();
    for (const [number, item] of Object.entries(instance.items)) {
      const row = body.insertRow();
      for (const value of [number, item.fd, item.queued, item.already, item.useless, item.polls, item.unready, item.delivered]) row.append(make("td", "count", value));
    }
    counts.append(table);
  }
  for (const times of data.statistics.times) {
    if (times.count === 0) continue;
    element("times").append(make("h3", "", `Time ${times.name}, in µs: ${times.count} events, median ${micros(times.median)}, 99 % ${micros(times.p99)}, most ${micros(times.most)}`));
    const node = make("div", "histogram");
    const most = Math.max(...times.buckets.map((bucket) => bucket[1]));
    for (const [from, count] of times.buckets) {
      const bar = make("div");
      const inner = make("div", "bar", "\u00a0");
      inner.style.width = `${(100 * count) / most}%`;
      if (count) bar.append(inner);
      node.append(make("span", "", `${micros(from)} to ${micros(2 * from)}`), make("span", "", count), bar);
    }
    element("times").append(node);
  }
}

element("summary").textContent = data.summary;
element("place").max = Math.max(0, steps.length - 1);
data.stories.forEach((story, at) => {
  const option = make("option", "", story.title);
  option.value = at;
  element("which").append(option);
});
element("first").addEventListener("click", () => show(0));
element("back").addEventListener("click", () => show(now - 1));
element("play").addEventListener("click", play);
element("forward").addEventListener("click", () => show(now + 1));
element("last").addEventListener("click", () => show(steps.length - 1));
element("place").addEventListener("input", (event) => show(Number(event.target.value)));
element("which").addEventListener("change", (event) => {
  tell(Number(event.target.value));
  const first = data.stories[event.target.value].steps[0];
  if (first) show(first.at);
});
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "SELECT" || event.ctrlKey || event.altKey || event.metaKey) return;
  const actions = { ArrowRight: () => show(now + 1), ArrowLeft: () => show(now - 1), Home: () => show(0), End: () => show(steps.length - 1), " ": play };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
let touch = null;
element("picture").addEventListener("touchstart", (event) => { touch = event.changedTouches[0]; }, { passive: true });
element("picture").addEventListener("touchend", (event) => {
  const moved = event.changedTouches[0].clientX - touch.clientX;
  const down = Math.abs(event.changedTouches[0].clientY - touch.clientY);
  if (Math.abs(moved) > 40 && Math.abs(moved) > down) show(now + (moved < 0 ? 1 : -1));
});
function linked() {
  const found = /^#step=(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) - 1 : null;
}
addEventListener("hashchange", () => { if (linked() !== null) show(linked()); });

statistics();
if (data.stories.length) tell(0);
show(linked() ?? (data.stories.length && data.stories[0].steps.length ? data.stories[0].steps[0].at : 0));
