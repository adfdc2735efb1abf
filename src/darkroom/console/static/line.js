// What the pages of screen and serial console share: the way to the machine, how it is, and the way out by keyboard.

const line = document.getElementById("line");
export const again = document.getElementById("again");

export function address() {
  return location.href.replace(/^http/, "ws").replace(/[?#].*/, "");
}

export function say(state, reason = "") {
  line.textContent = [line.dataset[state], reason].filter(Boolean).join(" ");
  again.hidden = state !== "ended";
}

// A machine takes every key; this one stays the browser's, so that nobody is caught.
export function leavable(target) {
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Escape" && event.shiftKey && target.contains(document.activeElement)) {
        event.preventDefault();
        event.stopImmediatePropagation();
        document.querySelector("#tools button:not([hidden])")?.focus();
        if (target.contains(document.activeElement)) document.activeElement.blur();
      }
    },
    { capture: true },
  );
}
