"use strict";
// The owner's window. What peers say of themselves is put into the page as text and as nothing else.
(() => {
  const EVERY = 3000;
  const LATE = 8000;
  const $ = (id) => document.getElementById(id);
  const opened = new Set();
  const drawn = new Map();
  let rows = 100;
  let lastAnswer = null;

  /** An element with these attributes; strings among its children become text. */
  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "click") made.addEventListener("click", value);
      else if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    return made;
  }

  const cell = (child, className) => el("td", className ? { className } : {}, child);
  const small = (...children) => el("small", {}, ...children);
  const number = (value) => cell(value === null || value === undefined ? "" : value, "n");

  function bytes(n) {
    if (n === null) return "unknown";
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
    return (unit && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + units[unit];
  }
  const percent = (part) => (part === null ? "none yet" : (100 * part).toFixed(part < 0.1 && part > 0 ? 1 : 0) + " %");
  function span(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 60) return Math.round(seconds) + " s";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min";
    if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + Math.floor(seconds / 60 % 60) + " min";
    return Math.floor(seconds / 86400) + " d " + Math.floor(seconds / 3600 % 24) + " h";
  }
  /** As in the log: UTC. */
  const day = (at) => at.toISOString().slice(0, 10);
  const clock = (at) => at.toISOString().slice(11, 19);
  const time = (unix) => {
    const at = new Date(unix * 1000);
    return day(at) === day(new Date()) ? clock(at) : day(at) + " " + clock(at);
  };

  const showAddresses = () =>
    document.querySelectorAll("button.at").forEach((one) => one.dispatchEvent(new Event("show")));

  /** An address, shortened until one clicks. */
  function address(text) {
    const v6 = text.split(":").length > 2;
    const short = v6
      ? text.replace(/^\[?([0-9a-f]*:[0-9a-f]*):.*?(\]:\d+)?$/i, "$1:…")
      : text.replace(/^(\d+\.\d+)\.\d+\.\d+/, "$1.…");
    const show = (button) => {
      const open = $("whole").checked || opened.has(text);
      button.textContent = open ? text : short;
      button.setAttribute("aria-expanded", String(open));
    };
    const button = el("button", {
      type: "button", className: "at", title: "show the whole address, or hide it",
      click: () => {
        if (!opened.delete(text)) opened.add(text);
        showAddresses();
      },
    });
    button.addEventListener("show", () => show(button));
    show(button);
    return button;
  }

  /** A sentence, with its addresses shortened as they are elsewhere. */
  function sentence(text, addresses) {
    const first = addresses.map((one) => [text.indexOf(one), one]).filter(([at]) => at >= 0).sort((a, b) => a[0] - b[0])[0];
    if (!first) return [text];
    const [at, one] = first;
    return [text.slice(0, at), address(one), ...sentence(text.slice(at + one.length), addresses)];
  }

  /** Draws something again only if it has changed, and not while somebody marks a text in it. */
  function draw(id, data, make) {
    const text = JSON.stringify(data);
    if (drawn.get(id) === text) return;
    const target = $(id);
    const marked = getSelection();
    if (marked && !marked.isCollapsed && target.contains(marked.anchorNode)) return;
    drawn.set(id, text);
    target.replaceChildren(...make());
  }

  function table(id, heads, data, row, nothing) {
    draw(id, data, () => {
      if (!data.length) return [el("tbody", {}, el("tr", {}, cell(nothing, "none")))];
      const head = el("tr", {}, ...heads.map((head) =>
        el("th", head.startsWith("#") ? { scope: "col", className: "n" } : { scope: "col" }, head.replace("#", ""))));
      return [el("thead", {}, head), el("tbody", {}, ...data.map((one) => el("tr", {}, ...row(one))))];
    });
  }

  function curve(values, most) {
    const svg = (tag, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
      return made;
    };
    const chart = svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" });
    chart.append(svg("line", { x1: 0, y1: 29.5, x2: 100, y2: 29.5 }));
    const top = most || Math.max(...values.map((value) => value || 0), 1e-9);
    const step = 100 / Math.max(59, values.length - 1);
    const start = 100 - step * (values.length - 1);
    const points = values.map((value, n) => [start + n * step, value])
      .filter(([, value]) => value !== null)
      .map(([x, value]) => x.toFixed(1) + "," + (28.5 - 27 * value / top).toFixed(1));
    if (points.length > 1) chart.append(svg("polyline", { points: points.join(" ") }));
    return chart;
  }

  function tiles(status) {
    const { introductions, relay, curves } = status;
    const all = [
      ["hosts", "hosts", status.hosts, curves.hosts],
      ["clients", "clients: in rooms, or joining", status.clients, curves.clients],
      ["introductions", "introductions a minute", introductions.per_minute, curves.introductions],
      ["share", "of those introduced got through, last hour", percent(introductions.share_through), curves.share_through, 1],
      ...(relay ? [
        ["relayed", "relayed now", relay.sessions, curves.relayed],
        ["rate", "relayed a second", bytes(relay.bytes_per_second), curves.relayed_bytes_per_second],
      ] : []),
      ["connections", "connections", status.connections, curves.connections],
      ["memory", "memory", bytes(status.memory), curves.memory],
      ["cpu", "of one CPU", status.cpu === null ? "unknown" : percent(status.cpu), curves.cpu],
      ["uptime", "uptime", span(status.uptime), null],
    ];
    draw("tiles", all, () => all.map(([id, name, value, values, most]) =>
      el("div", { className: "tile", id: "tile-" + id }, el("b", {}, value), el("span", {}, name), ...(values ? [curve(values, most)] : []))));
  }

  function choices(id, dialects) {
    const select = $(id);
    for (const { name } of dialects) {
      if (![...select.options].some((option) => option.value === name)) select.append(el("option", { value: name }, name));
    }
  }

  function showNodes(cluster) {
    $("nodes-part").hidden = !cluster;
    if (!cluster) return;
    const others = cluster.nodes.length - 1;
    $("nodes-state").textContent = cluster.connected
      ? others + (others === 1 ? " other node is there" : " other nodes are there") : "NATS does not answer: no way to other nodes";
    $("nodes-state").className = cluster.connected ? "" : "way-failed";
    const heads = ["Node", "Version", "#There for", "#Up for", "#Connections", "Hosts and clients", "#Relayed pairs", "#Relayed a second"];
    table("nodes", heads, cluster.nodes, (one) => [
      el("td", { className: "name" }, one.node, ...(one.node === cluster.node ? [small("this one")] : [])),
      cell(one.version || ""), number(span(one.there)), number(span(one.uptime)), number(one.connections),
      el("td", {}, ...one.dialects.map((of) => el("span", { className: "whom" }, of.name + " " + of.hosts + ", " + of.clients))),
      number(!one.relay ? "no relay" : one.relay.sessions + " of " + one.relay.most_sessions + (one.relay.has_room ? "" : ", full")),
      number(one.relay ? bytes(one.relay.bytes_per_second) + " of " + bytes(one.relay.most_bytes_per_second) : ""),
    ], "");
  }

  function showStatus(status) {
    showNodes(status.cluster);
    $("version").textContent = status.version;
    $("build").textContent = status.build;
    draw("warnings", status.warnings, () => status.warnings.map((text) => el("p", { className: "alert" }, text)));
    tiles(status);
    choices("matrix-dialect", status.dialects);
    choices("hosts-dialect", status.dialects);
    const end = status.tls && status.tls.certificate_end;
    $("tls").textContent = !status.tls ? "TLS: no certificate"
      : end === null ? "TLS: it is not known when the certificate ends"
      : "TLS: the certificate " + (end < status.time ? "has ended at " : "ends at ") + time(end) + " UTC"
        + (end < status.time ? "" : ", in " + span(end - status.time));
    $("tls").className = end && end < status.time + 14 * 86400 ? "way-failed" : "";
    table("dialects", ["Dialect", "#Hosts", "#Clients", ""], status.dialects, (one) => [
      cell(one.name), number(one.hosts), number(one.clients), cell(one.speaks ? "" : "has failed, begins anew", "way-failed"),
    ], "none is spoken");
    table("limits", ["What", "#Now", "#At most", "How full", "Allow more with"], status.limits, (one) => [
      cell(one.what), number(one.used), number(one.most),
      cell(el("meter", { min: 0, max: one.most, low: one.most * 0.7, high: one.most * 0.9, optimum: 0, value: one.used,
        title: percent(one.most ? one.used / one.most : 0) })),
      cell(one.option || ""),
    ], "");
    table("options", ["Option", "Value"], status.options, (one) => [cell(one.option), cell(one.value, "name")], "");
  }

  function showMatrix(all) {
    const dialect = $("matrix-dialect").value;
    const pairs = all.filter((pair) => !dialect || pair.dialect === dialect);
    draw("matrix", pairs, () => {
      if (!pairs.length) return [el("tbody", {}, el("tr", {}, cell("no introduction has ended yet", "none")))];
      const kinds = [...new Set(pairs.flatMap((pair) => [pair.one, pair.other]))];
      const sum = (one, other) => pairs
        .filter((pair) => pair.one === one && pair.other === other || pair.one === other && pair.other === one)
        .reduce((all, pair) => all.map((n, i) => n + [pair.direct, pair.relayed, pair.failed][i]), [0, 0, 0]);
      const square = (one, other) => {
        const [direct, relayed, failed] = sum(one, other);
        const all = direct + relayed + failed;
        if (!all) return cell("");
        const share = (direct + relayed) / all;
        const made = cell(percent(share), share >= 0.9 ? "good" : share >= 0.5 ? "mid" : "bad");
        made.append(el("small", {}, direct + " direct, " + relayed + " relayed, " + failed + " failed"));
        return made;
      };
      const head = el("tr", {}, el("th", {}, ""), ...kinds.map((kind) => el("th", { scope: "col" }, kind)));
      return [el("thead", {}, head), el("tbody", {}, ...kinds.map((one) =>
        el("tr", {}, el("th", { scope: "row" }, one), ...kinds.map((other) => square(one, other)))))];
    });
  }

  function showIntroductions(answer) {
    showMatrix(answer.matrix);
    $("left-out").textContent = answer.left_out
      ? answer.left_out + " more who have proven nothing were left out since the start: there were too many at a time." : "";
    const heads = ["Time, UTC", "Game, room", "Client, its NAT", "Host, its NAT", "Way", "Why"];
    table("introductions", heads, answer.introductions, (one) => [
      el("td", { className: "t" }, time(one.time), small(one.dialect)),
      el("td", { className: "name" }, one.game, small(one.room)),
      ...[one.client, one.host].map((side) => el("td", {}, address(side.address), small(side.nat),
        ...(side.told ? [small("was told " + (one.told === "the relay" ? "relay " : ""), address(side.told))] : []),
        ...(side.connected ? [small("connected from ", address(side.connected))] : []))),
      cell(one.way + (one.seconds === null ? "" : " after " + one.seconds.toFixed(1) + " s") + (one.times > 1 ? ", " + one.times + " times" : ""), "way-" + one.way),
      el("td", { className: "why" }, ...sentence(one.why, [one.client, one.host].flatMap((side) => [side.address, side.connected]).filter((at) => at))),
    ], answer.kept ? "none of the last " + answer.kept + " is like that" : "no introduction has ended yet");
  }

  function showHosts(answer) {
    draw("games", answer.games, () => answer.games.length
      ? answer.games.map((one) => el("span", { className: "chip" }, one.game || "(no name)", " · ", one.dialect, " · ", one.hosts))
      : [el("span", { className: "none" }, "no game is listed")]);
    const heads = ["Dialect", "Game", "Name", "Address", "Port", "#Age", "#Players", "#Last sign of life", ""];
    table("hosts", heads, answer.hosts, (one) => [
      cell(one.dialect), cell(one.game, "name"), cell(one.name, "name"), cell(address(one.address)),
      cell(one.port_known ? "known" : "not known", one.port_known ? "" : "way-failed"),
      number(span(one.age)),
      number(one.players === null ? "" : one.players + (one.max_players === null ? "" : " of " + one.max_players)),
      number(one.last_sign === null ? "connected" : span(one.last_sign) + " ago"),
      cell(one.private ? "private" : ""),
    ], "nobody hosts");
    $("hosts-shown").textContent = answer.hosts.length + " of " + answer.total;
    $("hosts-more").hidden = answer.hosts.length >= answer.total;
  }

  function showRefusals(answer) {
    const all = answer.refusals.slice().sort((a, b) => b.times - a.times);
    table("refusals", ["Why", "#How often", "Last, UTC", "Dialects", "Most to", "See"], all, (one) => [
      cell(one.words), number(one.times), cell(time(one.latest), "t"),
      cell(one.dialects.map((of) => of.dialect + " " + of.times).join(", ")),
      el("td", {}, ...one.worst.slice(0, 4).map((whom) => el("span", { className: "whom" }, address(whom.address), " " + whom.times))),
      cell(one.option || ""),
    ], "nothing so far");
  }

  async function ask(path) {
    const response = await fetch(path, { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(LATE) });
    if (response.status === 401) throw new Error("the token is missing: open /?token=TOKEN once");
    if (!response.ok) throw new Error("the server answers " + response.status);
    return response.json();
  }

  /** As many pages of hosts as are shown. */
  async function askHosts() {
    const dialect = encodeURIComponent($("hosts-dialect").value);
    const only = dialect ? "&dialect=" + dialect : "";
    let answer = null;
    let from = 0;
    while (from !== null && (!answer || answer.hosts.length < rows)) {
      const left = rows - (answer ? answer.hosts.length : 0);
      const page = await ask("/api/v1/hosts?from=" + from + "&limit=" + Math.min(left, 100) + only);
      if (answer) answer.hosts.push(...page.hosts);
      else answer = page;
      from = page.next;
    }
    return answer;
  }

  function askIntroductions() {
    const filter = ["game", "address"].map((what) => what + "=" + encodeURIComponent($("filter-" + what).value.trim()));
    return ask("/api/v1/introductions?limit=100&" + filter.join("&"));
  }

  function setState(error) {
    const state = $("state");
    state.className = error ? "lost" : "live";
    state.textContent = error ? "lost" : "live";
    $("lost").hidden = !error;
    if (error) {
      const since = lastAnswer ? " since " + clock(lastAnswer) + " UTC" : "";
      $("lost").textContent = "No answer from the server" + since + " (" + error.message + "). What you see is old; it is tried again.";
    } else {
      lastAnswer = new Date();
    }
  }

  let busy = false;
  async function update() {
    if (busy || document.hidden) return;
    busy = true;
    try {
      showStatus(await ask("/api/v1/status"));
      showIntroductions(await askIntroductions());
      showHosts(await askHosts());
      showRefusals(await ask("/api/v1/refusals"));
      setState(null);
    } catch (error) {
      setState(error);
    } finally {
      busy = false;
    }
  }

  let soon = 0;
  const updateSoon = () => { clearTimeout(soon); soon = setTimeout(update, 250); };
  $("filter").addEventListener("input", updateSoon);
  $("filter").addEventListener("reset", updateSoon);
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); update(); });
  $("whole").addEventListener("change", showAddresses);
  $("matrix-dialect").addEventListener("change", update);
  $("hosts-dialect").addEventListener("change", () => { rows = 100; update(); });
  $("hosts-more").addEventListener("click", () => { rows += 200; update(); });
  document.addEventListener("visibilitychange", update);
  setInterval(update, EVERY);
  update();
})();
