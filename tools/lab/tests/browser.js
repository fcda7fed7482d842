// SPDX-License-Identifier: GPL-2.0
// Runs after the page's own script: opens each recording as a reader does, and writes the results.
const results = [];
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
const check = (name, good) => results.push(`${good ? "ok" : "not ok"} ${name}`);
const turn = () => new Promise((done) => { setTimeout(done, 20); });

try {
  const rows = document.querySelectorAll(".overview td:first-child").length;
  check("claims", rows > 50 && rows === document.querySelectorAll(".claim").length);
  const links = [...document.querySelectorAll("a[href^='#']")];
  check("links", links.length > rows && links.every((link) => document.getElementById(link.hash.slice(1))));

  const films = [...document.querySelectorAll(".film")];
  let players = films.length > 15;
  let steps = true;
  for (const film of films) {
    film.open = true;
    await turn();
    const frame = film.querySelector(".frame");
    const forward = frame.querySelector("button[aria-label^='one step forward']");
    players &&= Boolean(forward) && document.querySelectorAll(".frame .controls").length > 0;
    const last = Number(frame.querySelector(".place")?.max);
    frame.querySelector("button[aria-label^='first step']")?.click();
    steps &&= last > 1 && frame.dataset.step === "0";
    for (let at = 0; at < last; at++) forward?.click();
    steps &&= Number(frame.dataset.step) === last;
    if (!steps) errors.push(`${film.id}: step ${frame.dataset.step} of ${last}`);
    check("width", document.documentElement.scrollWidth <= innerWidth);
    film.open = false;
    await turn();
  }
  check("players", players);
  check("steps", steps);
} catch (error) {
  errors.push(String(error));
}
check("errors", errors.length === 0);
// A failed check hides the passed checks of the same name.
const lines = [...new Set(results)].filter((line) => !(line.startsWith("ok ") && results.includes(`not ${line}`)));
const node = document.createElement("pre");
node.id = "result";
node.textContent = ["", "RESULT", ...lines, ...errors, "END", ""].join("\n");
document.body.append(node);
