// SPDX-License-Identifier: GPL-2.0
// Runs after the players' script. A recording is shown when it is opened, since there are many.
const frames = document.querySelectorAll(".frame");
// Marks all of them before the first is shown: a single player takes the keys of the whole page.
for (const frame of frames) frame.classList.add("recording");
for (const frame of frames) {
  const film = frame.parentElement;
  film.addEventListener("toggle", () => {
    if (film.open && !frame.dataset.step) player(frame, JSON.parse(frame.querySelector("script").textContent));
  });
}
// A link to a claim, or to its recording, opens it.
const open = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", open);
open();
