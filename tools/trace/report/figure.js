// SPDX-License-Identifier: GPL-2.0 The figure: draws a state in an element, animates the objects
// that have moved, and draws the arrows.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// The path of an arrow between the facing sides of two boxes, in a figure of the given width.
function arrowPath(from, to, width) {
  const GAP = 5;
  const [ax, ay] = [from.x + from.width / 2, from.y + from.height / 2];
  const [bx, by] = [to.x + to.width / 2, to.y + to.height / 2];
  const clearX = Math.max(to.x - from.x - from.width, from.x - to.x - to.width);
  const clearY = Math.max(to.y - from.y - from.height, from.y - to.y - to.height);
  if (clearX > 12 && clearX > clearY / 3) {
    const way = bx > ax ? 1 : -1;
    const [x1, x2] = way > 0 ? [from.x + from.width, to.x - GAP] : [from.x, to.x + to.width + GAP];
    const bend = way * Math.max(16, Math.abs(x2 - x1) / 2);
    return `M${x1} ${ay} C${x1 + bend} ${ay} ${x2 - bend} ${by} ${x2} ${by}`;
  }
  const way = by > ay ? 1 : -1;
  const [y1, y2] = way > 0 ? [from.y + from.height, to.y - GAP] : [from.y, to.y + to.height + GAP];
  if (clearY < 90) {
    // Enter a wide box at its near part, to keep the arrow steep.
    const reach = Math.min(24, to.width / 2);
    const x2 = Math.min(Math.max(ax, to.x + reach), to.x + to.width - reach);
    const bend = way * Math.max(12, Math.abs(y2 - y1) / 2);
    return `M${ax} ${y1} C${ax} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
  }
  // Far away: follow the margin, to cross no text in between.
  const right = (ax + bx) / 2 > width / 2 ? 1 : -1;
  const side = right > 0 ? width - 5 : 5;
  const x2 = right > 0 ? to.x + to.width + GAP : to.x - GAP;
  return `M${ax} ${y1} C${ax} ${y1 + way * 25} ${side} ${y1 + way * 5} ${side} ${y1 + way * 35} L${side} ${by - way * 25} Q${side} ${by} ${x2} ${by}`;
}

const areOneInTheOther = (a, b) => a.node.contains(b.node) || b.node.contains(a.node);

function drawArrow(layer, from, to, className) {
  const path = svg("path", { d: arrowPath(from, to, layer.clientWidth) });
  const group = svg("g", { class: className });
  const halo = path.cloneNode();
  halo.setAttribute("class", "halo");
  group.append(halo, path);
  layer.append(group);
  const length = path.getTotalLength();
  const end = path.getPointAtLength(length);
  const before = path.getPointAtLength(Math.max(0, length - 6));
  const angle = (Math.atan2(end.y - before.y, end.x - before.x) * 180) / Math.PI;
  group.append(svg("path", { class: "head", d: "M-7 -5 L3 0 L-7 5 z", transform: `translate(${end.x.toFixed(1)} ${end.y.toFixed(1)}) rotate(${angle.toFixed(1)})` }));
  return { path, length };
}

// The objects that move from one picture to the next.
const MOVES = /^(token|ready|thread) /;

// Returns draw(state, now, earlier, animates), which shows the state after step `now`, with the
// arrows of the earlier steps paler.
function figure(root, steps, fileOf) {
  const cpus = [...new Set(steps.map((step) => step.cpu))].sort((a, b) => a - b);
  const stage = make("div", "stage");
  const layer = svg("svg", { class: "arrows", "aria-hidden": "true" });
  root.append(stage, layer);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let lines = [];

  const boxes = () => {
    const origin = root.getBoundingClientRect();
    const all = new Map();
    for (const node of stage.querySelectorAll("[data-key]")) {
      const { x, y, width, height } = node.getBoundingClientRect();
      all.set(node.dataset.key, { node, x: x - origin.x, y: y - origin.y, width, height });
    }
    return all;
  };

  function connect(all, animates) {
    layer.replaceChildren();
    for (const { from, to, className } of lines) {
      const [a, b] = [all.get(from), all.get(to)];
      if (!a || !b || a.width === 0 || areOneInTheOther(a, b)) continue;
      const { path, length } = drawArrow(layer, a, b, className);
      if (!animates || className === "past") continue;
      path.animate([{ strokeDasharray: `0 ${length}` }, { strokeDasharray: `${length} 0` }], { duration: 350, easing: "ease-out" });
    }
  }

  function move(before, after) {
    for (const [key, box] of after) {
      if (!MOVES.test(key)) continue;
      const old = before.get(key) ?? before.get(box.node.dataset.from);
      if (!old) box.node.animate([{ opacity: 0, transform: "scale(.5)" }, { opacity: 1, transform: "none" }], { duration: 300 });
      else if (Math.hypot(old.x - box.x, old.y - box.y) > 3) {
        box.node.animate([{ transform: `translate(${old.x - box.x}px, ${old.y - box.y}px)` }, { transform: "none" }], { duration: 450, easing: "ease-in-out" });
      }
    }
  }

  new ResizeObserver(() => connect(boxes(), false)).observe(root);
  return function draw(state, now, earlier, animates) {
    const step = steps[now];
    const before = animates && !still.matches ? boxes() : null;
    const near = nearby(steps, now);
    const { lit, arrows } = lights(state, step, fileOf(state, step));
    stage.replaceChildren(drawWay(state), drawFiles(state, near), drawMultiplexers(state, near), drawCpus(state, step, cpus, near));
    for (const node of stage.querySelectorAll("[data-key]")) node.classList.toggle("lit", lit.has(node.dataset.key));
    const arrowsOf = (list, className) => list.map(([from, to]) => ({ from, to, className }));
    lines = [...earlier.flatMap((one) => arrowsOf(lights(state, one, fileOf(state, one)).arrows, "past")), ...arrowsOf(arrows, "now")];
    const after = boxes();
    connect(after, before !== null);
    if (before) move(before, after);
  };
}
