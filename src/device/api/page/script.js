
"use strict";
const EVERY = 5000, TIMEOUT = 4000, CHECK = 60000, HOUR = 60000;
// As in the monitor's conditions: docs/conditions.md has the reasons.
const HOT = 80, FAN = 70, DISK = 90, MEMORY = 95, WEAK = -80;
const SVG = "http://www.w3.org/2000/svg";
const $ = id => document.getElementById(id);
let token = "", answered = 0, timer = 0, hour = { minutes: [] }, hourAt = -HOUR;

function make(tag, kind, ...content) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...content.filter(part => part !== null && part !== undefined));
  return element;
}

function draw(tag, attributes, ...content) {
  const element = document.createElementNS(SVG, tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  element.append(...content);
  return element;
}

// Text that is read aloud when it changes is touched only then.
function say(element, text, kind) {
  if (element.textContent !== text) element.textContent = text;
  if (kind !== undefined && element.className !== kind) element.className = kind;
}

const known = value => value !== null && value !== undefined;
const plural = (count, word) => count + " " + word + (count === 1 ? "" : "s");
const two = number => String(number).padStart(2, "0");

function span(seconds) {
  const s = Math.max(0, Math.floor(seconds)), minutes = Math.floor(s / 60);
  if (s < 60) return s + " s";
  if (s < 3600) return minutes + " min";
  if (s < 172800) return Math.floor(s / 3600) + " h" + (minutes % 60 ? " " + minutes % 60 + " min" : "");
  return Math.floor(s / 86400) + " days";
}

// By the browser's clock: the device's may be wrong, but not the time that has passed.
function clock(ago) {
  const then = new Date(Date.now() - ago * 1000), time = two(then.getHours()) + ":" + two(then.getMinutes());
  if (then.toDateString() === new Date().toDateString()) return time;
  return then.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) + ", " + time;
}

const since = ago => known(ago) && !Number.isNaN(ago) ? " since " + clock(ago) : "";
const between = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
const nameOf = camera => camera.hostname || camera.mac_address;
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);
const list = words => words.length < 2 ? words.join("") : words.slice(0, -1).join(", ") + " and " + words.at(-1);

const HEALTH = {
  absent: ["none", "not there"], down: ["none", "no cable or no signal"], no_address: ["warn", "connected, but has no address"],
  up: ["fine", "connected, not tested"], unverified: ["none", "connected, not tested yet"], valid: ["fine", "works"],
  suspect: ["warn", "the last test failed, testing again"], dead: ["bad", "connected, but nothing gets through"],
  portal: ["bad", "a login page is in the way"],
};
const isUp = uplink => ["up", "unverified", "valid", "suspect"].includes(uplink.health);
// It worked once, or its cable is plugged in: somebody expects it to work.
const isExpected = uplink => known(uplink.proven_s) || ["no_address", "dead", "portal", "suspect"].includes(uplink.health);

function uplinksOf(status) {
  const reported = status.heartbeat && status.heartbeat.connection.uplinks || [];
  if (!status.failover) return [];
  const current = new Map(status.failover.uplinks.map(uplink => [uplink.interface, uplink.state]));
  const all = reported.map(uplink => ({ ...uplink, health: current.get(uplink.interface) || uplink.health }));
  return all.length ? all : status.failover.uplinks.map(uplink => ({ interface: uplink.interface, health: uplink.state, proven_s: null }));
}

const activeOf = status => status.failover ? status.failover.active
  : status.heartbeat && status.heartbeat.connection.active;

// Everything that needs a person, the worst first: [red or amber, a few words, the sentence, cause and remedy].
function problems(status) {
  const found = [], add = (kind, head, text, detail) => found.push({ kind, head, text, detail });
  delivery(status, add);
  network(status, add);
  if (status.heartbeat) state(status.heartbeat, add);
  for (const camera of status.cameras.filter(camera => camera.status === "disconnected")) {
    add("bad", "Camera " + nameOf(camera) + " is down",
      ["Camera ", make("b", "", nameOf(camera)), " is down" + since(between(camera.since, status.time)) + "."],
      [camera.problem, camera.ip_address].filter(Boolean).join("; "));
  }
  return [...found.filter(one => one.kind === "bad"), ...found.filter(one => one.kind !== "bad")];
}

function delivery({ server, daemon_uptime_s }, add) {
  if (!server.moves) add("bad", "The daemon's send loop stands still", "The daemon's send loop stands still; systemd restarts it.");
  if (!server.name) {
    return add("warn", "No server is configured", "Heartbeats are sent to no server.",
      "Set url in [heartbeat] in the daemon's configuration, then reload: sudo systemctl reload heartbeat-daemon");
  }
  if (server.connected !== false) return;
  const last = server.last_accepted_ago_s;
  add("bad", "Heartbeats are not acknowledged", known(last)
    ? "Heartbeats are not acknowledged since " + clock(last) + " (" + span(last) + ")."
    : "No heartbeat was acknowledged since the daemon started " + span(daemon_uptime_s) + " ago.", server.result);
}

function network(status, add) {
  const all = uplinksOf(status), active = activeOf(status), place = all.findIndex(uplink => uplink.interface === active);
  if (!status.failover) return;
  const state = status.failover.state, chosen = state === "manual_override";
  if (state === "no_network") add("bad", "No uplink works", "No uplink works.", "Each is tested every 0.5 s; the first one that works is used.");
  const better = all.slice(0, Math.max(place, 0)).filter(isExpected);
  if (better.length && !chosen) {
    add("warn", "A standby uplink is used", ["Heartbeats leave over the standby ", make("b", "", active), carried(active) + "."],
      better.map(uplink => "Uplink " + uplink.interface + ": " + (HEALTH[uplink.health] || ["", uplink.health])[1]).join("; "));
  }
  const others = all.filter(uplink => uplink.interface !== active && isExpected(uplink));
  if (place >= 0 && others.length && !others.some(isUp) && !better.length) {
    add("warn", "No standby uplink works", ["No standby works: if ", make("b", "", active), " fails, nothing replaces it."],
      others.map(uplink => "Uplink " + uplink.interface + ": " + (HEALTH[uplink.health] || ["", uplink.health])[1]).join("; "));
  }
  const wifi = status.heartbeat && status.heartbeat.connection.wifi;
  if (wifi && wifi.interface === active && known(wifi.signal_dbm) && wifi.signal_dbm <= WEAK) {
    add("warn", "The Wi-Fi signal is weak", "The Wi-Fi signal is weak: " + wifi.signal_dbm + " dBm.", "Below " + WEAK + " dBm packets are lost.");
  }
}

// Since when the last hour's samples have had this uplink.
function carried(uplink) {
  const before = hour.minutes.findLastIndex(minute => minute.uplink !== uplink), first = hour.minutes[before + 1];
  return first ? (before < 0 ? " since " + clock(first.ago_min * 60) + " or longer" : " since " + clock(first.ago_min * 60)) : "";
}

function state(beat, add) {
  const now = beat.throttled ? beat.throttled.now : [];
  if (now.includes("under_voltage")) {
    add("bad", "The supply voltage is too low", "The supply voltage is too low (under 4.63 V).", "Use a stronger power supply or a shorter cable.");
  }
  if (known(beat.temp) && beat.temp >= HOT) {
    add("bad", "The processor is too hot", "The processor is too hot: " + beat.temp + " °C.", "From " + HOT + " °C on it is slowed down.");
  }
  if (beat.fan_rpm === 0 && beat.temp >= FAN) add("bad", "The fan stands still", "The fan stands still at " + beat.temp + " °C.");
  if (now.some(held => held !== "under_voltage")) {
    const why = now.filter(held => held !== "under_voltage").map(held => held.replaceAll("_", " "));
    add("warn", "The processor is slowed down", "The processor is slowed down by its firmware.", "Reported: " + list(why) + ".");
  }
  if (beat.disk && beat.disk.percent >= DISK) {
    add("bad", "The disk is almost full", "The disk is almost full: " + beat.disk.percent + " %.", beat.disk.free_gb + " GB are free.");
  }
  for (const files of beat.file_systems || []) {
    if (files.read_only) add("bad", "A file system is read-only", ["The file system ", make("b", "", files.path), " is read-only: nothing is written."]);
    if (files.errors) add("warn", "A file system has errors", ["The file system ", make("b", "", files.path), " has " + plural(files.errors, "error") + "."], "e2fsck repairs it; errors precede the failure of an SD card.");
  }
  if (known(beat.mem) && beat.mem >= MEMORY) add("bad", "The memory is almost full", "The memory is almost full: " + beat.mem + " %.");
  for (const what of beat.expected_activity || []) {
    if (beat[what + "_active"] === false) add("bad", "It is not " + what, "It is not " + what + ", which it always should be.");
  }
  if (beat.clock_synced === false) {
    add("warn", "The clock is not synchronised", "The clock is not synchronised.", "A device without a clock chip needs a time server: timedatectl shows more.");
  }
}

function heading(status, found) {
  const { server, heartbeat, hostname } = status, active = activeOf(status);
  const last = server.last_accepted_ago_s, on = active ? "on " + active : "";
  const beat = known(last) ? "heartbeat acknowledged " + span(last) + " ago" : server.name ? "no heartbeat acknowledged yet" : "";
  const good = [on, beat].filter(Boolean).join(", ");
  const [first, ...others] = found;
  say($("need"), first ? first.head : "", first ? first.kind : "");
  say($("rest"), first ? others.length ? ", and " + plural(others.length, "more problem") : "; all else is fine"
    : server.connected === null ? "No heartbeat was sent yet" : "All is fine" + (good ? ": " + good : ""));
  const upFor = heartbeat && known(heartbeat.uptime_s) ? "up for " + span(heartbeat.uptime_s) : "";
  const to = server.name ? "a heartbeat every " + span(server.interval_s) + " to " + server.name : "";
  say($("sub"), capital([first ? good : "", to, upFor].filter(Boolean).join(" · ")));
  say($("news"), found.length ? found.map(one => one.head).join(". ") : "All is fine");
  $("now").hidden = !found.length;
  $("now").replaceChildren(...found.map(one => make("li", "", make("span", "s " + one.kind), make("p", "", ...[one.text].flat()),
    one.detail ? make("p", "", capital(one.detail)) : null)));
  const worst = first ? first.kind : "fine";
  document.title = ({ bad: "▲ ", warn: "◆ " }[worst] || "") + hostname + " – heartbeat";
  icon(worst);
}

function icon(kind) {
  const shape = { bad: ["#d93025", "M8 2 15 14H1z"], warn: ["#b87700", "M8 1l7 7-7 7-7-7z"] }[kind] || ["#7d9183", "M3 8a5 5 0 1 1 10 0a5 5 0 1 1-10 0"];
  const href = "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="${SVG}" viewBox="0 0 16 16"><path fill="${shape[0]}" d="${shape[1]}"/></svg>`);
  if ($("icon").getAttribute("href") !== href) $("icon").href = href;
}

function choice(failover, all, active) {
  const first = all.length ? all[0].interface : "", more = failover.manual_s === null ? " until that is ended" : " for " + span(failover.manual_s) + " more";
  const text = failover.state === "no_network" ? "No uplink works; they are tested every 0.5 s."
    : failover.state === "ap_mode" ? "No uplink works; the device is an access point for others."
    : failover.state === "manual_override" ? "A person chose " + (active || "the uplink") + more + "."
    : failover.state === "locked" ? "A script holds the failover lock, so the uplink is not changed."
    : !all.some(uplink => uplink.interface === active) ? active + " is used, which is not an uplink: the kernel's route to the server leads over it."
    : active === first ? active + " is used, the first in the list."
    : failover.state.startsWith("failover_to_") ? active + " is used instead of " + first + "; no heartbeat over it has been acknowledged yet."
    : active + " is used instead of " + first + ".";
  const effect = { observe: " Only heartbeats follow the choice.", routes: " All traffic of the machine follows the choice.",
    networkmanager: " Heartbeats follow the choice, and NetworkManager activates what is down." }[failover.backend] || "";
  const uncovered = failover.not_covered && failover.not_covered.length ? " Not covered, because of routing rules: " + list(failover.not_covered) + "." : "";
  return [text + effect + uncovered + " ", make("code", "", failover.state)];
}

function uplinks(status) {
  const { failover, heartbeat } = status, connection = heartbeat && heartbeat.connection, active = activeOf(status);
  if (!failover) {
    $("choice").replaceChildren("Failover is off" + (active ? "; the default route leads over " + active : "") + ".");
    return $("uplinks").replaceChildren();
  }
  const all = uplinksOf(status);
  $("choice").replaceChildren(...choice(failover, all, active));
  $("uplinks").replaceChildren(...all.map(uplink => {
    const mine = connection ? connection.ip_addresses.filter(a => a.interface === uplink.interface).map(a => a.ip) : [];
    const wifi = connection && connection.wifi && connection.wifi.interface === uplink.interface ? connection.wifi : null;
    const more = [...mine, wifi && wifi.ssid, wifi && known(wifi.signal_dbm) && wifi.signal_dbm + " dBm"].filter(Boolean).join(" · ");
    const used = uplink.interface === active, [kind, words] = HEALTH[uplink.health] || ["none", uplink.health];
    const mark = kind === "bad" && !used ? isExpected(uplink) ? "warn" : "none" : kind;
    const proven = known(uplink.proven_s) ? "worked " + span(uplink.proven_s) + " ago" : "not used or tested yet";
    return make("li", "", make("span", "s " + mark), make("span", "", make("b", "", uplink.interface), used ? make("span", "tag", "in use") : null),
      make("span", mark, words + " ", make("code", "", uplink.health)), make("small", "", proven), make("small", "", more));
  }));
}

function cameras(all, time) {
  $("check").hidden = !all.length || !canAct;
  if (!all.length) return $("cameras").replaceChildren(make("li", "lone", "None. [cameras] in the configuration, or the API, adds them."));
  $("cameras").replaceChildren(...all.map(camera => {
    const kind = { connected: "fine", disconnected: "bad" }[camera.status] || "none";
    const words = { connected: "answers", disconnected: "down" + since(between(camera.since, time)), unknown: "not checked yet" }[camera.status] || camera.status;
    const seen = camera.last_seen ? "seen " + span(between(camera.last_seen, time)) + " ago" : "never seen";
    const share = known(camera.uptime_24h) ? camera.uptime_24h + " % of 24 h" : "";
    const latency = known(camera.latency_ms) ? camera.latency_ms.toFixed(1) + " ms" : "";
    return make("li", "", make("span", "s " + kind), make("b", "", nameOf(camera)),
      make("span", kind, words + (camera.problem ? ": " + camera.problem : "")), make("small", "", [kind === "fine" ? latency : seen, share].filter(Boolean).join(" · ")),
      make("small", "", [camera.ip_address, camera.hostname && camera.mac_address].filter(Boolean).join(" · ")));
  }));
}

function facts(place, pairs) {
  place.replaceChildren(...pairs.filter(([, value]) => known(value) && value !== "").map(([name, value, unit, over]) =>
    make("div", String(value).length > 24 ? "wide" : "", make("dt", "", name), make("dd", over ? "over" : "", String(value), unit ? make("i", "", unit) : null))));
}

function device(beat) {
  if (!beat) return facts($("device"), [["Values", "not read yet"]]);
  const { disk, throttled, connection } = beat, activity = ["streaming", "tracking", "recording"].filter(what => beat[what + "_active"]);
  const early = throttled && throttled.since_boot || [], modem = connection["4g"];
  facts($("device"), [
    ["CPU", beat.cpu, "%"], ["Temperature", beat.temp, "°C", beat.temp >= HOT], ["Memory", beat.mem, "%", beat.mem >= MEMORY],
    ["Disk", disk && disk.percent, disk ? "%, " + disk.free_gb + " GB free" : "", disk && disk.percent >= DISK],
    ["Power", beat.power, "W"], ["Fan", beat.fan_rpm, "RPM", beat.fan_rpm === 0 && beat.temp >= FAN],
    ["Load", beat.load && beat.load.join(", ")], ["Since boot", early.map(held => held.replaceAll("_", " ")).join(", ")],
    ["Activity", activity.join(", ")], ["Modem", modem && [modem.state, modem.operator, modem.technology].filter(Boolean).join(", ")],
    ["Clock", { true: "synchronised", false: "not synchronised" }[beat.clock_synced]], ["Hardware", beat.hardwareid],
  ]);
}

function beats(server, beat) {
  facts($("beat"), [
    ["Last result", server.name ? server.result : null], ["Scheduled", server.scheduled], ["Immediate", server.immediate],
    ["Retried", server.retried || null], ["Failed", server.failed || null], ["Last reason", beat && beat.reason.replaceAll("_", " ")],
  ]);
}

// Neighbouring minutes of the same kind, as [kind, the oldest age, the newest age].
function runs(kindOf) {
  const merged = [];
  for (const minute of hour.minutes) {
    const kind = kindOf(minute), last = merged.at(-1);
    if (!known(kind)) continue;
    if (last && last[0] === kind && last[2] - minute.ago_min <= gap()) last[2] = minute.ago_min;
    else merged.push([kind, minute.ago_min, minute.ago_min]);
  }
  return merged;
}

// Minutes between two samples that belong together: with a long interval not every minute has one.
const gap = () => Math.max(1, Math.ceil((hour.interval || 0) / 60));
const when = (from, to) => from === to ? "at " + clock(from * 60) : clock(from * 60) + " to " + clock(to * 60);

function row(label, value, note, kind, picture) {
  return make("div", kind, make("span", "label", label), picture, make("span", "value", value, note ? make("small", "", note) : null));
}

function picture(height, label, ...content) {
  return draw("svg", { viewBox: "0 0 600 " + height, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...content);
}

function band(label, all, className, named) {
  const bars = all.map(([kind, from, to]) => draw("rect", { class: className(kind), x: (59 - from) * 10, width: (from - to + 1) * 10, height: 14 },
    draw("title", {}, named(kind) + ", " + when(from, to))));
  return picture(14, label, ...bars);
}

function line(name, key, unit, low, high) {
  const points = hour.minutes.filter(minute => known(minute[key]));
  if (!points.length) return null;
  const values = points.map(minute => minute[key]), least = Math.min(...values), most = Math.max(...values);
  const bottom = known(low) ? low : Math.floor(Math.min(least, most - 10)), top = known(high) ? high : Math.ceil(Math.max(most, least + 10));
  let path = "", before = null;
  for (const minute of points) {
    const x = (59.5 - minute.ago_min) * 10, y = (33 - 32 * (Math.min(top, Math.max(bottom, minute[key])) - bottom) / (top - bottom)).toFixed(1);
    path += before !== null && before - minute.ago_min <= gap() ? "L" + x + " " + y : "M" + (x - 2) + " " + y + "H" + x;
    before = minute.ago_min;
  }
  const range = least === most ? least + " " + unit : least + " to " + most + " " + unit;
  return row(name, values.at(-1) + " " + unit, least === most ? "steady" : least + " to " + most, "",
    picture(34, name + " in the last hour: " + range + ", now " + values.at(-1) + " " + unit, draw("line", { x1: 0, x2: 600, y1: 33.5, y2: 33.5 }), draw("path", { d: path })));
}

function acknowledged() {
  const kindOf = minute => minute.sent === 0 ? null : minute.acknowledged === minute.sent ? "all" : minute.acknowledged ? "some" : "none";
  const all = runs(kindOf), words = { all: "acknowledged", some: "partly acknowledged", none: "not acknowledged" };
  if (!all.length) return null;
  const sum = key => hour.minutes.reduce((total, minute) => total + minute[key], 0), bad = all.filter(([kind]) => kind !== "all");
  const label = sum("acknowledged") + " of " + sum("sent") + " heartbeats acknowledged" + bad.slice(-5).map(([kind, from, to]) => "; " + words[kind] + " " + when(from, to)).join("");
  return row("Heartbeats", sum("acknowledged") + " of " + sum("sent"), "acknowledged", "thin",
    band(label, all, kind => ({ all: "u", some: "w", none: "d" })[kind], kind => words[kind]));
}

function carriers(first) {
  const all = runs(minute => minute.uplink);
  if (!all.length) return null;
  const changes = all.filter(([kind], place) => place && all[place - 1][0] !== kind).length;
  const label = "Uplinks: " + all.slice(-8).map(([kind, from, to]) => kind + " " + when(from, to)).join("; ");
  return row("Uplink", all.at(-1)[0], changes ? plural(changes, "change") : "no change", "thin", band(label, all, kind => kind === first || !first ? "u" : "w", kind => kind));
}

function drawHour(status) {
  hour.interval = status.server.interval_s;
  const uplink = uplinksOf(status).find(isExpected), axis = make("span", "", make("span", "", clock(3600)), make("span", "", clock(1800)), make("span", "", clock(0)));
  const rows = [acknowledged(), carriers(uplink && uplink.interface), line("CPU", "cpu", "%", 0, 100), line("Temperature", "temp", "°C"),
    line("Memory", "mem", "%", 0, 100), line("Wi-Fi signal", "signal_dbm", "dBm", -95, -30)].filter(Boolean);
  $("hour").replaceChildren(...rows, rows.length ? make("div", "axis", make("span"), axis, make("span")) : make("p", "help", "No heartbeat yet."));
  say($("covered"), hour.covered_s < 3600 ? "in memory since the daemon started " + span(hour.covered_s) + " ago" : "");
  const text = value => known(value) ? String(value) : "–";
  $("minutes").replaceChildren(...hour.minutes.toReversed().map(minute => make("tr", "", ...[clock(minute.ago_min * 60), minute.acknowledged + " of " + minute.sent,
    text(minute.uplink), text(minute.cpu), text(minute.mem), text(minute.temp), text(minute.signal_dbm)].map(value => make("td", "", value)))));
}

let canAct = true;
function show(status) {
  canAct = status.trusted || status.accepts_token;
  say($("host"), status.hostname);
  heading(status, problems(status));
  uplinks(status);
  cameras(status.cameras, status.time);
  device(status.heartbeat);
  beats(status.server, status.heartbeat);
  $("send").hidden = !canAct || !status.server.name;
  say($("foot"), "heartbeat-daemon " + status.version + ", running for " + span(status.daemon_uptime_s) +
    (status.trusted ? "" : canAct ? " · read only without the API token" : " · read only: a token file in [api] would allow more"));
  $("all").hidden = false;
}

function unreachable() {
  document.body.classList.add("stale");
  const from = answered ? "; this is from " + clock((Date.now() - answered) / 1000) : "";
  say($("need"), "The daemon does not answer", "bad");
  say($("rest"), from);
  say($("news"), "The daemon does not answer" + from);
  document.title = "▲ " + $("host").textContent + " – heartbeat";
  icon("bad");
}

async function call(path, options, limit) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  return fetch(path, { cache: "no-store", credentials: "omit", headers, signal: AbortSignal.timeout(limit), ...options });
}

async function read(path) {
  const answer = await call(path, {}, TIMEOUT);
  if (!answer.ok) throw new Error("status " + answer.status);
  return answer.json();
}

async function refresh() {
  clearTimeout(timer);
  try {
    const status = await read("/api/status"), due = performance.now() - hourAt >= HOUR || !hour.minutes.length;
    if (due) {
      hour = await read("/api/last-hour");
      hourAt = performance.now();
    }
    show(status);
    if (due) drawHour(status);
    answered = Date.now();
    document.body.classList.remove("stale");
  } catch (error) {
    unreachable();
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, EVERY);
}

function askToken() {
  return new Promise(done => {
    $("token").value = "";
    $("ask").returnValue = "";
    $("ask").addEventListener("close", () => {
      token = $("ask").returnValue === "ok" ? $("token").value.trim() : "";
      done(Boolean(token));
    }, { once: true });
    $("ask").showModal();
  });
}

async function act(button, place, path, limit, good) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true"; // A disabled one would lose the keyboard's focus.
  say(place, "…");
  try {
    let answer = await call(path, { method: "POST" }, limit);
    if (answer.status === 401 && await askToken()) answer = await call(path, { method: "POST" }, limit);
    const body = await answer.json();
    if (answer.status === 401) token = "";
    say(place, answer.ok ? good(body) : body.error || "status " + answer.status);
  } catch (error) {
    say(place, "The daemon does not answer.");
  }
  button.ariaDisabled = "false";
  refresh();
}

$("send").addEventListener("click", () => act($("send"), $("sent"), "/api/heartbeat", TIMEOUT,
  body => body.triggered ? "Sent " + clock(0) + "." : "One is already queued."));
$("check").addEventListener("click", () => act($("check"), $("checked"), "/api/cameras/heartbeat", CHECK, body => {
  const all = Object.values(body.cameras);
  return all.filter(camera => camera.reachable).length + " of " + all.length + " answered.";
}));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
