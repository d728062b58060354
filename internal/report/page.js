// What the page adds to its own text: the picture's details, the charts, the table of everything. It reads the
// data in the page and asks nobody.
"use strict";
(() => {
  const d = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const text = (i) => d.texts[i];
  document.documentElement.classList.add("js");

  const clock = new Intl.DateTimeFormat("en-GB", {
    timeZone: d.zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
    second: "2-digit", hourCycle: "h23",
  });
  const at = (s) => {
    if (s === null) return "";
    const p = Object.fromEntries(clock.formatToParts(s * 1000).map((x) => [x.type, x.value]));
    return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}`;
  };
  const length = (s) => {
    if (s < 120) return `${s} s`;
    const short = (x) => String(Math.round(x * 10) / 10);
    return s < 7200 ? `${short(s / 60)} min` : `${short(s / 3600)} h`;
  };

  // Everything that happened, as items with what is said of each.
  const items = { run: [], generation: [], decision: [], span: [] };
  for (const [set, job, id, after, wait, ran, outcome, reason, flags] of d.runs) {
    const received = d.from + after;
    const started = received + (wait ?? 0);
    items.run.push({
      kind: "run", set, from: started, until: wait === null ? received : ran === null ? d.until : started + ran,
      bad: (flags & 2) > 0,
      cells: [at(received), text(set), text(job), id, wait === null || flags & 4 ? "" : length(wait), flags & 1 ? "cold" : "warm",
        ran === null ? "" : length(ran), text(outcome), text(reason)],
    });
  }
  for (const s of d.sets) {
    s.generations = s.generations.map(([n, after, available, deleting, deleted, hours, paid, failed]) => {
      const created = d.from + after;
      const then = (x) => (x === null ? null : created + x);
      return [n, created, then(available), then(deleting), then(deleted), hours, then(paid), failed];
    });
    for (const [n, created, available, deleting, deleted, hours, , failed] of s.generations) {
      items.generation.push({
        kind: "generation", set: s.name, from: created, until: deleted ?? d.until,
        cells: [String(n), text(s.name), at(created), at(available), at(deleting), at(deleted), String(hours * s.each),
          failed ? "failed" : ""],
      });
    }
    for (const [when, action, reason] of s.decisions) {
      items.decision.push({
        kind: "decision", set: s.name, from: when, until: when, cells: [at(when), text(s.name), text(action), text(reason)],
      });
    }
  }
  for (const [set, kind, name, from, until, reason] of d.spans) {
    items.span.push({
      kind: "span", set, from, until: until ?? d.until,
      cells: [text(kind), text(set), text(name), at(from), at(until), text(reason)],
    });
  }
  const heads = {
    run: ["received", "set", "job", "event", "waited", "endpoints", "ran", "outcome", "reason"],
    generation: ["generation", "set", "created", "available", "deleting", "deleted", "endpoint-hours", "outcome"],
    decision: ["at", "set", "action", "reason"],
    span: ["kind", "set", "name", "from", "until", "reason"],
  };
  const say = (x) => heads[x.kind].map((h, i) => [h, x.cells[i]]).filter(([h, v]) => v !== "" && h !== "set")
    .map(([h, v]) => `${h}: ${v}`).join(" · ");

  // The picture.
  const svg = document.querySelector("svg.timeline");
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const mark = (x, y, width) => {
    for (const [k, v] of Object.entries({ x: x - 1, y, width: width + 2, height: d.height })) cursor.setAttribute(k, v);
    cursor.setAttribute("visibility", "visible");
  };
  // what is said by pointing and by playing changes too often to be read aloud
  const live = (on) => $("detail").setAttribute("aria-live", on ? "polite" : "off");
  const left = (part, t) => d.left + (d.width * (part[0] + t - part[1])) / 86400;
  if (svg) {
    const bySet = d.sets.map((s) => Object.values(items).flat().filter((x) => x.set === s.name)
      .sort((a, b) => a.from - b.from));
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("visibility", "hidden");
    svg.append(cursor);
    // where an item begins in the picture: row, x and width, or nothing if its day is not drawn
    const place = (item) => {
      for (const [i, row] of d.rows.entries()) {
        for (const p of row.parts) {
          const from = Math.max(item.from, p[1]);
          if (from >= p[2] || (from > item.from && i > 0) || item.until < from) continue;
          return { row: i, x: left(p, from), width: (d.width * (Math.min(item.until, p[2]) - from)) / 86400 };
        }
      }
      return null;
    };
    let set = 0;
    let index = -1;
    const show = (quiet) => {
      const item = bySet[set][index];
      if (!item) return;
      const where = place(item);
      cursor.setAttribute("visibility", "hidden");
      live(!quiet);
      $("detail").textContent = `${text(d.sets[set].name)}, ${item.kind}: ${say(item)}`;
      if (where) mark(where.x, d.each * set + d.head + d.height * where.row, where.width);
    };
    // the item that is drawn nearest to a point, within a few units
    const pick = (event) => {
      const box = svg.getBoundingClientRect();
      const scale = 1000 / box.width;
      const x = (event.clientX - box.left) * scale;
      const y = (event.clientY - box.top) * scale;
      const s = Math.floor(y / d.each);
      const row = Math.floor((y - s * d.each - d.head) / d.height);
      if (!bySet[s] || !d.rows[row]) return;
      const high = ((y - s * d.each - d.head) % d.height) / d.height;
      const wall = ((x - d.left) / d.width) * 86400;
      const part = d.rows[row].parts.findLast((p) => p[0] <= wall) ?? d.rows[row].parts[0];
      const t = part[1] + wall - part[0];
      const slack = (3 * scale * 86400) / d.width;
      const order = high > 0.56 ? ["run", "generation"] : high < 0.19 ? ["span", "generation"] : ["decision", "generation", "run"];
      let best = -1;
      let rank = [9, Infinity];
      bySet[s].forEach((item, i) => {
        if (t < item.from - slack || t > item.until + slack) return;
        const wanted = item.bad ? 0 : order.indexOf(item.kind);
        const r = [wanted < 0 ? 8 : wanted, item.until - item.from];
        if (r[0] < rank[0] || (r[0] === rank[0] && r[1] < rank[1])) [best, rank] = [i, r];
      });
      if (best >= 0) {
        [set, index] = [s, best];
        show(true);
      }
    };
    svg.addEventListener("pointermove", pick);
    svg.addEventListener("pointerdown", pick);
    $("timeline").addEventListener("keydown", (event) => {
      const n = bySet[set].length;
      const now = bySet[set][index]?.from ?? -Infinity;
      const go = (to, i) => [set, index] = [to, Math.max(0, Math.min(bySet[to].length - 1, i))];
      switch (event.key) {
        case "ArrowRight": go(set, index + 1); break;
        case "ArrowLeft": go(set, index - 1); break;
        case "Home": go(set, 0); break;
        case "End": go(set, n - 1); break;
        case "ArrowUp":
        case "ArrowDown": {
          const to = Math.max(0, Math.min(bySet.length - 1, set + (event.key === "ArrowUp" ? -1 : 1)));
          const i = bySet[to].findIndex((x) => x.from >= now);
          go(to, i < 0 ? bySet[to].length - 1 : i);
          break;
        }
        default: return;
      }
      event.preventDefault();
      show();
    });
  }

  // Time travel: how things stood at an instant.
  if (svg) {
    const slider = $("instant");
    slider.max = d.until - d.from;
    const phase = ([, created, available, deleting, deleted], t) => {
      if (t < created || (deleted !== null && t >= deleted)) return "";
      if (available === null || t < available) return "being created";
      return deleting !== null && t >= deleting ? "being deleted" : "up";
    };
    const travel = () => {
      const t = d.from + Number(slider.value);
      const sets = d.sets.map((s) => {
        const g = s.generations.find((x) => phase(x, t));
        const n = items.run.filter((x) => x.set === s.name && x.from <= t && t < x.until).length;
        return `${text(s.name)} is ${g ? `${phase(g, t)} (generation ${g[0]})` : "absent"}, ${n} ${n === 1 ? "task" : "tasks"} running`;
      });
      const paid = d.sets.reduce((sum, s) => sum + s.cost * s.generations.reduce((n, g) => (
        n + Math.max(0, Math.min(g[5], Math.floor((t - g[6]) / 3600) + 1))), 0), 0);
      const always = d.sets.reduce((sum, s) => sum + s.cost * Math.max(0, Math.floor((t - s.since) / 3600) + 1), 0);
      const money = (x) => (d.moneyUSD ? `${x.toFixed(2)} USD` : `${Math.round(x)} endpoint-hours`);
      const older = d.unlisted && items.run.length && t < items.run[0].from ? " Runs of that time are not listed." : "";
      $("detail").textContent = `${at(t)}: ${sets.join("; ")}. Paid so far ${money(paid)}, always on ${money(always)}.${older}`;
      slider.setAttribute("aria-valuetext", at(t));
      const row = d.rows.findIndex((r) => r.parts.some((p) => t >= p[1] && t < p[2]));
      if (row < 0) return;
      const x = left(d.rows[row].parts.find((p) => t >= p[1] && t < p[2]), t);
      mark(x, d.head + d.height * row, 0);
      cursor.setAttribute("height", d.height + d.each * (d.sets.length - 1));
    };
    slider.addEventListener("input", () => {
      live(true);
      travel();
    });
    let playing;
    const stop = () => {
      clearInterval(playing);
      playing = undefined;
      $("play").textContent = "Play";
      live(true);
      travel();
    };
    $("play").addEventListener("click", () => {
      if (playing) return stop();
      if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
      $("play").textContent = "Stop";
      live(false);
      const day = Math.min(86400, Number(slider.max)); // a day takes half a minute
      playing = setInterval(() => {
        slider.value = Number(slider.value) + day / 300;
        travel();
        if (Number(slider.value) >= Number(slider.max)) stop();
      }, 100);
    });
    if (location.hash === "#watch") $("play").click(); // as drawbridge demo --ui opens it
  }

  // The charts.
  let inks = null; // in place of the page's own, on paper
  const css = (name) => inks?.[name] ?? getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const charts = [];
  const chart = (id, options, data) => {
    const box = $(id);
    if (!box || !data[0].length) return;
    const axis = { stroke: css("--fg"), grid: { stroke: css("--edge"), width: 1 }, ticks: { stroke: css("--edge") } };
    options.axes.forEach((a) => Object.assign(a, axis));
    charts.push([box, new uPlot({ width: inks ? 680 : box.clientWidth, height: 220, ...options }, data, box)]);
  };
  const draw = (paper) => {
    for (const [, c] of charts.splice(0)) c.destroy();
    inks = paper ? { "--fg": "#000", "--edge": "#ccc" } : null;
    const colours = dark.matches && !paper ? ["#77aaf7", "#ff9d6e", "#6fd0a4"] : ["#1f5fbf", "#b4511a", "#1e6a49"];
    const money = d.money;
    const digits = d.moneyUSD ? 2 : 0;
    const value = (_, v) => (v === null ? "" : v.toFixed(digits));
    chart("growth", {
      tzDate: (t) => uPlot.tzDate(new Date(t * 1000), d.zone),
      series: [{ value: (_, t) => (t === null ? "" : at(t).slice(0, 16)) }, ...["paid", "always on", "best possible"].map((label, i) => (
        { label, stroke: colours[i], width: 2, value, dash: [[], [8, 4], [2, 3]][i], points: { show: false } }))],
      axes: [{ values: (_, all, __, ___, step) => all.map((t) => (step < 86400 ? at(t).slice(11, 16) : at(t).slice(0, 10))), space: 80 },
        { size: 60 }],
    }, [0, 1, 2, 3].map((i) => money.map((p) => p[i])));
    const waits = d.waits;
    const bars = (align) => uPlot.paths.bars({ size: [0.4, 60], align });
    chart("waitchart", {
      scales: { x: { time: false, range: [-0.6, waits.length - 0.4] }, y: { range: (u, lo, hi) => [0, hi || 1] } },
      series: [{ label: "wait", value: (_, v) => d.waitNames[v] ?? "" },
        { label: "cold", stroke: colours[0], fill: colours[0], paths: bars(-1), points: { show: false } },
        { label: "warm", stroke: colours[1], fill: colours[1], paths: bars(1), points: { show: false } }],
      axes: [{ splits: waits.map((_, i) => i), values: (_, all) => all.map((i) => d.waitNames[i]), space: 1,
        ...(innerWidth < 850 ? { rotate: -50, size: 90 } : {}) },
        { size: 60 }],
    }, [waits.map((_, i) => i), waits.map((w) => w[0]), waits.map((w) => w[1])]);
  };
  draw();
  dark.addEventListener("change", () => draw());
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw());
  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => charts.forEach(([box, c]) => c.setSize({ width: box.clientWidth, height: 220 })), 100);
  });

  // The table of everything: a page of rows at a time.
  if ($("rows")) {
    const most = 50;
    let first = 0;
    let found = [];
    const fill = () => {
      const kind = $("kind").value;
      const table = document.createElement("table");
      const add = (row, name, value) => {
        const cell = document.createElement(name);
        cell.textContent = value;
        if (value.length > 32) cell.className = "w";
        row.append(cell);
      };
      const head = table.createTHead().insertRow();
      for (const h of heads[kind]) add(head, "th", h);
      for (const h of head.cells) h.scope = "col";
      const body = table.createTBody();
      for (const item of found.slice(first, first + most)) {
        const row = body.insertRow();
        for (const c of item.cells) add(row, "td", c);
      }
      $("rows").replaceChildren(table);
      $("page").textContent = found.length
        ? `${first + 1} to ${Math.min(first + most, found.length)} of ${found.length}` : "none";
      $("earlier").disabled = first === 0;
      $("later").disabled = first + most >= found.length;
    };
    const find = () => {
      const want = $("filter").value.toLowerCase();
      found = items[$("kind").value].filter((x) => x.cells.some((c) => c.toLowerCase().includes(want)));
      first = 0;
      $("copied").textContent = "";
      fill();
    };
    // a cell as a spreadsheet may have it: one line, and no formula
    const plain = (c) => c.replace(/\s+/g, " ").replace(/^[=+\-@]/, "'$&");
    const turn = (by) => () => {
      first = Math.max(0, first + by);
      fill();
    };
    $("kind").addEventListener("change", find);
    $("filter").addEventListener("input", find);
    $("earlier").addEventListener("click", turn(-most));
    $("later").addEventListener("click", turn(most));
    $("copy").addEventListener("click", async () => {
      const rows = [heads[$("kind").value], ...found.map((x) => x.cells)];
      try {
        await navigator.clipboard.writeText(rows.map((r) => r.map(plain).join("\t")).join("\n"));
        $("copied").textContent = `${found.length} rows are copied, with tabs between the columns`;
      } catch {
        $("copied").textContent = "the browser blocked copying; use --format csv";
      }
    });
    find();
  }
})();
