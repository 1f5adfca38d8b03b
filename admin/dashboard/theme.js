// Before the first paint: the look that was chosen last, if one was. Otherwise the system's.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("adit.theme");
  } catch {
    // A browser that keeps nothing gets the system's look.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
