// SPDX-License-Identifier: GPL-2.0
// Behind the page's own script: uses it as a reader would, and writes what went well.
"use strict";
(() => {
  const results = [];
  const errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  const check = (name, good) => results.push(`${good ? "ok" : "not ok"} ${name}`);
  const at = () => Number(element("player").dataset.step);
  const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const swipe = (by) => {
    const touch = (x) => new Touch({ identifier: 1, target: element("picture"), clientX: x, clientY: 10 });
    element("picture").dispatchEvent(new TouchEvent("touchstart", { changedTouches: [touch(200)] }));
    element("picture").dispatchEvent(new TouchEvent("touchend", { changedTouches: [touch(200 + by)] }));
  };
  const lit = () => document.querySelectorAll("#story tr.lit").length;

  try {
    const last = steps.length - 1;
    press("Home");
    const pictures = [element("picture").innerHTML];
    let forward = at() === 0;
    let lines = 0;
    for (let step = 1; step <= last; step++) {
      press("ArrowRight");
      forward &&= at() === step;
      pictures.push(element("picture").innerHTML);
      if (steps[step].story !== undefined) lines += lit() === 1 ? 0 : 1;
    }
    check("forward", forward && last > 100);
    press("ArrowRight");
    check("lit", lines === 0);
    let back = at() === last;
    for (let step = last - 1; step >= 0; step--) {
      press("ArrowLeft");
      back &&= at() === step && element("picture").innerHTML === pictures[step];
    }
    check("back", back);
    press("End");
    const end = at() === last;
    press("Home");
    check("keys", end && at() === 0);

    element("forward").click();
    const one = at() === 1;
    element("last").click();
    const two = at() === last;
    element("back").click();
    const three = at() === last - 1;
    element("first").click();
    check("buttons", one && two && three && at() === 0);
    element("place").value = 7;
    element("place").dispatchEvent(new Event("input"));
    check("slider", at() === 7);
    swipe(-100);
    const left = at() === 8;
    swipe(100);
    check("finger", left && at() === 7);

    let stories = data.stories.length > 5;
    data.stories.forEach((story, number) => {
      element("which").value = number;
      element("which").dispatchEvent(new Event("change"));
      const rows = [...document.querySelectorAll("#story tbody tr[data-at]")];
      stories &&= rows.length === story.steps.length && at() === story.steps[0].at && lit() === 1;
      rows.at(-1).click();
      stories &&= at() === story.steps.at(-1).at && lit() === 1;
    });
    check("stories", stories);

    // Where an item is queued it is in the ready queue; where it is delivered it was, and has left it.
    const queued = steps.findIndex((step) => step.event === "queue" && step.reason === "callback");
    show(queued);
    const inQueue = () => [...document.querySelectorAll(".lane")]
      .filter((lane) => lane.textContent.startsWith("ready queue"))
      .some((lane) => lane.textContent.includes(`item ${steps[queued].item}`));
    const entered = inQueue();
    show(steps.findIndex((step, at) => at > queued && step.event === "deliver" && step.item === steps[queued].item));
    check("picture", entered && !inQueue());
    check("width", document.documentElement.scrollWidth <= innerWidth);
  } catch (error) {
    errors.push(String(error));
  }
  check("errors", errors.length === 0);
  const node = document.createElement("pre");
  node.id = "result";
  node.textContent = ["", "RESULT", ...results, ...errors, "END", ""].join("\n");
  document.body.append(node);
})();
