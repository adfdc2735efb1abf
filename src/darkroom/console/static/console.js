// What pages do beyond what the server sends: local times, dialogs, copying, and signing in again.

const language = document.documentElement.lang;
const short = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const thisYear = new Intl.DateTimeFormat(language, short);
const anyYear = new Intl.DateTimeFormat(language, { ...short, year: "numeric" });

function localise() {
  for (const each of document.querySelectorAll("time[datetime]")) {
    const time = new Date(each.dateTime);
    const told = (time.getFullYear() === new Date().getFullYear() ? thisYear : anyYear).format(time);
    if (each.textContent !== told) each.textContent = told;
    each.title = time.toISOString();
  }
}

function look() {
  localise();
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard; // needs HTTPS
}

look();
document.addEventListener("htmx:after:swap", look);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.copied;
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A page that asks "are you sure" is shown in a dialog over the page that it was called from.
document.addEventListener("htmx:after:swap", (event) => {
  const dialog = document.getElementById("dialog");
  if (dialog && dialog.firstElementChild && !dialog.open && event.detail.ctx?.target === dialog) dialog.showModal();
});
document.addEventListener("click", (event) => {
  const back = event.target.closest("dialog [data-back]");
  if (back) {
    event.preventDefault();
    back.closest("dialog").close();
  }
});
document.getElementById("dialog")?.addEventListener("close", (event) => event.target.replaceChildren());

// The session ended while a page was alive: loaded anew, the page leads to the sign-in page and back.
document.addEventListener("signed-out", () => location.reload());
document.addEventListener("htmx:sse:error", (event) => {
  if (event.detail.status === 401) location.reload();
});
