// The serial console of a machine: xterm.js over the page's own address.

import { FitAddon } from "./vendor/xterm/addon-fit.js";
import { Terminal } from "./vendor/xterm/xterm.js";
import { address, again, leavable, say } from "./line.js";

const target = document.getElementById("serial");
const read = document.getElementById("read");

// xterm.js makes style elements, and sets style attributes by name: both as the page's policy allows.
const create = document.createElement.bind(document);
document.createElement = (name, options) => {
  const made = create(name, options);
  if (name === "style") made.nonce = target.dataset.nonce;
  return made;
};
const set = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  if (name === "style") this.style.cssText = value;
  else set.call(this, name, value);
};

const style = getComputedStyle(target);
const terminal = new Terminal({
  fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
  fontSize: 14,
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  theme: { background: style.backgroundColor, foreground: style.color },
});
const fit = new FitAddon();
const encoder = new TextEncoder();
let socket;

function connect() {
  say("connecting");
  socket = new WebSocket(address());
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => {
    say("open");
    terminal.reset();
    terminal.focus();
  });
  socket.addEventListener("message", (event) => terminal.write(new Uint8Array(event.data)));
  socket.addEventListener("close", (event) => say("ended", event.reason));
}

function send(data) {
  if (socket.readyState === WebSocket.OPEN) socket.send(data);
}

terminal.loadAddon(fit);
terminal.open(target);
fit.fit();
new ResizeObserver(() => fit.fit()).observe(target);
terminal.onData((text) => send(encoder.encode(text)));
terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
read.hidden = false;
read.addEventListener("click", () => {
  terminal.options.screenReaderMode = !terminal.options.screenReaderMode;
  read.setAttribute("aria-pressed", terminal.options.screenReaderMode);
});
again.addEventListener("click", connect);
leavable(target);
connect();
