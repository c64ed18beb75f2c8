// Live updates of the fleet page, seconds of silence, and keys for the bars. Without it everything else works.
"use strict";
(() => {
  const live = document.getElementById("live");
  const root = new URL(document.querySelector("a.brand")?.getAttribute("href") ?? "./", location.href);

  // The time zone is proposed at the first sign-in.
  for (const field of document.querySelectorAll("input[data-zone]")) {
    field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }

  // A table that is wider than the screen is a tab stop, so that arrow keys scroll it.
  const markScrolling = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      const marks = { tabindex: 0, role: "group", "aria-label": "Table; scrolls sideways" };
      for (const [name, value] of Object.entries(marks)) {
        if (box.scrollWidth > box.clientWidth) box.setAttribute(name, value); else box.removeAttribute(name);
      }
    }
  };
  addEventListener("resize", markScrolling);
  markScrolling();

  const words = (seconds) => {
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
    return `${Math.floor(seconds / 86400)} days ago`;
  };
  const count = () => {
    const now = Date.now();
    for (const element of document.querySelectorAll("[data-seen]")) {
      const text = words(Math.max(0, Math.floor((now - Number(element.dataset.seen)) / 1000)));
      if (element.textContent !== text) element.textContent = text;
    }
  };
  setInterval(() => { if (!document.hidden) count(); }, 1000);

  // The bars: one tab stop, arrow keys read one run after the other.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const show = (bar, number) => {
    const runs = bar.querySelectorAll("rect:not(.u)");
    if (runs.length === 0) return;
    const index = (number + runs.length) % runs.length;
    bar.dataset.run = index;
    const place = runs[index].getBoundingClientRect();
    tip.textContent = runs[index].querySelector("title")?.textContent ?? "";
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(place.left, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${place.bottom + 6}px`;
  };
  document.addEventListener("keydown", (event) => {
    const bar = event.target.closest?.("svg.day");
    if (!bar) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); show(bar, Number(bar.dataset.run ?? (step > 0 ? -1 : 0)) + step); }
    if (event.key === "Escape") tip.hidden = true;
  });
  document.addEventListener("focusout", () => { tip.hidden = true; });

  // A status page loads itself again; without JavaScript the browser does.
  const status = () => document.querySelector("main[data-refresh]");
  const isUsed = () => status().contains(document.activeElement);
  const refresh = async () => {
    if (document.hidden || isUsed()) return;
    const answer = await fetch(location.href, { credentials: "omit" }).catch(() => null);
    const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    const main = page?.querySelector("main[data-refresh]");
    document.body.classList.toggle("stale", !main);
    // The focus may have come while the page was loaded.
    if (!main || isUsed()) return;
    status().replaceWith(main);
    document.title = page.title;
    document.querySelector("link[rel=icon]").href = page.querySelector("link[rel=icon]").getAttribute("href");
  };
  if (status()) {
    setInterval(refresh, 30000);
    document.addEventListener("visibilitychange", refresh);
  }

  if (!live) return;
  const icon = document.getElementById("icon");
  let version = live.dataset.version;
  let heard = new Date();
  let poll = null;
  let failures = 0;
  // A change that the page has not loaded, because a person is filling in a form.
  let isBehind = false;

  const time = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const say = (text, stale) => {
    document.body.classList.toggle("stale", stale);
    // Looked up each time: a page that loads itself again has a new one.
    const foot = document.getElementById("foot");
    if (foot) foot.textContent = text;
    if (stale) foot?.setAttribute("role", "alert"); else foot?.removeAttribute("role");
    if (icon) icon.href = icon.href.replace(/icon[^/]*\.svg$/, stale ? "icon-stale.svg" : need > 0 ? "icon-bad.svg" : "icon.svg");
  };
  let need = icon?.href.endsWith("icon-bad.svg") ? 1 : 0;

  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  const put = (id, html) => {
    const element = document.getElementById(id);
    if (element && html !== undefined && element.innerHTML !== html) element.replaceChildren(parse(html));
  };
  // A person who has tabbed to a line's link or bar stays there.
  const stops = (element) => [...element.querySelectorAll("a, button, summary, [tabindex]")];
  const replace = (old, fresh) => {
    const stop = stops(old).indexOf(document.activeElement);
    old.replaceWith(fresh);
    stops(fresh)[stop]?.focus({ preventScroll: true });
  };
  const isFiltered = () => /[?&](show=problems|by=tag)/.test(location.search);
  const apply = async (changes) => {
    if (changes.title !== undefined && live.dataset.machine === undefined) document.title = changes.title;
    if (changes.need !== undefined) need = changes.need;
    put("headline", changes.headline);
    // Nobody's focus is taken away while they are about to press a button.
    const problems = document.getElementById("problems");
    if (problems && !problems.contains(document.activeElement)) put("problems", changes.problems);
    let hasMoved = false;
    for (const [id, html] of Object.entries(changes.rows ?? {})) {
      if (id === live.dataset.machine) await showMachine(html);
      const row = document.getElementById(`m${id}`);
      const fresh = parse(`<table><tbody>${html}</tbody></table>`).querySelector("tr");
      hasMoved ||= !row || fresh.className !== row.className;
      if (!row) continue;
      if (fresh.className !== row.className) fresh.classList.add("changed");
      replace(row, fresh);
    }
    // Other machines belong to this page now, or its groups are tags, of which the monitor does not know here.
    if (hasMoved && isFiltered()) return reload();
    for (const [name, state] of Object.entries(changes.groups ?? {})) {
      // Lines below a heading, or a field of the wall.
      const group = document.querySelector(`[data-group="${CSS.escape(name)}"]`);
      if (!group) continue;
      group.querySelector(".what").textContent = state;
      const health = /offline|camera|critical/.test(state) ? "bad" : /degraded/.test(state) ? "warn" : "fine";
      group.classList.remove("fine", "warn", "bad");
      group.classList.add(health);
      if (health !== "fine" && group.matches("details")) group.open = true;
    }
  };

  // A page that shows one machine loads itself again; the page of a new machine waits for its first heartbeat.
  const showMachine = async (row) => {
    const arrived = document.getElementById("arrived");
    if (!arrived) return reload();
    if (/<tr [^>]*class="(fine|warn|bad)"/.test(row)) {
      arrived.hidden = false;
      document.getElementById("waiting").hidden = true;
    }
  };

  const isChanged = (field) => {
    if (field.type === "hidden") return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (!field.options) return field.value !== field.defaultValue;
    const written = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(0, written);
  };
  const isBeingFilledIn = () => [...document.querySelectorAll("main :is(input, select, textarea)")]
    .some((field) => field === document.activeElement || isChanged(field));

  const reload = async () => {
    isBehind = isBeingFilledIn();
    if (isBehind) return;
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.redirected && !answer.url.startsWith(location.href.split("?")[0])) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = new Map([...document.querySelectorAll("details[data-group]")].map((group) => [group.dataset.group, group.open]));
    const main = document.getElementById("main");
    const tables = [...main.querySelectorAll("details:not([data-group])")].map((details) => details.open);
    const stop = stops(main).indexOf(document.activeElement);
    main.replaceChildren(...page.getElementById("main").childNodes);
    main.querySelectorAll("details:not([data-group])").forEach((details, index) => { details.open = tables[index] ?? false; });
    markScrolling();
    stops(main)[stop]?.focus({ preventScroll: true });
    for (const group of document.querySelectorAll("details[data-group]")) {
      if (open.has(group.dataset.group)) group.open = open.get(group.dataset.group) || !group.classList.contains("fine");
    }
    document.title = page.title;
    version = document.getElementById("live")?.dataset.version ?? version;
  };

  const next = async () => {
    if (document.hidden || poll) return;
    poll = new AbortController();
    const limit = setTimeout(() => poll?.abort(), 15000);
    try {
      // "no-store": requests of two tabs for the same address would otherwise wait for each other.
      const request = { credentials: "same-origin", cache: "no-store", signal: poll.signal };
      const answer = await fetch(new URL(`live?since=${version}`, root), request);
      if (answer.status === 401) return location.assign(new URL("login", root));
      if (!answer.ok) throw new Error(String(answer.status));
      const changes = await answer.json();
      version = String(changes.version);
      if (changes.reload) await reload(); else await apply(changes);
      if (failures > 0 || isBehind) await reload();
      failures = 0;
      heard = new Date();
      const behind = isBehind ? " Something has changed; it is shown when the form is sent or empty." : "";
      say(`Live. This page last heard from the monitor at ${time(heard)}.${behind}`, false);
    } catch {
      failures += 1;
      if (failures > 1) say(`The monitor has not answered since ${time(heard)}. What is shown is old.`, true);
    } finally {
      clearTimeout(limit);
      poll = null;
    }
    // Not all pages at the same moment.
    setTimeout(next, failures === 0 ? 200 + Math.random() * 300 : Math.min(1000 * 2 ** failures, 10000));
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) poll?.abort(); else next(); });
  say(`Live. This page last heard from the monitor at ${time(heard)}.`, false);
  next();
})();
