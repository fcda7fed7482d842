// SPDX-License-Identifier: GPL-2.0
// Shows whatever statistics there are: numbers, tables of things that have the same numbers, histograms.

const LABELS = new Map(Object.entries({
  already: "already queued", calls: "calls", instances: "Instance", items: "item", limits: "refused by a limit",
  most: "most of one WAIT", polls: "asked", queued: "queued by callbacks", sources: "Source", successful: "with events",
  unready: "in vain", useless: "useless wake-ups", waits: "WAIT returned",
}));
const labelOf = (name) => LABELS.get(name) ?? name.replaceAll("_", " ");
const isGroup = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// A table with a row for each thing, and a column for each number that any of them has.
function tableOf(title, things) {
  const rows = Object.entries(things);
  const columns = [...new Set(rows.flatMap(([, thing]) => Object.keys(thing).filter((name) => !isGroup(thing[name]))))];
  const table = make("table", "counts");
  const head = table.createTHead().insertRow();
  for (const name of [title, ...columns.map((name) => (title === "item" && name === "useless" ? "useless callbacks" : labelOf(name)))]) {
    const cell = make("th", "count", name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const [key, thing] of rows) {
    const row = body.insertRow();
    for (const value of [key, ...columns.map((name) => thing[name] ?? "")]) row.append(make("td", "count", String(value)));
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

function statistics(counted) {
  const node = make("section", "statistics", make("h3", "", "Statistics"));
  for (const [kind, group] of Object.entries(counted ?? {})) {
    if (!isGroup(group) || Object.keys(group).length === 0) continue;
    const title = labelOf(kind);
    node.append(tableOf(title, group));
    // What belongs to each: the items of an instance.
    for (const [key, thing] of Object.entries(group)) {
      for (const [name, parts] of Object.entries(thing)) {
        if (isGroup(parts) && Object.keys(parts).length) node.append(make("h4", "", `${title} ${key}`), tableOf(labelOf(name), parts));
      }
    }
  }
  for (const times of counted?.times ?? []) if (times.count) node.append(histogram(times));
  return node;
}
