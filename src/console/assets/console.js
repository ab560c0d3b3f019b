// What a page cannot do by itself. Every page can be read without this.
"use strict";

// Going back after signing out must not show what was kept of the page: browsers keep whole pages for that.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// The server tells times in the reader's zone from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes(`leadfold_zone=${zone}`)) {
  document.cookie = `leadfold_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

// A click on a value of a request copies its placeholder. Its title says it where this does not run.
function copyPlaceholders(place) {
  const said = document.createElement("p");
  said.setAttribute("role", "status");
  said.className = "hint";
  place.before(said);
  place.addEventListener("click", async (event) => {
    const value = event.target.closest("[data-copy]");
    if (!value) return;
    const text = value.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS, or where it is not allowed, browsers have no clipboard but the old one.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      value.focus();
    }
    said.textContent = place.dataset.copied + text;
    value.classList.add("copied");
    setTimeout(() => value.classList.remove("copied"), 1500);
  });
}
document.querySelectorAll("[data-copied]").forEach(copyPlaceholders);

// News: the newest page of the registry shows them in its table, any other says how many there are.
function listen(place) {
  const plural = new Intl.PluralRules(document.documentElement.lang);
  let known = Number(place.dataset.newest);
  let source, busy, wanted;

  function tell(count) {
    if (count <= 0) return;
    const link = document.createElement("a");
    link.href = "/";
    link.className = "button";
    link.textContent = `${count} ${place.dataset[plural.select(count)] || place.dataset.other}`;
    place.replaceChildren(link);
  }

  async function refresh(newest) {
    const answer = await fetch(location.href, { headers: { "X-By-Itself": "1" }, redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("#leads tbody");
    const table = document.querySelector("#leads tbody");
    if (!fresh || !table) {
      if (fresh) tell(newest - known);
      return;
    }
    const before = new Set([...table.rows].map((row) => row.dataset.id));
    for (const row of fresh.rows) row.classList.toggle("new", !before.has(row.dataset.id));
    table.replaceWith(document.adoptNode(fresh));
    known = newest;
  }

  async function news(event) {
    const { newest } = JSON.parse(event.data);
    const table = document.querySelector("#leads");
    const reads = table && table.contains(document.activeElement);
    if (!("top" in place.dataset) || reads) return tell(newest - known);
    if (newest === known && !(table && table.querySelector("[data-open]"))) return;
    wanted = event.data;
    if (busy) return;
    busy = true;
    try {
      // What comes meanwhile is asked for afterwards.
      for (let shown; shown !== wanted; ) {
        shown = wanted;
        await refresh(JSON.parse(shown).newest);
      }
    } catch {
      // The server is away or the session has ended: the page stands as it is, and loading it again says which.
    } finally {
      busy = false;
    }
  }

  // A browser has few connections to one host, so a page that nobody sees gives its own back.
  function connect() {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else if (!source) {
      source = new EventSource(place.dataset.live);
      source.onmessage = news;
    }
  }
  document.addEventListener("visibilitychange", connect);
  connect();
}
document.querySelectorAll("[data-live]").forEach(listen);
