"use strict";
// Texts of models get onto the page by textContent alone: nothing in them is markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const root = document.documentElement;
  const narrow = matchMedia("(width <= 960px)");
  const CAPTION = 52;
  const FACET_CHIPS = 12;

  const KINDS = {
    checkpoint: ["Checkpoint", "checkpoint"],
    diffusion_model: ["Diffusion model", "checkpoint"],
    diffusers: ["Diffusers", "checkpoint"],
    lora: ["LoRA", "lora"],
    vae: ["VAE", "vae"],
    vae_approx: ["VAE preview", "vae"],
    text_encoder: ["Text encoder", "text"],
    clip_vision: ["CLIP vision", "text"],
    llm: ["LLM", "text"],
    vision_language: ["Vision language", "text"],
    controlnet: ["ControlNet", "control"],
    ip_adapter: ["IP-Adapter", "control"],
    model_patch: ["Model patch", "control"],
    upscaler: ["Upscaler", "upscaler"],
    latent_upscaler: ["Latent upscaler", "upscaler"],
    embedding: ["Embedding", "embedding"],
    hypernetwork: ["Hypernetwork", "embedding"],
    gligen: ["GLIGEN", "control"],
    sam: ["SAM", "control"],
    ultralytics_bbox: ["Detector (boxes)", "control"],
    ultralytics_segm: ["Detector (masks)", "control"],
  };
  const STATES = {
    placed: "In place",
    partly: "Partly in place",
    missing: "Missing",
    unlocked: "Not locked",
    unmanaged: "Not managed",
  };
  const SORTS = {
    name: ["Name", (a, b) => compare(a.sortName, b.sortName)],
    newest: ["Newest first", (a, b) => compare(b.date || "", a.date || "")],
    oldest: ["Oldest first", (a, b) => compare(a.date || "~", b.date || "~")],
    largest: ["Largest first", (a, b) => (b.size || 0) - (a.size || 0)],
    smallest: ["Smallest first", (a, b) => (a.size || 0) - (b.size || 0)],
  };
  const THEMES = { auto: "Theme of the system", light: "Light theme", dark: "Dark theme" };

  // Words and numbers

  function compare(a, b) {
    return a < b ? -1 : a > b ? 1 : 0;
  }

  function sizeText(size) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    let value = size;
    while (value >= 999.5 && unit < 4) {
      value /= 1000;
      unit += 1;
    }
    return `${value.toFixed(unit === 0 || value >= 99.95 ? 0 : 1)} ${units[unit]}`;
  }

  function numberText(number) {
    // toLocaleString would load the data of a language first.
    return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
  }

  function countText(count, noun) {
    return `${numberText(count)} ${noun}${count === 1 ? "" : "s"}`;
  }

  function contentText() {
    const files = data.cards.filter((card) => card.state === "unmanaged").length;
    const models = countText(data.cards.length - files, "model");
    return files > 0 ? `${models}, ${countText(files, "unmanaged file")}` : models;
  }

  function kindText(kind) {
    if (!kind) return "Unknown kind";
    if (KINDS[kind]) return KINDS[kind][0];
    const words = kind.replaceAll("_", " ");
    return words.charAt(0).toUpperCase() + words.slice(1);
  }

  function kindIcon(kind) {
    return (KINDS[kind] || ["", "file"])[1];
  }

  function folded(text) {
    // Most names are ASCII, and the rest takes fifty times as long.
    if (/^[\x20-\x7e\n]*$/.test(text)) return text.toLowerCase();
    return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  }

  function hueOf(text) {
    let sum = 7;
    for (let at = 0; at < text.length; at += 1) sum = (sum * 31 + text.charCodeAt(at)) % 3600;
    return sum % 360;
  }

  function ratingText(rating) {
    return data.ratings[rating].toUpperCase().replace("PG13", "PG-13");
  }

  // Elements

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") node.className = value;
      else if (name === "onclick") node.addEventListener("click", value);
      else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
    }
    for (const child of children) if (child !== null && child !== undefined) node.append(child);
    return node;
  }

  function icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const node = document.createElementNS(space, "svg");
    const use = document.createElementNS(space, "use");
    node.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `#i-${name}`);
    node.append(use);
    return node;
  }

  function iconButton(name, label, onclick) {
    return el("button", { type: "button", class: "tool", title: label, "aria-label": label, onclick }, icon(name));
  }

  function kept(key, value) {
    // A browser may refuse storage to a page that is a file.
    try {
      if (value === undefined) return localStorage.getItem(`synapse-gallery-${key}`);
      localStorage.setItem(`synapse-gallery-${key}`, value);
    } catch {
      // Then the choice lasts as long as the page.
    }
    return null;
  }

  // The cards

  const cards = data.cards;
  for (const card of cards) {
    card.media = card.media || [];
    card.facets = {};
    card.label = card.title || card.name;
    card.sortName = folded(card.label);
    card.hue = hueOf(card.base || card.kind || "");
    card.ratio = ratioOf(card);
  }

  function searchText(card) {
    if (card.text === undefined) {
      const files = (card.files || []).map((file) => file[0]);
      const paths = (card.places || []).map((place) => place[1]);
      const texts = [
        card.label, card.name, card.version, kindText(card.kind), card.base, card.creator, card.reference,
        ...(card.words || []), ...(card.groups || []), ...files, ...paths,
      ];
      card.text = folded(texts.filter(Boolean).join("\n"));
    }
    return card.text;
  }

  function ratioOf(card) {
    const size = card.media.length > 0 && card.media[0].size;
    if (!size) return card.media.length > 0 ? 0.75 : 1.3;
    return Math.min(2, Math.max(0.56, size[0] / size[1]));
  }

  // Thumbnails are in blocks, so that none is parsed before it is seen.
  const blocks = new Map();

  function thumbnail(number) {
    const block = Math.floor(number / data.block);
    if (!blocks.has(block)) {
      const node = $(`thumbnails-${block}`);
      if (!node) return null;
      blocks.set(block, JSON.parse(node.textContent));
      node.remove();
    }
    return `data:image/webp;base64,${blocks.get(block)[number % data.block]}`;
  }

  // Filters

  function licencesOf(card) {
    const found = [];
    if (card.commercial === true) found.push("Commercial use");
    else if (card.commercial === false) found.push("No commercial use");
    else if (card.files) found.push("Unclear");
    if (card.licence && card.licence.length <= 40 && !card.licence.includes(":")) found.push(card.licence);
    return found;
  }

  function statesOf(card) {
    return card.newer ? [STATES[card.state], "Newer version"] : [STATES[card.state]];
  }

  const facets = [
    { id: "kind", title: "Kind", of: (card) => [kindText(card.kind)] },
    { id: "base", title: "Base", of: (card) => (card.base ? [card.base] : []) },
    { id: "group", title: "Group", of: (card) => card.groups || [] },
    { id: "licence", title: "Licence", of: licencesOf },
    { id: "state", title: "State", of: statesOf },
    { id: "target", title: "Target", of: (card) => [...new Set((card.places || []).map((place) => place[0]))] },
    { id: "precision", title: "Precision", of: (card) => card.precision || [] },
  ];
  for (const facet of facets) {
    facet.chosen = new Set();
    facet.open = false;
    facet.all = new Map();
    for (const card of cards) {
      const values = facet.of(card);
      card.facets[facet.id] = values;
      for (const value of values) facet.all.set(value, (facet.all.get(value) || 0) + 1);
    }
    facet.values = [...facet.all.keys()].sort((a, b) => facet.all.get(b) - facet.all.get(a) || compare(a, b));
  }

  let words = [];
  let shown = [];

  function fits(card, except) {
    if (words.length > 0 && !words.every((word) => searchText(card).includes(word))) return false;
    return facets.every(
      (facet) =>
        facet === except ||
        facet.chosen.size === 0 ||
        card.facets[facet.id].some((value) => facet.chosen.has(value)),
    );
  }

  function chip(text, count, pressed, onclick) {
    const button = el("button", { type: "button", class: "chip", title: text, "aria-pressed": String(pressed), onclick });
    button.append(el("span", null, text));
    if (count !== null) button.append(el("i", null, numberText(count)));
    button.classList.toggle("none", count === 0);
    return button;
  }

  function toggle(facet, value) {
    if (!facet.chosen.delete(value)) facet.chosen.add(value);
    refresh();
  }

  function clearAll() {
    for (const facet of facets) facet.chosen.clear();
    $("search").value = "";
    words = [];
    refresh();
  }

  function facetView(facet) {
    const counts = new Map();
    for (const card of cards) {
      if (fits(card, facet)) {
        for (const value of card.facets[facet.id]) counts.set(value, (counts.get(value) || 0) + 1);
      }
    }
    const many = facet.values.length > FACET_CHIPS + 2;
    const visible = facet.values.filter((value, at) => facet.open || !many || at < FACET_CHIPS || facet.chosen.has(value));
    const chips = el("div", { class: "chips" });
    for (const value of visible) {
      const button = chip(value, counts.get(value) || 0, facet.chosen.has(value), () => toggle(facet, value));
      button.dataset.key = `${facet.id} ${value}`;
      chips.append(button);
    }
    if (many) {
      const label = facet.open ? "Fewer" : `${facet.values.length - visible.length} more`;
      const more = el("button", { type: "button", class: "more", "aria-expanded": String(facet.open) }, label);
      more.dataset.key = `more ${facet.id}`;
      more.addEventListener("click", () => {
        facet.open = !facet.open;
        showFacets();
      });
      chips.append(more);
    }
    const heading = el("h2", { id: `facet-${facet.id}` }, facet.title);
    return el("section", { class: "facet", role: "group", "aria-labelledby": heading.id }, heading, chips);
  }

  function showFacets() {
    const focused = document.activeElement?.dataset.key;
    $("facets").replaceChildren(
      ...facets
        .filter((facet) => facet.values.length > 1 || facet.chosen.size > 0)
        .map(facetView),
    );
    if (focused) {
      const again = [...$("facets").querySelectorAll("button")].find((node) => node.dataset.key === focused);
      if (again) again.focus({ preventScroll: true });
    }
    const active = facets.flatMap((facet) => [...facet.chosen].map((value) => [facet, value]));
    $("active").replaceChildren(
      ...active.map(([facet, value]) => {
        const button = chip(value, null, false, () => toggle(facet, value));
        button.removeAttribute("aria-pressed");
        button.setAttribute("aria-label", `Remove the filter ${value}`);
        button.append(icon("close"));
        return button;
      }),
    );
    $("filtered").textContent = String(active.length);
    $("filtered").hidden = active.length === 0;
  }

  function refresh() {
    shown = cards.filter((card) => fits(card, null)).sort(SORTS[$("sort").value][1]);
    const size = shown.reduce((sum, card) => sum + (card.size || 0), 0);
    const all = shown.length === cards.length;
    const what = all ? contentText() : `${numberText(shown.length)} of ${contentText()} · ${sizeText(size)}`;
    $("count").textContent = shown.length > 0 ? what : "No model fits";
    $("empty").hidden = shown.length > 0;
    showFacets();
    current = Math.min(current, Math.max(0, shown.length - 1));
    arrange();
  }

  // The grid. Every place is computed at once; only the cards near the window exist. In one frame, no more of them are
  // made than fit into SLICE milliseconds: those in the window first, the others in the frames that follow.

  const SLICE = 6;
  const grid = $("grid");
  const nodes = new Map();
  let current = 0;
  let places = [];
  let columns = 1;
  let width = 0;
  let tallest = 0;
  let veilLevel = data.most;

  function arrange() {
    const room = grid.clientWidth;
    const gap = narrow.matches ? 12 : 18;
    const least = room < 480 ? 150 : 208;
    columns = Math.max(1, Math.floor((room + gap) / (least + gap)));
    width = Math.floor((room - gap * (columns - 1)) / columns);
    const heights = new Array(columns).fill(0);
    tallest = 0;
    places = shown.map((card) => {
      const column = heights.indexOf(Math.min(...heights));
      const cover = Math.round(width / card.ratio);
      const place = { column, x: column * (width + gap), y: heights[column], cover, height: cover + CAPTION };
      heights[column] += place.height + gap;
      tallest = Math.max(tallest, place.height);
      return place;
    });
    grid.style.setProperty("--width", `${width}px`);
    grid.style.height = `${Math.max(0, ...heights)}px`;
    for (const node of nodes.values()) node.remove();
    nodes.clear();
    draw(true);
  }

  function draw(atOnce) {
    const top = -grid.getBoundingClientRect().top;
    const margin = innerHeight * 0.75;
    const from = top - margin;
    const to = top + innerHeight + margin;
    // Tops only grow, since each card goes into the shortest column: the first one that may be seen is searched for.
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (places[middle].y + tallest < from) low = middle + 1;
      else high = middle;
    }
    const wanted = new Set();
    for (let at = low; at < places.length && places[at].y <= to; at += 1) {
      if (places[at].y + places[at].height >= from) wanted.add(at);
    }
    const focused = document.activeElement ? document.activeElement.closest(".card") : null;
    if (focused && focused.dataset.at !== undefined) wanted.add(Number(focused.dataset.at));
    for (const [at, node] of nodes) {
      if (!wanted.has(at)) {
        node.remove();
        nodes.delete(at);
      }
    }
    const missing = [...wanted].filter((at) => !nodes.has(at));
    const isInside = (at) => places[at].y < top + innerHeight && places[at].y + places[at].height > top;
    const inside = missing.filter(isInside);
    make(inside, atOnce ? Number.POSITIVE_INFINITY : SLICE);
    if (inside.every((at) => nodes.has(at))) make(missing.filter((at) => !nodes.has(at)), atOnce ? 0 : SLICE / 2);
    if (missing.some((at) => !nodes.has(at))) soon();
    rest();
  }

  function make(list, milliseconds) {
    const end = performance.now() + milliseconds;
    for (const at of list) {
      show(at);
      if (performance.now() >= end) return;
    }
  }

  function show(at) {
    if (nodes.has(at)) return;
    const node = cardView(shown[at], at);
    nodes.set(at, node);
    insert(node, at);
  }

  let waiting = false;

  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  function insert(node, at) {
    // In the order of the list, for readers that follow the document. Most cards come at one of its ends.
    let before = null;
    for (let child = grid.lastChild; child && Number(child.dataset.at) > at; child = child.previousSibling) before = child;
    grid.insertBefore(node, before);
  }

  function isVeiled(media) {
    return media.rating > veilLevel && !media.revealed;
  }

  function image(media, label) {
    const found = [];
    const small = media.thumbnail === undefined ? null : thumbnail(media.thumbnail);
    if (small) found.push(el("img", { src: small, alt: label, decoding: "async", draggable: "false" }));
    if (media.still && !small) {
      found.push(el("img", { src: media.still, alt: label, decoding: "async", draggable: "false", class: "full" }));
      found[0].addEventListener("error", () => found[0].remove());
    }
    if (found.length === 0 && media.film) {
      found.push(el("video", { src: media.film, preload: "metadata", muted: "", playsinline: "", tabindex: "-1", "aria-label": label }));
      found[0].muted = true;
    }
    return found;
  }

  // A thumbnail is sharp enough while the page moves. The originals follow when it rests.
  let resting = 0;

  async function sharpen(turn) {
    const top = -grid.getBoundingClientRect().top;
    for (const [at, node] of [...nodes].sort((a, b) => a[0] - b[0])) {
      const media = shown[at].media[0];
      const place = places[at];
      const small = node.querySelector(".cover > img:not(.full)");
      if (!small || !media.still || isVeiled(media) || place.y + place.height < top || place.y > top + innerHeight) continue;
      if (small.complete && small.naturalWidth >= width * Math.min(devicePixelRatio, 2)) continue;
      const full = el("img", { alt: small.alt, draggable: "false", class: "full" });
      full.src = media.still;
      // One after the other: when the page moves again, no decoding is left that would hinder it.
      await full.decode().then(() => small.replaceWith(full), () => {});
      if (turn !== resting) return;
    }
  }

  function rest() {
    clearTimeout(resting);
    const turn = setTimeout(() => sharpen(turn), 180);
    resting = turn;
  }

  function veil(media) {
    const word = media.unrated ? "Not rated" : ratingText(media.rating);
    return el("span", { class: "veil" }, icon("hidden"), el("span", null, word));
  }

  function tile(card) {
    return el("span", { class: "tile" }, icon(kindIcon(card.kind)));
  }

  function badge(kind, ...children) {
    return el("span", { class: `badge ${kind}` }, ...children);
  }

  function cover(card) {
    const node = el("span", { class: "cover" });
    const media = card.media[0];
    if (media) {
      node.append(...image(media, `Preview of ${card.label}`));
      if (isVeiled(media)) {
        node.classList.add("veiled");
        node.append(veil(media));
      }
    }
    if (!node.firstChild) node.append(tile(card));
    const left = el("span");
    const right = el("span");
    if (card.newer) left.append(badge("new", icon("update"), "Newer version"));
    if (card.state === "missing" || card.state === "partly" || card.state === "unlocked") {
      left.append(badge("gone", STATES[card.state]));
    }
    if (card.state === "unmanaged") left.append(badge("", "Not managed"));
    if (card.media.some((each) => each.film)) right.append(badge("round", icon("film")));
    node.append(el("span", { class: "badges" }, left, right));
    return node;
  }

  function cardView(card, at) {
    const place = places[at];
    const picture = cover(card);
    picture.style.height = `${place.cover}px`;
    const second = [kindText(card.kind), card.base, card.size ? sizeText(card.size) : null].filter(Boolean).join(" · ");
    const first = el("b", null, el("span", null, card.label), card.version ? el("i", null, card.version) : null);
    const caption = el("span", { class: "caption" }, first, el("span", null, second));
    const button = el("button", { type: "button", tabindex: at === current ? "0" : "-1", "aria-haspopup": "dialog" }, picture, caption);
    const bare = card.state === "unmanaged" && card.media.length === 0;
    const node = el("div", {
      class: bare ? "card bare" : "card",
      role: "listitem",
      "aria-setsize": shown.length,
      "aria-posinset": at + 1,
      "aria-current": card === opened ? "true" : null,
    });
    node.dataset.at = String(at);
    node.style.setProperty("--hue", String(card.hue));
    node.style.transform = `translate(${place.x}px, ${place.y}px)`;
    node.style.height = `${place.height}px`;
    node.append(button);
    button.addEventListener("click", () => open(at));
    button.addEventListener("focus", () => setCurrent(at));
    film(card, picture, button);
    return node;
  }

  function film(card, picture, button) {
    const media = card.media[0];
    if (!media?.film || isVeiled(media)) return;
    let timer = 0;
    let playing = null;
    const start = () => {
      if (matchMedia("(prefers-reduced-motion: reduce)").matches || playing) return;
      timer = setTimeout(() => {
        playing = el("video", { src: media.film, loop: "", playsinline: "", "aria-hidden": "true", tabindex: "-1" });
        playing.muted = true;
        playing.addEventListener("error", stop);
        picture.insertBefore(playing, picture.querySelector(".badges"));
        playing.play().catch(() => {});
      }, 150);
    };
    const stop = () => {
      clearTimeout(timer);
      if (playing) playing.remove();
      playing = null;
    };
    button.addEventListener("pointerenter", start);
    button.addEventListener("pointerleave", stop);
    button.addEventListener("focus", start);
    button.addEventListener("blur", stop);
  }

  function setCurrent(at) {
    const before = nodes.get(current);
    if (before) before.firstChild.tabIndex = -1;
    current = at;
    const node = nodes.get(at);
    if (node) node.firstChild.tabIndex = 0;
  }

  function focusCard(at) {
    const place = places[at];
    if (!place) return;
    const above = $("top").offsetHeight + 12;
    const top = grid.getBoundingClientRect().top + place.y;
    if (top < above) scrollBy(0, top - above);
    else if (top + place.height > innerHeight - 12) scrollBy(0, Math.min(top + place.height - innerHeight + 12, top - above));
    draw();
    show(at);
    setCurrent(at);
    nodes.get(at).firstChild.focus({ preventScroll: true });
  }

  function neighbour(at, key) {
    if (key === "ArrowRight") return at + 1;
    if (key === "ArrowLeft") return at - 1;
    const place = places[at];
    const step = key === "ArrowDown" ? 1 : -1;
    for (let next = at + step; next >= 0 && next < places.length; next += step) {
      if (places[next].column === place.column) return next;
    }
    return at;
  }

  // The panel about one model

  const panel = $("detail");
  let opened = null;

  function open(at) {
    opened = shown[at];
    setCurrent(at);
    mark();
    showDetail(at, 0);
    panel.hidden = false;
    panel.scrollTop = 0;
    document.querySelector(".frame").inert = narrow.matches;
    root.style.overflow = narrow.matches ? "hidden" : "";
    panel.querySelector(".head .tool:last-child").focus({ preventScroll: true });
  }

  function close() {
    if (panel.hidden) return;
    panel.hidden = true;
    panel.replaceChildren();
    document.querySelector(".frame").inert = false;
    root.style.overflow = "";
    const at = shown.indexOf(opened);
    opened = null;
    mark();
    if (at >= 0) focusCard(at);
    else $("search").focus();
  }

  function mark() {
    for (const [at, node] of nodes) {
      if (shown[at] === opened) node.setAttribute("aria-current", "true");
      else node.removeAttribute("aria-current");
    }
  }

  function step(by) {
    const at = shown.indexOf(opened) + by;
    if (at < 0 || at >= shown.length) return;
    const inside = panel.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    opened = shown[at];
    setCurrent(at);
    showDetail(at, 0);
    panel.scrollTop = 0;
    const top = grid.getBoundingClientRect().top + places[at].y;
    if (top < 80 || top + places[at].height > innerHeight) scrollBy(0, top - 96);
    draw();
    mark();
    const again = inside && [...panel.querySelectorAll(".head .tool")].find((node) => node.getAttribute("aria-label") === inside);
    (again || panel.querySelector(".head .tool:last-child")).focus({ preventScroll: true });
  }

  function stage(card, number) {
    const media = card.media[number];
    const node = el("div", { class: "stage" });
    const room = panel.clientWidth || Math.min(460, innerWidth);
    const ratio = media.size ? media.size[0] / media.size[1] : number === 0 ? card.ratio : 0.75;
    node.style.height = `${Math.round(Math.min(room / ratio, innerHeight * 0.62))}px`;
    const small = media.thumbnail === undefined ? media.still : thumbnail(media.thumbnail);
    if (small && !isVeiled(media)) node.append(el("img", { class: "back", src: small, alt: "" }));
    const label = `Preview ${number + 1} of ${card.label}`;
    if (isVeiled(media)) {
      node.classList.add("veiled", "cover");
      node.append(...image(media, label));
      const cloth = veil(media);
      cloth.append(el("button", { type: "button", class: "plain", onclick: () => reveal(card, number) }, "Show it"));
      node.append(cloth);
    } else if (media.film) {
      const film = el("video", { src: media.film, controls: "", loop: "", playsinline: "", "aria-label": label });
      film.muted = true;
      if (media.still) film.poster = media.still;
      film.addEventListener("error", () => film.replaceWith(...still(card, media, label)));
      node.append(film);
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) film.play().catch(() => {});
    } else {
      node.append(...still(card, media, label));
    }
    return node;
  }

  function still(card, media, label) {
    const small = media.thumbnail === undefined ? null : thumbnail(media.thumbnail);
    const node = el("img", { alt: label, decoding: "async" });
    node.addEventListener("error", () => {
      if (small && node.src !== small) node.src = small;
      else node.replaceWith(tile(card));
    });
    node.src = media.still || small || "data:,";
    return [node];
  }

  function reveal(card, number) {
    card.media[number].revealed = true;
    const at = shown.indexOf(card);
    if (nodes.has(at)) {
      nodes.get(at).remove();
      nodes.delete(at);
      show(at);
    }
    showDetail(at, number);
    draw();
    panel.querySelector(".head .tool:last-child").focus({ preventScroll: true });
  }

  function strip(card, at, number) {
    const node = el("div", { class: "strip", role: "group", "aria-label": "Previews" });
    card.media.forEach((media, each) => {
      const button = el("button", { type: "button", "aria-label": `Preview ${each + 1}`, "aria-current": each === number ? "true" : null });
      if (isVeiled(media)) button.append(icon("hidden"));
      else if (media.still) button.append(el("img", { src: media.still, alt: "", loading: "lazy", decoding: "async" }));
      else button.append(icon("film"));
      button.addEventListener("click", () => {
        showDetail(at, each);
        panel.querySelectorAll(".strip button")[each].focus();
      });
      node.append(button);
    });
    return node;
  }

  function fact(list, name, ...value) {
    const shownValue = value.filter((each) => each !== null && each !== undefined && each !== "");
    if (shownValue.length > 0) list.append(el("dt", null, name), el("dd", null, ...shownValue));
  }

  function facts(card) {
    const list = el("dl", { class: "facts" });
    fact(list, "Kind", card.kind ? kindText(card.kind) : null);
    fact(list, "Base", card.base);
    fact(list, "Version", card.version);
    fact(list, "Precision", (card.precision || []).join(", "));
    fact(list, "Size", card.size ? sizeText(card.size) : null);
    fact(list, "Published", card.date ? card.date.slice(0, 10) : null);
    fact(list, "Creator", card.creator);
    fact(list, "Licence", card.licence || (card.files ? "unknown" : null));
    if (card.commercial !== undefined) {
      const word = card.commercial ? "permitted" : "not permitted";
      fact(list, "Commercial use", el("span", { class: card.commercial ? "yes" : "no" }, word));
    }
    fact(list, "Rating", card.rating === undefined ? null : `up to ${ratingText(card.rating)}`);
    fact(list, "Groups", (card.groups || []).join(", "));
    fact(list, "Reference", card.reference ? el("code", null, card.reference) : null);
    return list;
  }

  function heading(text, button) {
    return el("h3", null, text, button || null);
  }

  function wordsView(card) {
    const all = card.words.length > 1 ? el("button", { type: "button", onclick: () => copy(card.words.join(", ")) }, "Copy all") : null;
    const chips = el("div", { class: "chips" });
    for (const word of card.words) {
      const button = el("button", { type: "button", class: "chip word", title: "Copy", onclick: () => copy(word) });
      button.append(el("span", null, word), icon("copy"));
      chips.append(button);
    }
    return el("section", null, heading("Trigger words", all), chips);
  }

  function filesView(card) {
    const list = el("ul", { class: "list" });
    for (const [name, size, sha256, precision] of card.files) {
      const line = [sizeText(size), precision].filter(Boolean).join(" · ");
      const hash = el("button", { type: "button", class: "hash", title: "Copy the SHA-256", onclick: () => copy(sha256) }, `${sha256.slice(0, 12)}…`);
      list.append(el("li", null, name, el("small", null, `${line} · `, hash)));
    }
    if (card.more) list.append(el("li", null, `and ${numberText(card.more)} more`));
    return el("section", null, heading(card.files.length === 1 ? "File" : "Files"), list);
  }

  function placesView(card) {
    const list = el("ul", { class: "list" });
    for (const [target, path, placed] of card.places) {
      const word = el("span", { class: placed ? "yes" : "no" }, placed ? "in place" : "missing");
      list.append(el("li", null, path, el("small", null, `${target} · `, card.state === "unmanaged" ? "not managed" : word)));
    }
    return el("section", null, heading("Targets"), list);
  }

  function noteOf(card) {
    if (card.state === "unlocked") return "Declared in synapse.toml, but not locked yet.";
    if (card.state === "unmanaged") return "No model of synapse.toml has this file. synapse leaves it alone.";
    if (card.newer) return card.held ? `Newer version: ${card.newer} (${card.held})` : `Newer version: ${card.newer}`;
    return null;
  }

  function showDetail(at, number) {
    const card = shown[at];
    const previous = iconButton("back", "Previous model", () => step(-1));
    const next = iconButton("next", "Next model", () => step(1));
    previous.disabled = at <= 0;
    next.disabled = at >= shown.length - 1;
    const position = `${numberText(at + 1)} of ${numberText(shown.length)}`;
    const head = el("div", { class: "head" }, el("p", null, position), previous, next, iconButton("close", "Close", close));
    const body = el("div", { class: "body" });
    const sub = card.label === card.name ? card.version : [card.name, card.version].filter(Boolean).join(" · ");
    body.append(el("div", null, el("h2", { id: "detail-title" }, card.label), el("p", { class: "sub" }, sub || "")));
    const note = noteOf(card);
    if (note) body.append(el("p", { class: "note" }, note));
    if (card.words) body.append(wordsView(card));
    body.append(facts(card));
    if (card.files) body.append(filesView(card));
    if (card.places) body.append(placesView(card));
    if (card.page) {
      const link = el("a", { class: "link", href: card.page, target: "_blank", rel: "noopener noreferrer" }, "Open its page", icon("out"));
      body.append(link);
    }
    panel.replaceChildren(head);
    if (card.media.length > 0) panel.append(stage(card, number));
    if (card.media.length > 1) panel.append(strip(card, at, number));
    panel.append(body);
  }

  // Copying

  let toastTimer = 0;

  function toast(text) {
    $("toast").textContent = text;
    $("toast").classList.add("shown");
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 1600);
  }

  async function copy(text) {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
      area.value = text;
      const focused = document.activeElement;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      if (focused) focused.focus({ preventScroll: true });
    }
    toast(done ? `Copied: ${text}` : "The browser did not permit to copy");
  }

  // Sorting, veils and themes

  for (const [name, [title]] of Object.entries(SORTS)) $("sort").append(el("option", { value: name }, title));
  $("sort").value = SORTS[kept("sort")] ? kept("sort") : "name";
  $("sort").addEventListener("change", () => {
    kept("sort", $("sort").value);
    current = 0;
    refresh();
  });

  data.ratings.forEach((_, rating) => {
    const last = rating === data.ratings.length - 1;
    $("most").append(el("option", { value: rating }, last ? "All ratings" : `Up to ${ratingText(rating)}`));
  });
  $("most").value = String(veilLevel);
  $("most").addEventListener("change", () => {
    veilLevel = Number($("most").value);
    for (const card of cards) for (const media of card.media) delete media.revealed;
    arrange();
    if (opened) showDetail(shown.indexOf(opened), 0);
  });

  function setTheme(theme) {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.dataset.theme = theme;
    $("theme-icon").setAttribute("href", `#i-${theme}`);
    $("theme-name").textContent = THEMES[theme];
    $("theme").title = THEMES[theme];
    $("theme").dataset.theme = theme;
  }

  setTheme(THEMES[kept("theme")] ? kept("theme") : "auto");
  $("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf($("theme").dataset.theme) + 1) % names.length];
    kept("theme", next);
    setTheme(next);
    toast(THEMES[next]);
  });

  // Search, and the keyboard

  $("search").addEventListener("input", () => {
    words = folded($("search").value).split(/\s+/).filter(Boolean);
    current = 0;
    refresh();
  });
  $("find").addEventListener("submit", (event) => {
    event.preventDefault();
    if (shown.length > 0) focusCard(0);
  });
  $("clear").addEventListener("click", () => {
    clearAll();
    $("search").focus();
  });

  function openSide(isOpen) {
    $("side").classList.toggle("open", isOpen);
    $("filter").setAttribute("aria-expanded", String(isOpen));
    (isOpen ? $("done") : $("filter")).focus({ preventScroll: true });
  }

  function placePicks() {
    const picks = document.querySelectorAll(".pick");
    if (narrow.matches) document.querySelector(".sheet").append(...picks);
    else $("theme").before(...picks);
  }

  narrow.addEventListener("change", placePicks);
  placePicks();

  $("filter").addEventListener("click", () => openSide(!$("side").classList.contains("open")));
  $("done").addEventListener("click", () => openSide(false));
  document.addEventListener("pointerdown", (event) => {
    const inside = $("side").contains(event.target) || $("filter").contains(event.target);
    if ($("side").classList.contains("open") && !inside) openSide(false);
  });

  function stepBack() {
    if (!panel.hidden) close();
    else if ($("side").classList.contains("open")) openSide(false);
    else if ($("search").value || facets.some((facet) => facet.chosen.size > 0)) clearAll();
    else return false;
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target.closest("input, select, textarea");
    const onCard = event.target.closest(".card");
    if (event.key === "Escape") {
      if (stepBack()) event.preventDefault();
    } else if (event.key === "/" && !typing) {
      event.preventDefault();
      $("search").focus();
      $("search").select();
    } else if (!panel.hidden && !typing && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      if (event.target.closest("video")) return;
      event.preventDefault();
      step(event.key === "ArrowRight" ? 1 : -1);
    } else if (typing === $("search") && event.key === "ArrowDown" && shown.length > 0) {
      event.preventDefault();
      focusCard(0);
    } else if (event.key.startsWith("Arrow") && (onCard || event.target === document.body || event.target === grid)) {
      if (shown.length === 0) return;
      event.preventDefault();
      focusCard(onCard ? Math.max(0, Math.min(shown.length - 1, neighbour(current, event.key))) : current);
    } else if (onCard && (event.key === "Home" || event.key === "End")) {
      event.preventDefault();
      focusCard(event.key === "Home" ? 0 : shown.length - 1);
    }
  });

  addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(() => {
    if (grid.clientWidth !== room) {
      room = grid.clientWidth;
      arrange();
    }
  }).observe(grid);
  let room = grid.clientWidth;

  const total = cards.reduce((sum, card) => sum + (card.size || 0), 0);
  const targets = facets.find((facet) => facet.id === "target").values.length;
  $("summary").textContent = targets > 0 ? `${sizeText(total)} in ${countText(targets, "target")}` : sizeText(total);
  refresh();
  root.dataset.ready = "true";
})();
