// What a page cannot do by itself. Every page can be read without this.
"use strict";

const each = (selector, begin) => document.querySelectorAll(selector).forEach(begin);
// What a page asks for by itself is no use of a session.
const byItself = { "X-By-Itself": "1" };

// Going back after signing out must not show what was kept of the page: browsers keep whole pages for that.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// The server tells times in the reader's zone from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes(`leadfold_zone=${zone}`)) {
  document.cookie = `leadfold_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

// A link of an alert leads to a place on a page, also of somebody who has to sign in first: no server sees that part.
each("form[action='/sign-in']", (form) => {
  form.action += location.hash;
});

// Why something was not done is where whoever asked for it goes on.
each("[role=alert]", (why) => {
  why.tabIndex = -1;
  why.focus();
});

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
each("[data-copied]", copyPlaceholders);

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
    const answer = await fetch(location.href, { headers: byItself, redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("#leads tbody");
    const table = document.querySelector("#leads tbody");
    if (!fresh) return;
    if (!table) {
      // The first of a list that was empty brings the table with it.
      document.querySelector("#none")?.replaceWith(document.adoptNode(fresh.closest(".scroll")));
      known = newest;
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
each("[data-live]", listen);

// Looks every two seconds whether something has come, and then shows it. `data-poll` is where to ask.
each("[data-poll]", (waiting) => {
  const look = async () => {
    try {
      const answer = await fetch(waiting.dataset.poll, { headers: byItself });
      if (answer.ok && (await answer.json()).arrived) return location.reload();
    } catch {
      // The server may be away for a moment; the next look finds it.
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
});

// A click on a value puts its placeholder into the field that was chosen last.
each("[data-pick]", (form) => {
  const fields = [...form.querySelectorAll("input[list]")];
  let chosen;
  const choose = (field) => {
    fields.forEach((each) => each.classList.toggle("chosen", each === field));
    chosen = field;
  };
  fields.forEach((field) => field.addEventListener("focus", () => choose(field)));
  choose(fields.find((field) => !field.value) || fields[0]);
  each("[data-value]", (button) => {
    button.addEventListener("click", () => {
      chosen.value = button.dataset.value;
      choose(fields[fields.indexOf(chosen) + 1] || chosen);
    });
  });
});

// An editor: numbers at the side of the text, problems as one types, and words to choose from at the caret.
each("[data-editor]", (form) => {
  const text = form.querySelector("textarea");
  const verdict = document.querySelector("#verdict");
  const desk = document.createElement("div");
  const gutter = document.createElement("div");
  desk.className = "desk";
  gutter.className = "gutter";
  gutter.setAttribute("aria-hidden", "true");
  text.before(desk);
  desk.append(gutter, text);
  const follow = () => { gutter.scrollTop = text.scrollTop; };
  const number = () => {
    const count = text.value.split("\n").length;
    while (gutter.childElementCount > count) gutter.lastElementChild.remove();
    while (gutter.childElementCount < count) {
      const line = document.createElement("span");
      line.textContent = gutter.childElementCount + 1;
      gutter.append(line);
    }
    gutter.style.height = `${text.offsetHeight}px`;
    follow();
  };
  const mark = () => {
    for (const line of gutter.children) line.className = "";
    verdict.querySelectorAll("[data-line]").forEach((problem) => {
      const line = gutter.children[problem.dataset.line - 1];
      if (line && line.className !== "wrong") line.className = problem.classList.contains("bad") ? "wrong" : "warned";
    });
  };

  let timer;
  let asked = 0;
  const check = async () => {
    const mine = ++asked;
    try {
      const answer = await fetch(form.dataset.editor, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (!answer.ok || mine !== asked) return;
      verdict.innerHTML = await answer.text();
      mark();
    } catch {
      // What was said last stays; the button asks again.
    }
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(check, 600);
  };

  const words = completion(form, text, desk);
  text.addEventListener("input", () => { number(); later(); words.offer(false); });
  text.addEventListener("scroll", () => { follow(); words.close(); });
  text.addEventListener("click", words.close);
  text.addEventListener("blur", words.close);
  text.addEventListener("keydown", words.key);
  new ResizeObserver(number).observe(text);
  // Who goes to a problem, goes to its line.
  verdict.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#L']");
    if (!link) return;
    event.preventDefault();
    const line = Number(link.hash.slice(2));
    const start = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(start, start);
    text.scrollTop = (line - 5) * parseFloat(getComputedStyle(text).lineHeight);
  });
  // What a button sent is saved only when it says so: until then it would be lost as well.
  const beginning = "unsaved" in form.dataset ? null : text.value;
  let leaving = false;
  form.addEventListener("submit", () => {
    leaving = true;
    // A patch is downloaded, and the page stays.
    setTimeout(() => { leaving = false; }, 1000);
  });
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && text.value !== beginning) event.preventDefault();
  });
  number();
  mark();
});

// The words that fit where the caret is, from what came to the source and from what the accounts have.
function completion(form, text, desk) {
  const list = document.createElement("ul");
  list.className = "words";
  list.id = "words";
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", form.dataset.words);
  text.setAttribute("aria-controls", list.id);
  list.hidden = true;
  desk.append(list);
  const hint = form.querySelector("[data-keys]");
  if (hint) hint.hidden = false;
  let names;
  let typed = "";
  let at = -1;
  const load = () => (names ||= fetch(form.dataset.names).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null));
  load();
  const of = (catalogs, key) => Object.values(catalogs).flatMap((catalog) => catalog[key] || []);
  const plain = (word, reads) => ({ word, reads });

  // What may stand here: the part that is typed, and all words.
  const fitting = (known) => {
    const before = text.value.slice(0, text.selectionStart);
    const line = before.slice(before.lastIndexOf("\n") + 1);
    const inside = Math.max(line.lastIndexOf("{{"), line.lastIndexOf("<<"));
    if (inside >= 0 && !/\}\}|>>/.test(line.slice(inside))) {
      const part = /[\p{L}\p{N}_.\[\]'"]*$/u.exec(line.slice(inside + 2))[0];
      return [part, known.placeholders.map((found) => plain(found.path, found.reads))];
    }
    const behind = (keys) => new RegExp(`(?:^|[\\s{,])(?:${keys}):\\s*(?:\\[[^\\]]*?)?["']?([^"'\\[\\],{}]*)$`, "u").exec(line);
    const named = (things) => things.map((thing) => plain(thing.name, thing.id === thing.name ? "" : thing.id));
    const pipelines = of(known.catalogs, "pipelines");
    for (const [keys, all] of [
      ["pipeline|pipelines", () => named(pipelines)],
      ["stage|stages", () => named(pipelines.flatMap((pipeline) => pipeline.stages))],
      ["owners|fallback|user", () => [...known.owner_pools.map((pool) => plain(pool, "")), ...named(of(known.catalogs, "users"))]],
      ["to", () => [...known.crms, ...known.bots].map((name) => plain(name, ""))],
    ]) {
      const found = behind(keys);
      if (found) return [found[1].replace(/^.*,\s*/, ""), all()];
    }
    // The first word of a line belongs to what the nearest line with less indentation opens.
    const own = /^(\s*)([\p{L}\p{N}_.-]*)$/u.exec(line);
    if (own) {
      const above = before.split("\n").slice(0, -1).reverse();
      const opener = above.find((other) => other.trim() && /^\s*/.exec(other)[0].length < own[1].length) || "";
      if (/^\s*fields:/.test(opener)) {
        const both = [...of(known.catalogs, "contact_fields"), ...of(known.catalogs, "deal_fields")];
        return [own[2], both.map((field) => plain(field.id, `${field.name} ${field.kind}`))];
      }
    }
    return ["", []];
  };

  const close = () => {
    list.hidden = true;
    at = -1;
    text.removeAttribute("aria-activedescendant");
  };
  const point = (index) => {
    at = index;
    [...list.children].forEach((item, position) => item.setAttribute("aria-selected", position === at));
    text.setAttribute("aria-activedescendant", `word-${at}`);
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  const take = (word) => {
    const start = text.selectionStart - typed.length;
    text.setRangeText(word, start, text.selectionStart, "end");
    close();
    text.dispatchEvent(new Event("input"));
    close();
  };
  const place = () => {
    const style = getComputedStyle(text);
    const before = text.value.slice(0, text.selectionStart).split("\n");
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = style.font;
    const left = text.offsetLeft + parseFloat(style.paddingLeft) + pen.measureText(before.at(-1)).width - text.scrollLeft;
    const line = parseFloat(style.lineHeight);
    const below = before.length * line + parseFloat(style.paddingTop) - text.scrollTop + 4;
    const fits = below + list.offsetHeight <= desk.offsetHeight + line;
    list.style.top = `${fits ? below : below - line - list.offsetHeight - 8}px`;
    list.style.left = `${Math.max(0, Math.min(left, desk.offsetWidth - 240))}px`;
  };
  const offer = async (asked) => {
    const known = await load();
    if (!known || text.selectionStart !== text.selectionEnd) return close();
    const [part, all] = fitting(known);
    typed = part;
    const lower = part.toLowerCase();
    const seen = new Set();
    const fits = all.filter(({ word, reads }) => {
      const is = word !== part && `${word} ${reads}`.toLowerCase().includes(lower) && !seen.has(word);
      seen.add(word);
      return is;
    });
    fits.sort((one, other) => other.word.toLowerCase().startsWith(lower) - one.word.toLowerCase().startsWith(lower));
    if (!fits.length || (!asked && !part)) return close();
    list.replaceChildren(...fits.slice(0, 50).map(({ word, reads }, index) => {
      const item = document.createElement("li");
      const what = document.createElement("span");
      item.id = `word-${index}`;
      item.setAttribute("role", "option");
      item.append(word, what);
      what.className = "reads";
      what.textContent = reads;
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(word); });
      return item;
    }));
    list.hidden = false;
    place();
    point(0);
  };
  const key = (event) => {
    if (event.ctrlKey && event.code === "Space") { event.preventDefault(); return offer(true); }
    if (list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); point((at + step + list.childElementCount) % list.childElementCount); }
    else if (event.key === "Tab" || event.key === "Enter") { event.preventDefault(); take(list.children[at].firstChild.data); }
    else if (event.key === "Escape") { event.preventDefault(); close(); }
  };
  return { offer, close, key };
}

// Long work is done piece by piece: what a person would press to go on is pressed for them.
each("form[data-go-on]", (form) => setTimeout(() => form.requestSubmit(), 300));
