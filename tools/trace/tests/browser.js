// SPDX-License-Identifier: GPL-2.0 Runs after the page's own script: operates the page as a reader
// would, and reports each check. PARTS names the parts to run.
const results = [];
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
const check = (name, good, why = "") => results.push(`${good ? "ok" : "not ok"} ${name}${good ? "" : ` ${why}`}`);

// The page.
const root = document.querySelector(".recording");
const one = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const object = (key) => all("[data-key]").find((node) => node.dataset.key === key);
const isLit = (key) => object(key)?.classList.contains("lit") ?? false;
const at = () => Number(root.dataset.step);
const press = (key, shiftKey = false, target = document) => target.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey, bubbles: true, cancelable: true }));
const label = (start) => all("button").find((button) => button.getAttribute("aria-label").startsWith(start));
const go = (step) => {
  one(".place").value = step;
  one(".place").dispatchEvent(new Event("input"));
};
const arrows = () => all(".arrows .now").length;
const litLines = () => all(".lines li.lit");

// The recording.
const data = JSON.parse(one("script").textContent);
const { kinds, threads, rows } = data.steps;
const steps = rows.map((row) => ({
  event: kinds[row[0]].event, pid: threads[row[4]][1], story: row[5],
  ...Object.fromEntries(kinds[row[0]].fields.map((field, number) => [field === "pid" ? "target" : field, row[6 + number]])),
}));
const last = steps.length - 1;
const find = (event, where = () => true, from = 0) => {
  const found = steps.findIndex((step, number) => number >= from && step.event === event && where(step));
  if (found < 0) throw new Error(`the recording has no such ${event}`);
  return found;
};
const seeAt = (step) => { go(step); return one(".stage").innerHTML; };

const parts = {
  // Each control that moves to another step.
  controls() {
    press("Home");
    let forward = at() === 0;
    const pictures = [one(".stage").innerHTML];
    let lines = 0;
    for (let step = 1; step <= last; step++) {
      press("ArrowRight");
      forward &&= at() === step;
      pictures.push(one(".stage").innerHTML);
      const lit = litLines();
      if (steps[step].story === null ? lit.length !== 0 : lit.length !== 1 || Number(lit[0].dataset.at) !== step) lines += 1;
    }
    press("ArrowRight");
    check("forward", forward && at() === last && last > 100);
    check("lit", lines === 0, `${lines} steps without their line`);
    const others = pictures.filter((picture, step) => step && picture !== pictures[step - 1]).length;
    check("moves", others === last, `${last - others} steps that change nothing`);
    let back = 0;
    for (let step = last - 1; step >= 0; step--) {
      press("ArrowLeft");
      if (at() !== step || one(".stage").innerHTML !== pictures[step]) back += 1;
    }
    check("back", back === 0, `${back} pictures are other ones than before`);
    let jumps = 0;
    for (let step = 0; step <= last; step += 7) if (seeAt((step * 31) % last) !== pictures[(step * 31) % last]) jumps += 1;
    check("jumps", jumps === 0, `${jumps} pictures are other ones than before`);

    press("End");
    const end = at() === last;
    press("Home");
    check("keys", end && at() === 0);
    label("one step forward").click();
    const second = at() === 1;
    label("last step").click();
    const final = at() === last;
    label("one step back").click();
    const before = at() === last - 1;
    label("first step").click();
    check("buttons", second && final && before && at() === 0);
    go(7);
    check("slider", at() === 7);
    const swipe = (by, down = 0) => {
      const touch = (x, y) => new Touch({ identifier: 1, target: one(".figure"), clientX: x, clientY: y });
      one(".figure").dispatchEvent(new TouchEvent("touchstart", { changedTouches: [touch(200, 10)] }));
      one(".figure").dispatchEvent(new TouchEvent("touchend", { changedTouches: [touch(200 + by, 10 + down)] }));
    };
    swipe(-100);
    const left = at() === 8;
    swipe(100);
    swipe(60, 200);
    check("finger", left && at() === 7);
    check("link", one(".number").getAttribute("href") === "#step=8" && one(".number").textContent.startsWith("8 of"));
  },

  stories() {
    let stories = data.stories.length > 5;
    data.stories.forEach((story, number) => {
      one(".which").value = number;
      one(".which").dispatchEvent(new Event("change"));
      const lines = all(".lines li[data-at]");
      stories &&= lines.length === story.steps.length && at() === story.steps[0].at && litLines().length === 1;
      lines.at(-1).querySelector("button").click();
      stories &&= at() === story.steps.at(-1).at && litLines()[0] === all(".lines li[data-at]").at(-1);
    });
    check("stories", stories);
    const [first, second] = data.stories;
    go(first.steps[0].at);
    press("ArrowRight", true);
    const next = at() === first.steps[1].at;
    press("ArrowLeft", true);
    const back = at() === first.steps[0].at;
    press("ArrowDown", true);
    const other = at() === second.steps[0].at;
    press("ArrowUp", true);
    check("story keys", next && back && other && at() === first.steps[0].at);
  },

  statistics() {
    const tables = all(".statistics table");
    const kinds = Object.keys(data.statistics.instances).length + Object.keys(data.statistics.instances).filter((ep) => Object.keys(data.statistics.instances[ep].items).length).length;
    const isWhole = tables.every((table) => [...table.rows].every((row) => row.cells.length === table.rows[0].cells.length));
    check("statistics", tables.length >= 2 && all(".statistics tbody tr").length >= kinds && isWhole && all(".histogram .bar").length > 3 && !one(".statistics").textContent.includes("object"));
  },

  // A packet: each station is lit in order and holds the data; then the file, the thread and the
  // NIC do.
  packet() {
    const story = data.stories.find((one) => one.title.includes("UDP"));
    const placeOf = { interrupt: "hardirq", NAPI: "softirq", driver: "driver", protocol: "protocol", socket: "file" };
    let stations = 0;
    for (const line of story.steps) {
      if (!(line.name in placeOf)) continue;
      go(line.at);
      const key = `station ${placeOf[line.name]}`;
      if (isLit(key) && object(key).querySelector(".token")) stations += 1;
    }
    check("stations", stations === 5, `${stations} of 5`);
    const stepOf = (name) => story.steps.find((line) => line.name === name).at;
    const callback = stepOf("callback");
    const { item, fd, ep } = steps[callback];
    go(callback);
    const file = () => object(`entry ${item}`).closest(".file");
    check("callback", isLit(`entry ${item}`) && arrows() === 2 && file().querySelector(".token") !== null && file().textContent.includes(`fd ${fd}`));
    check("interrupted", one(".cpu.here .softirq") !== null);
    const queue = () => object(`queue ${ep}`).textContent.includes(`item ${item}`);
    const entered = !queue();
    go(stepOf("ready queue"));
    check("ready queue", entered && queue() && isLit(`ready ${item}`) && arrows() === 1);
    go(stepOf("scheduler"));
    const { target } = steps[at()];
    const asleep = object(`thread ${target}`).closest(".instance") !== null && object(`thread ${target}`).classList.contains("woken");
    go(stepOf("running"));
    check("thread", asleep && object(`thread ${target}`).closest(".cpu.here") !== null && isLit(`thread ${target}`));
    go(stepOf("poll"));
    check("poll", isLit(`item ${item}`) && object(`ready ${item}`).classList.contains("hand"));
    go(stepOf("delivery"));
    check("delivery", object(`thread ${target}`).textContent.includes(`fd ${fd}: IN`));
    const waiting = file().querySelector(".token") !== null;
    go(stepOf("read"));
    check("read", waiting && file().querySelector(".token") === null && object(`thread ${target}`).querySelector(".token") !== null);
    go(stepOf("echo sent"));
    const sent = object("station nic").querySelector(".token") !== null && isLit("station nic");
    go(at() + 1);
    check("echo", sent && one(".stage .token") === null);
  },

  // All other objects: items of each kind, nested instances, SELECT and POLL, a source.
  scenes() {
    const disarm = find("disarm");
    const oneshot = `item ${steps[disarm].item}`;
    const hasFlag = (word) => [...object(oneshot).querySelectorAll(".flag")].some((flag) => flag.textContent === word);
    go(disarm - 1);
    const armed = hasFlag("ONESHOT") && !hasFlag("disarmed");
    go(disarm);
    const off = hasFlag("disarmed") && isLit(oneshot);
    go(find("modify", () => true, disarm));
    check("oneshot", armed && off && !hasFlag("disarmed"));

    const outer = steps[find("add", (step) => step.target > 0)];
    go(find("callback", (step) => step.item === outer.item));
    check("nested", object(`item ${outer.item}`).textContent.includes(`instance ${outer.target}`) && isLit(`entry ${outer.item}`) && arrows() === 2);

    // A call polls its files in order, in each pass.
    const setup = find("select_setup", (step) => step.nfds === 12);
    const { task } = steps[setup];
    const cells = (name) => all(".call .cell").filter((cell) => cell.classList.contains(name)).length;
    const entries = () => all(".file .entry.ofTask").length;
    let turns = 0;
    for (let count = 1; count <= 12; count++) {
      go(setup + count);
      if (cells("asked") === count && cells("enqueued") === count && isLit(`cell ${task} ${steps[at()].fd}`) && arrows() === 1) turns += 1;
    }
    check("first pass", turns === 12, `${turns} of 12`);
    const wake = find("select_wake", () => true, setup);
    go(wake);
    check("select wake", isLit(`entry of ${task} fd ${steps[wake].fd}`) && isLit(`thread ${task}`) && arrows() === 2 && entries() === 6);
    const again = find("select_poll", () => true, wake);
    go(again);
    const anew = cells("asked") === 1 && cells("enqueued") === 12;
    go(find("select_pass", () => true, again));
    check("second pass", anew && cells("asked") === 12 && cells("found") === 1);
    const result = find("select_result", () => true, again);
    go(result - 1);
    const before = entries();
    go(result);
    check("select result", before > 0 && entries() === 0 && cells("enqueued") === 0 && one(".call").textContent.includes("returned 1"));

    const sleep = find("source_sleep");
    const source = `source ${steps[sleep].source}`;
    const messages = () => object(source).querySelectorAll(".message").length;
    go(sleep);
    const reader = object(`thread ${steps[sleep].pid}`).closest(".source") !== null;
    let arrivals = 0;
    steps.forEach((step, number) => {
      if (step.event !== "source_arrive") return;
      go(number);
      if (messages() === step.queued && isLit(source)) arrivals += 1;
    });
    check("source", reader && arrivals === steps.filter((step) => step.event === "source_arrive").length && arrivals > 3);
    const drop = find("source_drop");
    go(drop);
    check("drops", object(source).textContent.includes("1 dropped"));
    const inFile = object(source).closest(".file").textContent.includes("wait queue");
    go(find("source_read", () => true, drop));
    check("source's file", inFile && messages() === steps[drop - 4].queued - 1, `${messages()}`);
  },

  // Of a hundred files a few are shown, always with those of the step.
  many() {
    const first = find("add");
    let most = 0;
    let missing = 0;
    steps.forEach((step, number) => {
      go(number);
      most = Math.max(most, all(".card.file").length, all(".instance .item").length / Math.max(1, all(".instance").length));
      const gone = ["remove", "release"].includes(step.event);
      if (number >= first && step.item !== undefined && !gone && !object(`item ${step.item}`)) missing += 1;
      if (step.event === "select_poll" && !isLit(`cell ${step.task} ${step.fd}`)) missing += 1;
    });
    check("few", most <= 9, `${most}`);
    check("what it is about", missing === 0, `${missing} steps do not show it`);
    go(find("select_result", (step) => step.polled >= 200) - 1);
    check("more", all(".more").some((node) => /and 9\d more/.test(node.textContent)) && all(".cells.small .cell").length === 100);
  },

  width() {
    let wide = 0;
    for (let step = 0; step <= last; step += 5) {
      go(step);
      const over = all(".stage *").filter((node) => node.getBoundingClientRect().right > innerWidth + 0.5 && !node.closest(".scrolls"));
      if (document.documentElement.scrollWidth > innerWidth || over.length) wide += 1;
    }
    const small = all("button, select").filter((node) => node.offsetHeight && node.offsetHeight < 24).length;
    check("width", wide === 0 && innerWidth <= WIDTH, `${wide} steps are too wide for ${innerWidth}`);
    check("fingers", small === 0, `${small} things are too small to be hit`);
  },

  // The contrast of text to its background, by WCAG AA.
  contrast() {
    one(".help").open = true;
    const parse = (color) => color.match(/[\d.]+/g).map(Number);
    const light = (color) => {
      const [r, g, b] = parse(color).slice(0, 3).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (node) => {
      for (let up = node; up; up = up.parentElement) {
        const { backgroundColor } = getComputedStyle(up);
        if (parse(backgroundColor)[3] !== 0) return backgroundColor;
      }
      return "rgb(255, 255, 255)";
    };
    const poor = new Set();
    let dark = 0;
    for (let step = 0; step <= last; step += 3) {
      go(step);
      for (const node of document.querySelectorAll("body *")) {
        const hasText = [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
        const { color, fontSize } = getComputedStyle(node);
        if (!hasText || fontSize === "0px" || ["SCRIPT", "OPTION"].includes(node.tagName) || !node.getClientRects().length) continue;
        const [a, b] = [light(color), light(behind(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (a > b) dark += 1;
        if (ratio < 4.5) poor.add(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
      }
    }
    check("contrast", poor.size === 0, [...poor].join(", "));
    check("scheme", DARK ? dark > 1000 : dark < steps.length * 20, `${dark} bright texts`);
  },

  // Animation, unless the system asks for reduced motion.
  motion() {
    const callback = find("callback", (step) => step.outcome === "queued");
    go(callback);
    press("ArrowRight");
    const moving = document.getAnimations().length;
    check("motion", STILL ? moving === 0 : moving > 0, `${moving} things move`);
  },

  // Names are inserted as text only.
  hostile() {
    press("Home");
    for (let step = 1; step <= last; step++) press("ArrowRight");
    const seen = document.body.textContent.includes("<img src=x");
    check("hostile", seen && document.querySelectorAll("img").length === 0 && document.title !== "owned");
  },

  // Two players in a page: keys go to the one with the focus.
  two() {
    const [a, b] = document.querySelectorAll(".recording");
    const start = [a.dataset.step, b.dataset.step];
    press("ArrowRight");
    const neither = a.dataset.step === start[0] && b.dataset.step === start[1];
    press("End", false, b.querySelector(".figure"));
    const second = a.dataset.step === start[0] && Number(b.dataset.step) === last;
    press("Home", false, a.querySelector(".figure"));
    check("two", neither && second && a.dataset.step === "0" && Number(b.dataset.step) === last);
  },

  linked() {
    const first = at() === 59;
    location.hash = "#step=3";
    dispatchEvent(new Event("hashchange"));
    check("linked", first && at() === 2);
  },

  empty() {
    for (const key of ["ArrowRight", "ArrowLeft", "Home", "End", " "]) press(key);
    check("empty", one(".now").textContent.includes("no events"));
  },
};

try {
  for (const part of PARTS.split(" ")) parts[part]();
} catch (error) {
  errors.push(String(error.stack));
}
check("errors", errors.length === 0, errors.join("; "));
parent.postMessage(["RESULT", ...results, "END"].join("\n"), "*");
