// SPDX-License-Identifier: GPL-2.0
// Shows the statistics: a table for each kind of object, and histograms of times.

// The labels of the columns, in order. Columns that are not listed follow, by their own names.
const LABELS = new Map(Object.entries({
  instances: "Instance", callers: "Caller of SELECT and POLL", sources: "Source", items: "Item",
  comm: "name", fd: "fd", calls: "calls", waits: "WAITs", successful: "with events", per_wait: "events: WAITs", queued: "queued by callbacks",
  already: "already queued", polls: "polls", unready: "not ready", asked: "polls of files", in_vain: "not ready", delivered: "delivered", most: "most at once",
  sleeps: "sleeps", wakeups: "wake-ups", useless: "useless wake-ups", timeouts: "timeouts", signals: "signals", limits: "refused by a limit",
}));
const ORDER = [...LABELS.keys()];
const labelOf = (name, title) => (title === "Item" && name === "useless" ? "useless callbacks" : LABELS.get(name) ?? name.replaceAll("_", " "));

const isGroup = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
// Whether a value is a group of objects, each with numbers, and not a group of numbers.
const areThings = (value) => isGroup(value) && Object.values(value).length > 0 && Object.values(value).every(isGroup);
const inCell = (value) => (isGroup(value) ? Object.entries(value).map(([name, count]) => `${name}: ${count}`).join(", ") : String(value ?? ""));

// A table with a row for each object, and a column for each number that any of them has.
function tableOf(title, things) {
  const rows = Object.entries(things);
  // A value that is a table or a histogram is no column.
  const isCell = (name) => rows.every(([, thing]) => !Array.isArray(thing[name]) && !areThings(thing[name]));
  const columns = [...new Set(rows.flatMap(([, thing]) => Object.keys(thing)))].filter(isCell);
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  columns.sort((a, b) => rank(a) - rank(b));
  const table = make("table", "counts");
  const head = table.createTHead().insertRow();
  for (const name of [title, ...columns.map((name) => labelOf(name, title))]) {
    const cell = make("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const [key, thing] of rows) {
    const row = body.insertRow();
    for (const value of [key, ...columns.map((name) => inCell(thing[name]))]) row.append(make("td", "", value));
  }
  return make("div", "scrolls", table);
}

function histogram(times) {
  const node = make("figure", "histogram");
  node.append(make("figcaption", "", `Time ${times.name}, in µs: ${plural(times.count, "event")}, median ${micros(times.median)}, 99 % ${micros(times.p99)}, most ${micros(times.most)}`));
  const most = Math.max(...times.buckets.map((bucket) => bucket[1]));
  for (const [from, count] of times.buckets) {
    const bar = make("div", "bar");
    bar.style.width = `${(100 * count) / most}%`;
    node.append(make("span", "", `${micros(from)} to ${micros(2 * from)}`), make("span", "", String(count)), make("div", "", count ? bar : null));
  }
  return node;
}
const histograms = (times) => (Array.isArray(times) ? times : []).filter((one) => one.count > 0 && Array.isArray(one.buckets)).map(histogram);

function statistics(counted) {
  const node = make("section", "statistics", make("h3", "", "Statistics"));
  for (const [kind, things] of Object.entries(counted ?? {})) {
    if (!areThings(things)) continue;
    const title = labelOf(kind);
    node.append(tableOf(title, things));
    for (const [key, thing] of Object.entries(things)) {
      // The details of each object: the items of an instance, the times of its events.
      const parts = Object.entries(thing).filter(([, part]) => areThings(part)).map(([name, part]) => tableOf(labelOf(name), part));
      const inside = [...parts, ...histograms(thing.times)];
      if (inside.length) node.append(make("details", "", make("summary", "", `${title} ${key}`), ...inside));
    }
  }
  node.append(...histograms(counted?.times));
  return node;
}
