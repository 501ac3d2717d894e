// Searches, sorts and links the report. It reads text as text: nothing of the page is ever parsed as markup.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const id = (name) => document.getElementById(name);
  const KINDS = ["source", "place", "reason"];
  const samples = all(".sample").map((element) => ({
    element,
    text: [element.textContent, ...KINDS.map((kind) => element.dataset[kind])].join(" ").toLowerCase(),
  }));
  const cards = all(".card").map((element) => ({
    element,
    text: all("h3, p", element).filter((part) => !part.closest(".sample")).map((part) => part.textContent).join(" ").toLowerCase(),
  }));

  // The address of what is shown: #?q=words&place=example.org, or the id of a part of the page.
  const wanted = () => new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
  const address = (filters) => "#?" + new URLSearchParams(filters).toString();

  function show(typing) {
    const filters = wanted();
    const words = (filters.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const kinds = KINDS.filter((kind) => filters.get(kind));
    const active = words.length + kinds.length > 0;
    const hit = (text) => words.every((word) => text.includes(word));
    const seen = new Set();
    for (const { element, text } of samples) {
      const match = hit(text) && kinds.every((kind) => element.dataset[kind] === filters.get(kind));
      element.hidden = active && !match;
      if (match) seen.add(element.querySelector("code").textContent);
    }
    let rules = 0;
    for (const { element, text } of cards) {
      const own = words.length > 0 && kinds.length === 0 && hit(text);
      rules += own;
      const inside = all(".sample", element).some((sample) => !sample.hidden);
      element.hidden = active && !own && !inside;
      element.classList.toggle("own", own);
      if (own) for (const sample of all(".sample", element)) sample.hidden = false;
      opened(element.querySelector(".border"), active && inside && !own);
    }
    for (const group of all(".group")) {
      const inside = all(".sample", group).some((sample) => !sample.hidden);
      group.hidden = active && !inside;
      opened(group, active && inside);
    }
    for (const section of all("main > section"))
      section.hidden = active && !all(".card, .group", section).some((part) => !part.hidden);
    document.body.classList.toggle("filtered", active);
    const named = kinds.map((kind) => `${kind} ${filters.get(kind)}`).concat(words.length ? [`“${filters.get("q")}”`] : []);
    const many = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
    id("found").textContent = active ? `${named.join(", ")}: ${many(seen.size, "document")}, ${many(rules, "rule")}` : "";
    id("clear").hidden = !active;
    if (id("search").value !== (filters.get("q") || "")) id("search").value = filters.get("q") || "";
    if (!active) reveal();
    else if (typing !== true) document.querySelector("main").scrollIntoView();
  }

  // Opens a fold for a search, and closes it again afterwards if it was closed before.
  function opened(fold, open) {
    if (!fold) return;
    if (open && !fold.open) {
      fold.open = true;
      fold.dataset.searched = "";
    } else if (!open && "searched" in fold.dataset) {
      fold.open = false;
      delete fold.dataset.searched;
    }
  }

  // Shows the part that the address names, in all folds around it.
  function reveal() {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      return;
    }
    const part = name && id(name);
    if (!part) return;
    for (let fold = part.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    part.scrollIntoView();
  }

  function sorted(table, column, descending) {
    for (const body of table.tBodies) {
      const rows = [...body.rows].map((row) => [value(row.cells[column].textContent), row]);
      const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
      rows.sort((a, b) => (descending ? -1 : 1) * order(a[0], b[0]));
      body.append(...rows.map((row) => row[1]));
    }
  }

  // 1,234 and 14.5 MB and < 0.1 % as numbers, everything else as text.
  function value(text) {
    const plain = text.trim().replace(/,/g, "").replace(/\u2212/g, "-");
    const parts = /^([<>]?)\s*([-+]?[\d.]+)\s*(B|kB|MB|GB|TB|PB|%)?$/.exec(plain);
    if (!parts) return plain === "\u2013" ? -1 : plain;
    const powers = { B: 0, kB: 1, MB: 2, GB: 3, TB: 4, PB: 5 };
    const small = parts[1] === "<" ? 0.5 : parts[1] === ">" ? 1.0005 : 1;
    return small * Number(parts[2]) * 1000 ** (powers[parts[3]] || 0);
  }

  for (const table of all("table.sortable"))
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") !== "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sorted(table, column, descending);
      });
    }

  for (const link of all("main a"))
    if (KINDS.some((kind) => link.dataset[kind])) link.href = address(KINDS.flatMap((kind) => (link.dataset[kind] ? [[kind, link.dataset[kind]]] : [])));

  // Opened from a disk, the page knows its folder, and so its name; a version's own folder lies below that of the corpus.
  function name() {
    const path = location.protocol === "file:" && /^(.*)\/report\.html$/.exec(location.pathname);
    if (!path) return;
    let folder = path[1].replace(/\/\.versions\/\d+$/, "");
    // The copy of a run, which alone shows expectations, lies in `runs` of the corpus.
    if (document.getElementById("expectations")) folder = folder.replace(/\/runs$/, "");
    try {
      folder = decodeURIComponent(folder);
    } catch {
      return;
    }
    if (!folder) return;
    const quoted = /^[\w@%+=:,./-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", "'\\''")}'`;
    for (const place of all(".folder")) place.textContent = quoted;
    const head = document.querySelector("h1");
    id("kind").textContent = head.textContent;
    head.textContent = folder.split("/").at(-1);
    document.title = `${head.textContent} · report`;
  }

  for (const line of all(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const code = line.querySelector("code");
      getSelection().selectAllChildren(code);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
    });
    line.append(button);
  }

  let waiting = 0;
  id("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const filters = wanted();
      if (id("search").value) filters.set("q", id("search").value);
      else filters.delete("q");
      // Letter by letter there is one entry in the history, not many.
      history.replaceState(null, "", filters.size ? address(filters) : "#");
      show(true);
    }, 150);
  });
  id("clear").addEventListener("click", () => {
    location.hash = "#samples";
  });
  addEventListener("hashchange", show);
  name();
  id("finder").hidden = false;
  show();
})();
