// The screen of a machine: noVNC over the page's own address.

import RFB from "./vendor/novnc/core/rfb.js";
import { address, again, leavable, say } from "./line.js";

const target = document.getElementById("screen");
const keys = document.getElementById("keys");
const whole = document.getElementById("whole");
let rfb;

function connect() {
  say("connecting");
  target.replaceChildren();
  rfb = new RFB(target, address());
  rfb.scaleViewport = true;
  rfb.addEventListener("connect", () => {
    say("open");
    keys.hidden = whole.hidden = false;
    rfb.focus();
  });
  rfb.addEventListener("disconnect", () => {
    say("ended");
    keys.hidden = true;
  });
}

keys.addEventListener("click", () => rfb.sendCtrlAltDel());
whole.addEventListener("click", () => target.requestFullscreen());
again.addEventListener("click", connect);
leavable(target);
connect();
