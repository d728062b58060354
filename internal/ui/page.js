// Shows what the verbs say, and runs them. The token stands in the address behind the #, which no browser sends.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const token = location.hash.slice(1);
  const every = 5000;

  // verb runs a verb and returns what it printed; it throws with what the verb says is wrong.
  async function verb(request) {
    const reply = await fetch("/verb", {
      method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(request),
    }).catch(() => {
      throw new Error("drawbridge ui does not answer: it has ended");
    });
    if (!reply.ok) throw new Error(await reply.text());
    const answer = await reply.json();
    if (answer.code === 3) answer.nothing = true; // there was nothing to do
    else if (answer.code !== 0) throw new Error(answer.err || answer.out);
    return answer;
  }

  const element = (name, text, className) => {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (className) e.className = className;
    return e;
  };
  const button = (text, label, action) => {
    const b = element("button", text);
    b.type = "button";
    b.setAttribute("aria-label", label);
    b.addEventListener("click", action);
    return b;
  };
  let now = Date.now(); // by the installation's clock
  // clock writes a time as the verbs do, in UTC, with its date if that is not today's.
  const clock = (t) => {
    if (!t) return "";
    const iso = new Date(t).toISOString();
    return iso.slice(0, 10) === new Date(now).toISOString().slice(0, 10) ? iso.slice(11, 19) : iso.slice(0, 16).replace("T", " ");
  };
  const minutes = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    return s < 120 ? `${s} s` : `${Math.floor(s / 60)} min`;
  };

  // said keeps what the verbs that changed something said, the last first.
  function said(what, text) {
    const log = $("log");
    const line = `${clock(now)}  ${what}\n${text.trim()}\n`;
    log.textContent = log.dataset.used ? `${line}\n${log.textContent}` : line;
    log.dataset.used = "yes";
  }

  // ask lets the user confirm, and fill in the fields that the verb needs.
  function ask(question, consequence, fields) {
    $("question").textContent = question;
    $("consequence").textContent = consequence;
    for (const p of document.querySelectorAll("[data-field]")) {
      const wanted = fields.includes(p.dataset.field);
      p.hidden = !wanted;
      p.querySelector("input").disabled = !wanted;
    }
    const dialog = $("ask");
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((done) => {
      dialog.addEventListener("close", () => done(dialog.returnValue === "yes"
        ? Object.fromEntries(fields.map((f) => [f, $(f).value.trim()])) : null), { once: true });
    });
  }
  $("form").addEventListener("submit", (e) => {
    e.preventDefault();
    $("ask").close("yes");
  });
  $("no").addEventListener("click", () => $("ask").close("no"));

  async function change(question, consequence, fields, request) {
    const given = await ask(question, consequence, fields);
    if (!given) return;
    try {
      const { out, err } = await verb({ ...request, ...given });
      said(question, out + err);
    } catch (e) {
      said(`${question}: refused`, e.message);
    }
    await look(true);
  }

  async function show(what, request) {
    try {
      const { out, err } = await verb(request);
      said(what, out + err);
    } catch (e) {
      said(what, e.message);
    }
    $("log").focus();
  }

  function card(set, why, now) {
    const c = element("article", undefined, "card");
    c.dataset.key = set.set;
    c.append(element("h3", set.set));
    const state = element("p");
    state.append(element("span", set.phase, `phase ${set.phase}`),
      `, generation ${set.generation}, ${set.running} running, ${set.waiting} waiting`);
    c.append(state);
    const left = set.paidUntil ? new Date(set.paidUntil) - now : 0;
    if (left > 0 && set.phase !== "absent") {
      const bar = element("meter");
      bar.max = 3600;
      bar.value = left / 1000;
      bar.setAttribute("aria-label", `paid hour of ${set.set}`);
      c.append(bar, element("p", `${minutes(left)} of the paid hour are left`, "dim"));
    }
    if (set.nextLook) c.append(element("p", `next check at ${clock(set.nextLook)}`, "dim"));
    if (set.paused) c.append(element("p", set.paused));
    if (set.failure) c.append(element("p", set.failure, "phase failed"));
    for (const h of set.holds || []) c.append(element("p", `held by ${h.owner} until ${clock(h.until)}: ${h.reason}`));
    const money = set.usd === null ? `${set.endpointHoursTotal} endpoint-hours` : `${set.usd.toFixed(2)} USD of ${set.usdAlwaysOn.toFixed(2)} always on`;
    c.append(element("p", `paid: ${money}`));
    const list = element("ol");
    list.tabIndex = 0;
    list.setAttribute("aria-label", `last decisions about ${set.set}`);
    for (const d of [...why.decisions].reverse().slice(0, 12)) {
      list.append(element("li", `${clock(d.at)} ${d.action}: ${d.reason}`));
    }
    if (list.children.length) c.append(list);
    const tools = element("p", undefined, "tools");
    tools.append(
      button("Hold…", `Hold ${set.set}`, () => change(`Hold ${set.set}`, "It is raised if it is not up, and stays up for that long; every hour is billed.",
        ["for", "reason"], { verb: "hold", set: set.set })),
      button("Release…", `Release ${set.set}`, () => change(`Release ${set.set}`, "All its holds end. Its runs keep it up, as before.", [],
        { verb: "release", set: set.set })));
    c.append(tools);
    return c;
  }

  function row(run) {
    const tr = element("tr");
    tr.dataset.key = run.run;
    tr.append(element("td", run.run), element("td", clock(run.received)), element("td", run.outcome || run.state),
      element("td", run.waited || ""), element("td", run.ran || ""), element("td", run.reason, "w"));
    const actions = element("td");
    actions.append(button("Show", `Show ${run.run}`, () => show(run.run, { verb: "show", run: run.run })), " ");
    if (run.started) actions.append(button("Log", `Log of ${run.run}`, () => show(`log of ${run.run}`, { verb: "logs", run: run.run })), " ");
    if (run.state !== "finished") {
      actions.append(button("Cancel…", `Cancel ${run.run}`, () => change(`Cancel ${run.run}`, "One that waits ends at once; the task of one that runs is stopped.",
        [], { verb: "cancel", run: run.run })));
    }
    tr.append(actions);
    return tr;
  }

  // put brings the children of a place up to date. What has not changed stays: focus and scrolling with it.
  function put(place, children) {
    const old = [...place.children];
    children.forEach((child, i) => {
      const was = old[i];
      if (!was) place.append(child);
      else if (was.outerHTML === child.outerHTML) return;
      else if (was.tagName === "METER" && child.tagName === "METER") was.value = child.value;
      else if (["ARTICLE", "TR", "OL"].includes(was.tagName) && was.dataset.key === child.dataset.key) put(was, [...child.children]);
      else was.replaceWith(child);
    });
    old.slice(children.length).forEach((e) => e.remove());
  }

  let looking = false;
  let last = "";
  let read = 0;
  // look reads the status, and what is behind it if that has changed, or a minute has passed.
  async function look(all) {
    if (looking) return;
    looking = true;
    try {
      const status = JSON.parse((await verb({ verb: "status" })).out);
      const stands = JSON.stringify({ ...status, now: 0 });
      now = Date.parse(status.now);
      document.title = status.name;
      $("title").textContent = status.name;
      $("place").textContent = `${status.region}, account ${status.account}, ${clock(status.now)} UTC`
        + (status.mode === "observe" ? ", observing only" : "") + (status.deadLetters ? `, ${status.deadLetters} dead letters` : "");
      if (all === true || stands !== last || Date.now() - read > 60_000) {
        const runs = JSON.parse((await verb({ verb: "runs" })).out);
        whys = await Promise.all(status.sets.map(async (s) => JSON.parse((await verb({ verb: "why", set: s.set })).out)));
        put($("rows"), runs.map(row));
        $("jobs").replaceChildren(...[...new Set(runs.map((r) => r.job))].map((j) => {
          const o = element("option");
          o.value = j;
          return o;
        }));
        [last, read] = [stands, Date.now()];
      }
      put($("cards"), status.sets.map((s, i) => card(s, whys[i], new Date(status.now))));
      $("trouble").textContent = (status.troubles || []).join("\n");
    } catch (e) {
      $("trouble").textContent = e.message.trim();
    }
    $("trouble").hidden = $("trouble").textContent === "";
    looking = false;
  }
  let whys = [];

  $("run").addEventListener("click", () => change("Run a job", "Its set is raised if it is not up, which pays for an hour.", ["job"], { verb: "run" }));
  $("pause").addEventListener("click", () => change("Pause", "Nothing is created or started until it is resumed; what is up is still taken down.", ["reason"], { verb: "pause" }));
  $("resume").addEventListener("click", () => change("Resume", "What waits is started.", [], { verb: "resume" }));
  $("replay").addEventListener("click", () => change("Put dead letters back", "Their events are taken again, as if they had just come.", [], { verb: "replay" }));
  $("report").addEventListener("click", async () => {
    const page = open("about:blank");
    if (!page) return said("Report", "the browser blocked the new page; allow pop-ups for this address");
    try {
      page.location = `/report/${(await verb({ verb: "report" })).out}`;
    } catch (e) {
      page.close();
      said("Report", e.message);
    }
  });

  look();
  setInterval(() => document.hidden || look(), every);
})();
