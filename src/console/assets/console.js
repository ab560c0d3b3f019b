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
