// What a page cannot do by itself. Every page can be read without this.
"use strict";

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
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
    } else {
      // Without TLS browsers have no clipboard but the old one.
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
