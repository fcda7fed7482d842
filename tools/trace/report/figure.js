// SPDX-License-Identifier: GPL-2.0
// Draws a state: four zones, and in them what there is. Text is only ever set as text.

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// A node that is known again in the next picture: it moves there from its place in this one, or, when it is
// new, from that of another.
function keyed(key, node, from) {
  node.dataset.key = key;
  if (from) node.dataset.from = from;
  return node;
}

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
  source: (number) => `source ${number}`,
};

// What a step is about: lit, and arrows from where to where.
function lights(state, step) {
  const { event, has, cpu, pid } = step;
  const { thread, station } = keyOf;
  const lit = [keyOf.cpu(cpu)];
  const arrows = [];
  const item = has.item;
  const file = item !== undefined && item !== null ? state.instances.get(has.ep)?.items.get(item)?.file : undefined;
  const entry = keyOf.entry({ item });
  const stations = { irq_handler_entry: "hardirq", hrtimer_expire_entry: "timer", softirq_entry: "softirq", napi_poll: "driver", napi_gro_receive_entry: "driver", netif_receive_skb: "protocol", sk_data_ready: "socket" };
  if (Object.hasOwn(stations, event)) lit.push(station(stations[event]));
  if (event === "irq_handler_entry" && state.way.seen[0]?.station === "nic") lit.push(station("nic"));
  if (event.startsWith("sys_enter_") && step.line === "system call") lit.push(station("syscall"));
  switch (event) {
    case "callback": {
      const last = state.way.cpu === cpu ? state.way.seen.at(-1) : undefined;
      lit.push(entry, keyOf.file(file));
      if (last) arrows.push([station(last.station), entry]);
      arrows.push([entry, keyOf.item(item)]);
      break;
    }
    case "callback_exit": lit.push(entry); break;
    case "queue": lit.push(keyOf.ready(item), keyOf.item(item)); arrows.push([has.reason === "callback" ? entry : keyOf.item(item), keyOf.ready(item)]); break;
    case "wake": lit.push(keyOf.waiters(has.ep)); arrows.push([keyOf.queue(has.ep), keyOf.waiters(has.ep)]); break;
    case "sched_waking": lit.push(thread(has.pid)); break;
    case "sched_switch": lit.push(thread(has.next_pid)); break;
    case "wait_enter": case "wait_sleep": case "wait_wake": lit.push(thread(pid), keyOf.instance(has.ep)); break;
    case "wait_exit": lit.push(thread(pid)); arrows.push([keyOf.instance(has.ep), thread(pid)]); break;
    case "scan_begin": lit.push(keyOf.queue(has.ep)); arrows.push([thread(pid), keyOf.queue(has.ep)]); break;
    case "scan_end": lit.push(keyOf.queue(has.ep)); break;
    case "poll": lit.push(keyOf.file(file), keyOf.item(item)); arrows.push([keyOf.item(item), keyOf.file(file)]); break;
    case "deliver": lit.push(keyOf.item(item), thread(pid)); arrows.push([keyOf.ready(item), thread(pid)]); break;
    case "disarm": case "add": case "modify": lit.push(keyOf.item(item), entry); break;
    case "create": case "release": case "ctl": case "limit": lit.push(keyOf.instance(has.ep)); break;
    case "sock_recv_length": lit.push(thread(pid)); break;
    case "net_dev_start_xmit": lit.push(station("nic"), thread(pid)); arrows.push([thread(pid), station("nic")]); break;
    case "select_setup": lit.push(keyOf.call(has.task), thread(pid)); arrows.push([thread(pid), keyOf.call(has.task)]); break;
    case "select_poll": {
      const asked = keyOf.file(fileOfCall(has.task, has.fd));
      lit.push(keyOf.cell(has.task, has.fd), asked);
      arrows.push([keyOf.cell(has.task, has.fd), asked]);
      break;
    }
    case "select_pass": case "select_sleep": lit.push(keyOf.call(has.task), thread(pid)); break;
    case "select_wake": {
      const called = keyOf.entry(has);
      lit.push(called, keyOf.cell(has.task, has.fd), thread(has.task));
      if (state.way.cpu === cpu && state.way.seen.length) arrows.push([station(state.way.seen.at(-1).station), called]);
      arrows.push([called, keyOf.call(has.task)]);
      break;
    }
    case "select_result": lit.push(keyOf.call(has.task), thread(pid)); arrows.push([keyOf.call(has.task), thread(pid)]); break;
    default:
      if (event.startsWith("source_")) lit.push(keyOf.source(has.source));
      if (event === "source_read") arrows.push([keyOf.source(has.source), thread(pid)]);
      if (event === "source_write") arrows.push([thread(pid), keyOf.source(has.source)]);
      if (event === "source_arrive" && state.way.seen.length > 1) arrows.push([station(state.way.seen.at(-2).station), keyOf.source(has.source)]);
  }
  return { lit: new Set(lit), arrows };
}

// What steps nearby touch: of many objects these are shown.
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
  // By blocks, so that what is shown does not change at each step.
  const block = 40 * Math.floor(now / 40);
  for (const step of steps.slice(Math.max(0, block - 20), block + 60)) note(step, 1);
  note(steps[now], 0);
  return near;
}

// So many of a list, those that are near before others, in the list's order; and how many are left out.
function choose(list, most, distance) {
  if (list.length <= most) return { shown: list, more: 0 };
  const by = list.map((one, at) => ({ one, at, distance: distance(one) ?? 2 }));
  by.sort((a, b) => a.distance - b.distance || a.at - b.at);
  const shown = by.slice(0, most).sort((a, b) => a.at - b.at).map(({ one }) => one);
  return { shown, more: list.length - most };
}

const andMore = (more, what) => (more ? make("p", "more", `and ${more} more${what ? ` ${what}` : ""}`) : null);

// What is wanted of an item: ERR and HUP always are; that it is level-triggered goes without saying elsewhere.
function wanted(item) {
  if (item.events === null) return [];
  const all = words(item.events).filter((word) => word !== "ERR" && word !== "HUP");
  return all.includes("ET") ? all : [...all, "LT"];
}

const zone = (className, number, title, ...children) =>
  make("section", `zone ${className}`, make("h3", "", make("span", "number", number), title), ...children);

const lane = (className, title, ...children) => make("div", `lane ${className}`, make("h5", "", title), make("div", "slots", ...children));

function drawTokens(state, place, key) {
  const here = [...state.tokens].filter(([, token]) => token.place === place && token.key === key);
  const node = make("span", "tokens", ...here.slice(0, 6).map(([number]) => keyed(`token ${number}`, make("i", "token"))));
  if (here.length > 6) node.append(`+${here.length - 6}`);
  return here.length ? node : null;
}

function drawThread(state, pid, extra) {
  const thread = state.threads.get(pid);
  const status = thread.woken ? "woken" : thread.asleep ? "asleep" : "runs";
  const node = keyed(keyOf.thread(pid), make("div", `thread ${status}`));
  node.append(make("b", "", thread.name), ` (${pid})`, make("small", "", thread.woken ? `woken, is to run on CPU ${thread.target ?? "?"}` : thread.asleep ? `asleep in ${thread.doing}` : extra ?? thread.doing));
  for (const event of thread.events.slice(-4)) node.append(make("span", "event", `fd ${event.fd}: ${event.events}`));
  const tokens = drawTokens(state, "thread", pid);
  if (tokens) node.append(tokens);
  return node;
}

const STATIONS = [["syscall", "system call"], ["timer", "timer"], ["nic", "NIC"], ["hardirq", "hard irq"], ["softirq", "softirq"], ["driver", "driver"], ["protocol", "IP, UDP, TCP"], ["socket", "socket"]];
function drawWay(state) {
  const { way } = state;
  const seen = new Map(way.seen.map((one) => [one.station, one.text]));
  const stations = STATIONS.map(([station, name]) => {
    const node = keyed(keyOf.station(station), make("li", `station ${station}${seen.has(station) ? " seen" : ""}`, make("b", "", name), make("small", "", seen.get(station) || "\u00a0")));
    const tokens = drawTokens(state, "station", station);
    if (tokens) node.append(tokens);
    return node;
  });
  const where = way.cpu === null ? "" : ` on CPU ${way.cpu}, ${seen.has("hardirq") || seen.has("softirq") ? "interrupting" : "in"} ${way.name} (${way.pid})`;
  return zone("way", 1, "What makes files ready", make("span", "where", where), make("ol", "stations", ...stations));
}

function drawSource(state, source) {
  const full = Math.min(source.queued, 12);
  const cells = make("span", "messages", ...Array.from({ length: full }, () => make("i", "message")));
  if (source.queued > full) cells.append(`+${source.queued - full}`);
  const sleepers = [...source.readers, ...source.writers].map((pid) => drawThread(state, pid));
  const drops = source.drops ? `, ${source.drops} dropped` : "";
  return keyed(keyOf.source(source.number), make("div", "source", make("small", "", `source ${source.number}: ${plural(source.queued, "message")}${drops}`), cells, ...sleepers));
}

function drawFile(state, file, near) {
  const { shown, more } = choose(file.entries, 8, (entry) => near.get(entry.task === undefined ? keyOf.item(entry.item) : keyOf.call(entry.task)));
  const entries = shown.map((entry) => {
    const text = entry.task === undefined ? `item ${entry.item}` : state.threads.get(entry.task)?.name ?? `task ${entry.task}`;
    return keyed(keyOf.entry(entry), make("span", `entry${entry.task === undefined ? "" : " task"}`, text));
  });
  const source = file.source === null ? null : drawSource(state, state.sources.get(file.source));
  const says = file.says === null ? "" : file.says || "nothing ready";
  return keyed(keyOf.file(file.key), make("article", "card file",
    make("header", "", make("b", "", `fd ${file.fds.join(", ")}`), make("small", "says", says)),
    source ?? make("div", "data", make("small", "", "data"), drawTokens(state, "file", file.key)),
    lane("wait-queue", "wait queue", ...entries, andMore(more))));
}

function drawFiles(state, near) {
  const distance = (file) => Math.min(...[near.get(keyOf.file(file.key)) ?? 2, ...file.entries.map((entry) => near.get(keyOf.item(entry.item)) ?? 2)]);
  const all = [...state.files.values()].sort((a, b) => a.fds[0] - b.fds[0]);
  const { shown, more } = choose(all, 6, distance);
  const linked = new Set(all.map((file) => file.source));
  const alone = [...state.sources.values()].filter((source) => !linked.has(source.number));
  const sources = choose(alone, 4, (source) => near.get(keyOf.source(source.number)));
  return zone("files", 2, "Watched files, and who is in their wait queues",
    ...shown.map((file) => drawFile(state, file, near)), andMore(more, "files"),
    ...sources.shown.map((source) => make("article", "card file", drawSource(state, source))), andMore(sources.more, "sources"),
    shown.length + alone.length ? null : make("p", "none", "none yet"));
}

function drawInstance(state, instance, near) {
  const list = choose([...instance.items.values()].sort((a, b) => a.fd - b.fd), 12, (item) => near.get(keyOf.item(item.item)));
  const items = list.shown.map((item) => {
    const node = keyed(keyOf.item(item.item), make("li", `item${item.armed ? "" : " disarmed"}${instance.ready.includes(item.item) ? " queued" : ""}`));
    node.append(make("b", "", `fd ${item.fd}`), make("small", "", `item ${item.item}`));
    if (item.target) node.append(make("span", "flag nested", `instance ${item.target}`));
    for (const word of wanted(item)) node.append(make("span", "flag", word));
    if (!item.armed) node.append(make("span", "flag off", "disarmed"));
    return node;
  });
  const ready = choose(instance.ready, 10, (item) => near.get(keyOf.item(item)));
  const chips = ready.shown.map((item) => keyed(keyOf.ready(item), make("span", "chip", `item ${item}`), keyOf.entry({ item })));
  const hand = instance.hand === null ? null : keyed(keyOf.ready(instance.hand), make("span", "chip hand", `item ${instance.hand} is asked`));
  const waiters = choose(instance.waiters, 6, (pid) => near.get(keyOf.thread(pid)));
  const sleepers = waiters.shown.map((pid) => {
    const thread = state.threads.get(pid);
    return thread.asleep ? drawThread(state, pid) : make("span", "ghost", `${thread.name} (${pid}): on its CPU`);
  });
  const scanning = instance.scanning ? `${instance.scanning === "poll" ? "someone polls it" : "WAIT goes through it"}` : "";
  return keyed(keyOf.instance(instance.ep), make("article", `card instance${instance.closed ? " closed" : ""}`,
    make("header", "", make("b", "", `Instance ${instance.ep}`), make("small", "", instance.closed ? "closed" : plural(instance.items.size, "item"))),
    keyed(keyOf.queue(instance.ep), lane("ready", `ready queue${scanning ? `: ${scanning}` : ""}`, ...chips, andMore(ready.more), hand)),
    keyed(keyOf.waiters(instance.ep), lane("waiters", "waiters", ...sleepers, andMore(waiters.more))),
    make("div", "lane interest", make("h5", "", "interest list"), make("ul", "items", ...items), andMore(list.more, "items"))));
}

function drawCall(state, call, near) {
  const list = choose([...call.list.values()].sort((a, b) => a.fd - b.fd), 512, (one) => near.get(keyOf.file(fileOfCall(call.task, one.fd))));
  const cells = list.shown.map((one) => {
    const asked = one.asked === call.pass || call.ret !== null ? " asked" : "";
    return keyed(keyOf.cell(call.task, one.fd), make("li", `cell${asked}${one.found ? " found" : ""}${one.entry ? " entry" : ""}`, String(one.fd)));
  });
  const thread = state.threads.get(call.task);
  const what = call.ret === null ? `pass ${call.pass}` : `returned ${call.ret}`;
  return keyed(keyOf.call(call.task), make("article", `card call${call.ret === null ? "" : " closed"}`,
    make("header", "", make("b", "", `${String(call.call).toUpperCase()} of ${call.name}`), make("small", "", what)),
    make("p", "counts", `${plural(call.polled, "file")} asked, ${call.entries} in wait queues, ${plural(call.wakeups, "wake-up")}, ${plural(call.sleeps, "sleep")}`),
    make("ul", `cells${call.list.size > 40 ? " small" : ""}`, ...cells), andMore(list.more, "descriptors"),
    thread?.asleep && thread.on?.task === call.task ? drawThread(state, call.task) : null));
}

function drawMultiplexers(state, near) {
  const open = [...state.instances.values()].filter((instance) => !instance.closed || instance.items.size);
  const { shown, more } = choose(open, 4, (instance) => near.get(keyOf.instance(instance.ep)));
  const calls = choose([...state.calls.values()], 3, (call) => near.get(keyOf.call(call.task)));
  return zone("multiplexers", 3, "Who waits for which of them",
    ...shown.map((instance) => drawInstance(state, instance, near)), andMore(more, "instances"),
    ...calls.shown.map((call) => drawCall(state, call, near)), andMore(calls.more, "calls"),
    shown.length + calls.shown.length ? null : make("p", "none", "nobody yet"));
}

function drawCpus(state, step, all, near) {
  const { shown, more } = choose(all, 8, (cpu) => near.get(keyOf.cpu(cpu)));
  const cards = shown.map((number) => {
    const cpu = state.cpus.get(number);
    const node = keyed(keyOf.cpu(number), make("article", `card cpu${number === step.cpu ? " here" : ""}`, make("header", "", make("b", "", `CPU ${number}`))));
    if (!cpu) {
      node.append(make("p", "none", "not seen yet"));
      return node;
    }
    const known = state.threads.get(cpu.pid);
    if (cpu.context !== "task") node.append(make("div", `layer ${cpu.context.replace(" ", "")}`, make("b", "", cpu.context), make("small", "", "on top of")));
    const idle = cpu.pid === 0;
    if (idle) node.append(make("div", "thread idle", "idle"));
    else if (known && !known.asleep) node.append(drawThread(state, cpu.pid, cpu.context === "task" ? undefined : "interrupted"));
    else node.append(make("div", "thread", make("b", "", cpu.name), ` (${cpu.pid})`, make("small", "", cpu.context === "task" ? known?.asleep ? "about to sleep" : "" : "interrupted")));
    return node;
  });
  return zone("cpus", 4, "CPUs, and the threads that run on them", ...cards, andMore(more, "CPUs"));
}

const SVG = "http://www.w3.org/2000/svg";

// An arrow from one box to another, out of and into the sides that face each other.
function arrowPath(from, to) {
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  const [ax, ay] = middle(from);
  const [bx, by] = middle(to);
  const beside = to.x > from.x + from.width || from.x > to.x + to.width;
  if (beside) {
    const right = bx > ax;
    const x1 = right ? from.x + from.width : from.x;
    const x2 = right ? to.x - 4 : to.x + to.width + 4;
    const bend = Math.max(20, Math.abs(x2 - x1) / 2) * (right ? 1 : -1);
    return `M${x1} ${ay} C${x1 + bend} ${ay} ${x2 - bend} ${by} ${x2} ${by}`;
  }
  const down = by > ay;
  const y1 = down ? from.y + from.height : from.y;
  const y2 = down ? to.y - 4 : to.y + to.height + 4;
  const bend = Math.max(16, Math.abs(y2 - y1) / 2) * (down ? 1 : -1);
  return `M${ax} ${y1} C${ax} ${y1 + bend} ${bx} ${y2 - bend} ${bx} ${y2}`;
}

// The figure in an element: draw(state, now, moves) shows a state.
function figure(root, steps) {
  const cpus = [...new Set(steps.map((step) => step.cpu))].sort((a, b) => a - b);
  const stage = make("div", "stage");
  const arrows = document.createElementNS(SVG, "svg");
  arrows.setAttribute("class", "arrows");
  arrows.setAttribute("aria-hidden", "true");
  root.append(stage, arrows);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let drawn = [];

  const boxes = () => {
    const origin = root.getBoundingClientRect();
    const all = new Map();
    for (const node of stage.querySelectorAll("[data-key]")) {
      const { x, y, width, height } = node.getBoundingClientRect();
      all.set(node.dataset.key, { x: x - origin.x, y: y - origin.y, width, height });
    }
    return all;
  };

  function connect() {
    const all = boxes();
    arrows.replaceChildren();
    for (const [from, to] of drawn) {
      if (!all.has(from) || !all.has(to)) continue;
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", arrowPath(all.get(from), all.get(to)));
      const head = document.createElementNS(SVG, "path");
      head.setAttribute("class", "head");
      head.setAttribute("d", "M-7 -5 L2 0 L-7 5 z");
      arrows.append(path, head);
      const length = path.getTotalLength();
      const end = path.getPointAtLength(length);
      const before = path.getPointAtLength(Math.max(0, length - 6));
      head.setAttribute("transform", `translate(${end.x} ${end.y}) rotate(${(Math.atan2(end.y - before.y, end.x - before.x) * 180) / Math.PI})`);
    }
  }

  function move(before) {
    const after = boxes();
    for (const node of stage.querySelectorAll("[data-key]")) {
      if (!/^(token|ready|thread|entry)/.test(node.dataset.key)) continue;
      const old = before.get(node.dataset.key) ?? before.get(node.dataset.from);
      const box = after.get(node.dataset.key);
      if (!old) node.animate([{ opacity: 0, transform: "scale(.6)" }, { opacity: 1, transform: "none" }], { duration: 250 });
      else if (Math.hypot(old.x - box.x, old.y - box.y) > 3) {
        node.animate([{ transform: `translate(${old.x - box.x}px, ${old.y - box.y}px)` }, { transform: "none" }], { duration: 420, easing: "ease-in-out" });
      }
    }
  }

  new ResizeObserver(connect).observe(root);
  return function draw(state, now, moves) {
    const step = steps[now];
    const before = moves && !still.matches ? boxes() : null;
    const near = nearby(steps, now);
    const { lit, arrows: lines } = lights(state, step);
    stage.replaceChildren(drawWay(state), drawFiles(state, near), drawMultiplexers(state, near), drawCpus(state, step, cpus, near));
    for (const node of stage.querySelectorAll("[data-key]")) node.classList.toggle("lit", lit.has(node.dataset.key));
    drawn = lines;
    connect();
    if (before) move(before);
  };
}
