// SPDX-License-Identifier: GPL-2.0
// Makes the DOM nodes of each object. Text from the recording is set as text only.

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Gives a node a key by which it is found in the next picture, for its animation. A new node moves
// from the place of `from`.
function keyed(key, node, from) {
  node.dataset.key = key;
  if (from) node.dataset.from = from;
  return node;
}

const andMore = (more, what) => (more ? make("p", "more", `and ${more} more${what ? ` ${what}` : ""}`) : null);
const zone = (className, number, title, ...children) =>
  make("section", `zone ${className}`, make("h3", "", make("span", "number", number), title), ...children);
const lane = (className, title, ...children) => make("div", `lane ${className}`, make("h5", "", title), make("div", "slots", ...children));

// The data in transit at a place.
function drawTokens(state, place, key) {
  const here = [...state.tokens].filter(([, token]) => token.place === place && token.key === key);
  if (here.length === 0) return null;
  const shown = here.slice(0, 5).map(([number]) => keyed(keyOf.token(number), make("i", "token")));
  return make("span", "tokens", ...shown, here.length > 5 ? `+${here.length - 5}` : null);
}

function drawThread(state, pid, does) {
  const thread = state.threads.get(pid);
  const [status, what] = thread.woken ? ["woken", `woken: runnable on CPU ${thread.target ?? "?"}`]
    : thread.asleep ? ["asleep", `asleep in ${thread.doing}`] : ["runs", does ?? thread.doing];
  return keyed(keyOf.thread(pid), make("div", `thread ${status}`, make("b", "", thread.name), ` (${pid})`, make("small", "", what),
    ...thread.events.slice(-3).map((event) => make("span", "event", `fd ${event.fd}: ${brief(event.events)}`)),
    drawTokens(state, "thread", pid)));
}

// Zone 1: the causes of events. Three origins, and the way through interrupts.
const BEGINNINGS = [["nic", "NIC"], ["timer", "timer"], ["syscall", "system call"]];
const STATIONS = [["hardirq", "hard irq"], ["softirq", "softirq"], ["driver", "driver"], ["protocol", "IP, TCP, UDP"], ["file", "the file"]];

function drawWay(state) {
  const { way } = state;
  const seen = new Map(way.seen.map((one) => [one.station, one.text]));
  const draw = ([station, name]) => keyed(keyOf.station(station), make("li", `station ${station}${seen.has(station) ? " seen" : ""}`,
    make("b", "", name), make("small", "", seen.get(station)), drawTokens(state, "station", station)));
  const interrupts = seen.has("hardirq") || seen.has("softirq");
  const where = way.cpu === null ? "" : `CPU ${way.cpu}, ${interrupts ? "interrupting" : "in"} ${way.name} (${way.pid})`;
  return zone("way", 1, "Causes", make("span", "where", where),
    make("div", "stations", make("ul", "beginnings", ...BEGINNINGS.map(draw)), make("ol", "chain", ...STATIONS.map(draw))));
}

// Zone 2: the watched files.
function drawSource(state, source) {
  const { length } = source.queue;
  const cells = source.queue.slice(0, 10).map((number) => (number === null ? make("i", "message") : keyed(keyOf.token(number), make("i", "message"))));
  const drops = source.drops ? `, ${source.drops} dropped` : "";
  return keyed(keyOf.source(source.number), make("div", "source",
    make("h5", "", `source ${source.number}: ${plural(length, "message")}${drops}`),
    make("div", "buffer", ...cells, length > 10 ? `+${length - 10}` : null),
    ...[...source.readers, ...source.writers].filter((pid) => state.threads.get(pid)?.asleep).map((pid) => drawThread(state, pid))));
}

function drawFile(state, file, near) {
  const { shown, more } = choose(file.entries, 6, (entry) => near.get(entry.task === undefined ? keyOf.item(entry.item) : keyOf.call(entry.task)));
  const entries = shown.map((entry) => {
    const ofTask = entry.task !== undefined;
    const text = ofTask ? state.threads.get(entry.task)?.name ?? `task ${entry.task}` : `item ${entry.item}`;
    return keyed(keyOf.entry(entry), make("span", `entry${ofTask ? " ofTask" : ""}`, text));
  });
  const said = file.says === null ? "" : brief(file.says) || "not ready";
  return keyed(keyOf.file(file.key), make("article", "card file",
    make("header", "", make("b", "", `fd ${file.fds.join(", ")}`), file.target ? make("span", "flag nested", `instance ${file.target}`) : null, make("small", `says${said && said !== "not ready" ? " ready" : ""}`, said)),
    file.target || file.source !== null ? null : make("div", "buffer", drawTokens(state, "file", file.key)),
    file.source === null ? null : drawSource(state, state.sources.get(file.source)),
    make("div", "wait-queue", make("h5", "", "wait queue"), make("div", "slots", ...entries, andMore(more)))));
}

function drawFiles(state, near) {
  const distance = (file) => Math.min(...[keyOf.file(file.key), ...file.entries.map((entry) => keyOf.item(entry.item))].map((key) => near.get(key) ?? 2));
  // The files of a finished SELECT or POLL stay, with empty wait queues: hide those that are not
  // near.
  const all = [...state.files.values()].filter((file) => file.entries.length || distance(file) < 2).sort((a, b) => a.fds[0] - b.fds[0]);
  const { shown, more } = choose(all, 6, distance);
  const linked = new Set(all.map((file) => file.source));
  const alone = choose([...state.sources.values()].filter((source) => !linked.has(source.number)), 4, (source) => near.get(keyOf.source(source.number)));
  const isNone = shown.length + alone.shown.length === 0;
  return zone("files", 2, "Files", isNone ? make("p", "none", "No file is watched yet.") : null,
    make("div", "cards", ...shown.map((file) => drawFile(state, file, near)), ...alone.shown.map((source) => make("article", "card file", drawSource(state, source)))),
    andMore(more, "files"), andMore(alone.more, "sources"));
}

// Zone 3: instances and calls. An item's flags leave out ERR and HUP, which are always of interest,
// and add LT if the item is level-triggered.
function wanted(item) {
  if (item.events === null) return [];
  const all = words(item.events).filter((word) => word !== "ERR" && word !== "HUP");
  return all.includes("ET") ? all : [...all, "LT"];
}

function drawItem(instance, item) {
  const flags = wanted(item).map((word) => make("span", "flag", word));
  return keyed(keyOf.item(item.item), make("li", `item${item.armed ? "" : " disarmed"}${instance.ready.includes(item.item) ? " queued" : ""}`,
    make("b", "", `fd ${item.fd}`), make("small", "", `item ${item.item}`),
    item.target ? make("span", "flag nested", `instance ${item.target}`) : null, ...flags,
    item.armed ? null : make("span", "flag off", "disarmed")));
}

function drawInstance(state, instance, near) {
  const list = choose([...instance.items.values()].sort((a, b) => a.fd - b.fd), 9, (item) => near.get(keyOf.item(item.item)));
  const ready = choose(instance.ready, 8, (item) => near.get(keyOf.item(item)));
  const chips = ready.shown.map((item) => keyed(keyOf.ready(item), make("span", "chip", `item ${item}`), keyOf.entry({ item })));
  const hand = instance.hand === null ? null : keyed(keyOf.ready(instance.hand), make("span", "chip hand", `item ${instance.hand}`));
  const waiters = choose(instance.waiters, 5, (pid) => near.get(keyOf.thread(pid)));
  const inLane = waiters.shown.map((pid) => {
    const thread = state.threads.get(pid);
    return thread.asleep ? drawThread(state, pid) : make("span", "ghost", `${thread.name} (${pid}) runs`);
  });
  const scanning = { wait: "WAIT scans the queue", poll: "a poll scans the queue" }[instance.scanning];
  return keyed(keyOf.instance(instance.ep), make("article", `card instance${instance.closed ? " closed" : ""}`,
    make("header", "", make("b", "", `Instance ${instance.ep}`), make("small", "", instance.closed ? "closed" : scanning ?? plural(instance.items.size, "item"))),
    make("div", "lanes",
      keyed(keyOf.queue(instance.ep), lane(`ready${scanning ? " scanned" : ""}`, "ready queue", ...chips, andMore(ready.more), hand)),
      keyed(keyOf.waiters(instance.ep), lane("waiters", "waiters", ...inLane, andMore(waiters.more)))),
    make("div", "lane interest", make("h5", "", "interest list"), make("ul", "items", ...list.shown.map((item) => drawItem(instance, item))), andMore(list.more, "items"))));
}

// A call of SELECT or POLL, with a cell for each descriptor, filled once the pass has polled it.
function drawCall(state, call, near) {
  const list = choose([...call.list.values()].sort((a, b) => a.fd - b.fd), 400, (one) => near.get(keyOf.file(fileOfCall(call.task, one.fd))));
  const isOver = call.ret !== null;
  const cells = list.shown.map((one) => keyed(keyOf.cell(call.task, one.fd),
    make("li", `cell${one.asked === call.pass ? " asked" : ""}${one.found && one.asked === call.pass ? " found" : ""}${one.entry ? " enqueued" : ""}`, String(one.fd))));
  const thread = state.threads.get(call.task);
  const asleep = thread?.asleep && thread.on?.task === call.task;
  return keyed(keyOf.call(call.task), make("article", `card call${isOver ? " closed" : ""}`,
    make("header", "", make("b", "", `${String(call.call).toUpperCase()} of ${call.name}`), make("small", "", isOver ? `returned ${call.ret}` : asleep ? "sleeps" : `pass ${call.pass}`)),
    make("p", "tally", `${plural(call.polled, "poll")}; ${call.entries} ${call.entries === 1 ? "entry" : "entries"} in wait queues; ${plural(call.wakeups, "wake-up")}`),
    make("ul", `cells${call.list.size > 40 ? " small" : ""}`, ...cells), andMore(list.more, "descriptors"),
    asleep ? drawThread(state, call.task) : null));
}

function drawMultiplexers(state, near) {
  // Programs open the device to see whether it is there, or for POLL and SELECT: an instance
  // without items is shown only if the step names it.
  const open = [...state.instances.values()].filter((instance) => instance.items.size || instance.waiters.length || near.get(keyOf.instance(instance.ep)) === 0);
  const { shown, more } = choose(open, 3, (instance) => near.get(keyOf.instance(instance.ep)));
  const calls = choose([...state.calls.values()].filter((call) => call.ret === null || near.has(keyOf.call(call.task))), 2, (call) => near.get(keyOf.call(call.task)));
  return zone("multiplexers", 3, "Waiting for files",
    ...shown.map((instance) => drawInstance(state, instance, near)), andMore(more, "instances"),
    ...calls.shown.map((call) => drawCall(state, call, near)), andMore(calls.more, "calls"),
    shown.length + calls.shown.length ? null : make("p", "none", "No instance or call yet."));
}

// Zone 4: the CPUs, each with its thread and, on top, what interrupts it.
function drawCpu(state, step, number) {
  const cpu = state.cpus.get(number);
  const here = number === step.cpu;
  const since = cpu && !here ? `${micros(step.time - cpu.time)} µs ago` : "";
  const node = keyed(keyOf.cpu(number), make("article", `card cpu${here ? " here" : ""}`,
    make("header", "", make("b", "", `CPU ${number}`), make("small", "", since))));
  if (!cpu || cpu.pid === null) {
    node.append(make("p", "none", "not seen since"));
    return node;
  }
  const interrupted = cpu.context !== "task";
  if (interrupted) node.append(make("div", `layer ${cpu.context.replace(" ", "")}`, make("b", "", cpu.context), " interrupts"));
  const thread = state.threads.get(cpu.pid);
  if (cpu.pid === 0) node.append(make("div", "thread idle", "idle"));
  else if (thread && !thread.asleep) node.append(drawThread(state, cpu.pid, interrupted ? "" : undefined));
  else node.append(make("div", "thread", make("b", "", cpu.name), ` (${cpu.pid})`, make("small", "", thread?.asleep ? "goes to sleep" : "")));
  return node;
}

function drawCpus(state, step, all, near) {
  const { shown, more } = choose(all, 8, (cpu) => near.get(keyOf.cpu(cpu)));
  return zone("cpus", 4, "Running", make("div", "cards", ...shown.map((number) => drawCpu(state, step, number))), andMore(more, "CPUs"));
}
