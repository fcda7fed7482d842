// SPDX-License-Identifier: GPL-2.0
// The player: shows a recording in an element, with controls, picture, story and statistics.

const HELP = [
  "Each step is one record of the trace. The picture shows the state after it. The objects that the step names are lit; arrows show what moved or who called whom.",
  "1: an interrupt, a timer or a system call makes a file ready. 2: the file calls the entries in its wait queue. 3: the callback puts the item into the instance's ready queue and wakes a waiter. SELECT and POLL have no such queue: they poll all of their files again. 4: the scheduler runs the waiter, which takes the event and reads.",
  "Keys: left and right arrow move by one step, with shift by one step of this story; shift with up and down selects another story; Home and End go to the first and last step; space plays.",
];
const LEGEND = [
  [["i", "token", ""], "data in transit"], [["span", "entry", "item"], "an item's entry in a wait queue"], [["span", "entry ofTask", "task"], "an entry of SELECT or POLL"],
  [["span", "chip", "item"], "an item in the ready queue"], [["span", "cell asked", "7"], "polled in this pass"], [["span", "cell found", "7"], "found ready"],
  [["span", "badge task", "task"], "in a thread's system call"], [["span", "badge softirq", "softirq"], ""], [["span", "badge hardirq", "hard irq"], "on top of an unrelated thread"],
];

function help() {
  const node = make("details", "help", make("summary", "", "How to read this"));
  node.append(...HELP.map((text) => make("p", "", text)));
  const legend = make("ul", "legend", ...LEGEND.map(([sample, text]) => make("li", "", make(...sample), ` ${text}`)));
  node.append(legend);
  return node;
}

const ICONS = {
  first: "M5 4v16M19 4L9 12l10 8z", back: "M17 4L7 12l10 8z", forward: "M7 4l10 8L7 20z", last: "M19 4v16M5 4l10 8L5 20z",
  play: "M6 3l14 9L6 21z", pause: "M7 4v16M17 4v16",
};
function icon(name) {
  const node = svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  node.append(svg("path", { d: ICONS[name] }));
  return node;
}

function button(content, label, action) {
  const node = make("button", "", content);
  node.type = "button";
  node.title = label;
  node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}

// Shows a recording in an element. It keeps no global state, so a page may have several players.
function player(root, data) {
  const steps = stepsOf(data);
  const { stories } = data;
  const last = steps.length - 1;
  const abouts = stories.map((story) => aboutOf(story, steps));
  const about = (step) => (step.story === null ? undefined : abouts[step.story]);
  const stateAt = history(steps, about);
  let now = -1;
  let shown = null;
  let timer = null;

  const place = make("input", "place");
  Object.assign(place, { type: "range", min: 0, max: Math.max(0, last), value: 0 });
  place.setAttribute("aria-label", "step");
  place.addEventListener("input", () => show(Number(place.value)));
  const number = make("a", "number");
  const plays = button(icon("play"), "play (space)", () => play());
  const controls = make("div", "controls",
    button(icon("first"), "first step (Home)", () => show(0)), button(icon("back"), "one step back (left arrow)", () => show(now - 1)), plays,
    button(icon("forward"), "one step forward (right arrow)", () => show(now + 1)), button(icon("last"), "last step (End)", () => show(last)), number, place);
  const caption = make("p", "now");
  caption.setAttribute("aria-live", "polite");
  const picture = make("div", "figure");
  picture.tabIndex = 0;
  picture.setAttribute("role", "group");
  picture.setAttribute("aria-label", "the picture after this step");
  const draw = figure(picture, steps, (state, step) => fileOfStory(state, about(step)));

  const which = make("select", "which");
  which.setAttribute("aria-label", "story");
  stories.forEach((story, at) => {
    const option = make("option", "", story.title);
    option.value = at;
    which.append(option);
  });
  which.addEventListener("change", () => begin(Number(which.value)));
  const lines = make("ol", "lines");
  const tale = make("section", "tale", make("h3", "", "The story of one event"), which,
    make("div", "controls", button("< story", "previous story (shift, up)", () => begin(shown - 1)), button("< line", "previous step of this story (shift, left)", () => line(-1)),
      button("line >", "next step of this story (shift, right)", () => line(1)), button("story >", "next story (shift, down)", () => begin(shown + 1))), lines);
  tale.hidden = stories.length === 0;

  root.append(make("p", "summary", data.summary), help(),
    make("div", "columns", make("section", "show", controls, caption, picture), tale), statistics(data.statistics));

  function show(wanted) {
    const next = Math.max(0, Math.min(last, wanted));
    const isNear = Math.abs(next - now) === 1;
    now = next;
    const step = steps[now];
    draw(stateAt(now), now, before(step), isNear);
    root.dataset.step = now;
    place.value = now;
    place.setAttribute("aria-valuetext", `${now + 1} of ${steps.length}`);
    number.textContent = `${now + 1} of ${steps.length}`;
    number.href = `#step=${now + 1}`;
    caption.replaceChildren(make("b", "", step.event.replaceAll("_", " ")), ` ${inWords(step)} `,
      make("small", "", make("span", `badge ${step.context.replace(" ", "")}`, step.context), ` CPU ${step.cpu}, ${step.comm} (${step.pid}), ${micros(step.time)} µs: ${inFields(step)}`));
    // Switch to the step's story, unless the story shown includes the step.
    const isShown = stories[shown]?.steps.some((one) => one.at === now);
    if (!isShown && step.story !== null) showStory(step.story);
    for (const node of lines.children) {
      const lit = Number(node.dataset.at) === now;
      if (node.classList.toggle("lit", lit)) node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
      node.classList.toggle("past", Number(node.dataset.at) < now);
    }
  }

  // The two steps of the story before this one.
  function before(step) {
    if (step.story === null) return [];
    return stories[step.story].steps.filter((one) => one.at < now).slice(-2).map((one) => steps[one.at]);
  }

  function showStory(story) {
    shown = story;
    which.value = story;
    const { steps: parts, missing } = stories[story];
    const start = parts.length ? steps[parts[0].at].time : 0;
    lines.replaceChildren(...parts.map((part, at) => {
      const step = steps[part.at];
      const since = at ? `+${micros(step.time - steps[parts[at - 1].at].time)}` : "";
      const node = make("li", "", make("span", "time", micros(step.time - start), make("small", "", since)),
        make("span", "at", make("span", `badge ${step.context.replace(" ", "")}`, step.context), make("small", "", `CPU ${step.cpu}`)),
        button("", `${part.name}: ${part.detail}`, () => show(part.at)));
      node.lastChild.append(make("b", "", part.name), ` ${part.detail}`);
      node.lastChild.removeAttribute("title");
      node.dataset.at = part.at;
      return node;
    }));
    if (missing) lines.append(make("li", "missing", `The trace lacks the step "${missing}".`));
  }

  // Shows a story from its first step.
  function begin(story) {
    if (!stories[story]) return;
    showStory(story);
    if (stories[story].steps.length) show(stories[story].steps[0].at);
  }

  // Shows the next step of the story, or the previous one.
  function line(by) {
    const places = (stories[shown]?.steps ?? []).map((one) => one.at);
    const next = by > 0 ? places.find((at) => at > now) : places.findLast((at) => at < now);
    if (next !== undefined) show(next);
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    plays.replaceChildren(icon("play"));
    plays.setAttribute("aria-label", "play (space)");
  }
  function play() {
    if (timer !== null) return pause();
    plays.replaceChildren(icon("pause"));
    plays.setAttribute("aria-label", "pause (space)");
    timer = setInterval(() => (now < last ? show(now + 1) : pause()), 900);
  }

  function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const on = event.target.tagName;
    if (on === "SELECT" || (event.key === " " && ["BUTTON", "SUMMARY", "A"].includes(on))) return;
    const actions = event.shiftKey
      ? { ArrowRight: () => line(1), ArrowLeft: () => line(-1), ArrowUp: () => begin(shown - 1), ArrowDown: () => begin(shown + 1) }
      : { ArrowRight: () => show(now + 1), ArrowLeft: () => show(now - 1), Home: () => show(0), End: () => show(last), " ": play };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }

  if (steps.length === 0) {
    caption.textContent = "The trace has no events of repoll.";
    return;
  }
  root.addEventListener("keydown", press);
  let touch = null;
  picture.addEventListener("touchstart", (event) => { [touch] = event.changedTouches; }, { passive: true });
  picture.addEventListener("touchend", (event) => {
    const [end] = event.changedTouches;
    const across = end.clientX - touch.clientX;
    if (Math.abs(across) > 40 && Math.abs(across) > Math.abs(end.clientY - touch.clientY)) show(now + (across < 0 ? 1 : -1));
  });

  const linked = () => {
    const found = /^#step=(\d+)$/.exec(location.hash);
    return found ? Number(found[1]) - 1 : null;
  };
  const isAlone = document.querySelectorAll(".recording").length === 1;
  if (isAlone) {
    document.addEventListener("keydown", (event) => { if (!root.contains(event.target)) press(event); });
    addEventListener("hashchange", () => { if (linked() !== null) show(linked()); });
  } else {
    number.hidden = true;
  }
  if (stories.length) showStory(0);
  show((isAlone ? linked() : null) ?? stories[0]?.steps[0]?.at ?? 0);
}

for (const root of document.querySelectorAll(".recording")) {
  player(root, JSON.parse(root.querySelector("script").textContent));
}
