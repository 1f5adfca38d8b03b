// Making and changing elements. Nodes are kept and changed in place, so that focus, selection and open parts survive
// every refresh; text never passes through an HTML parser.

export const $ = (id) => document.getElementById(id);

/** An element: attributes by name, `on…` as listeners, `data` as its data set; children are nodes or texts. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null && child !== ""));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for pictures. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets a text if it is another one. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets or takes away an attribute if that changes anything. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Shows a figure with its unit in a node: `{ number, unit }` or a text. */
export function setFigure(node, figure) {
  const { number, unit } = typeof figure === "string" ? { number: figure, unit: "" } : figure;
  if (node.dataset.shown === `${number} ${unit}`) return;
  node.dataset.shown = `${number} ${unit}`;
  node.replaceChildren(number, ...(unit ? [" ", el("span", { class: "unit" }, unit)] : []));
}

/**
 * Makes the children of `parent` those of `items`: one node per key, made once by `create(item)`, brought up to date by
 * `update(node, item)`, in the items' order.
 */
export function keyed(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = old.get(key);
    if (node) old.delete(key);
    else {
      node = create(item);
      node.dataset.key = key;
    }
    update?.(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

/** Figures under their names: `[name, figure, title]` each. */
export function figures(list, items) {
  const create = ([name, , title]) => el("div", {}, el("dt", { title }, name), el("dd"));
  keyed(list, items, ([name]) => name, create, (node, [, figure, , level]) => {
    setFigure(node.lastElementChild, figure);
    node.lastElementChild.className = level ?? "";
  });
}

/** Buttons of which one is pressed. */
export function choice(parent, options, chosen, choose) {
  const create = ([value, text, title]) =>
    el("button", { type: "button", title, onclick: () => choose(value) }, text);
  keyed(parent, options, ([value]) => value, create, (node, [value]) =>
    setAttribute(node, "aria-pressed", value === chosen));
}

/** Puts these options behind the first one of a list, and keeps what is chosen. */
export function options(select, names) {
  const shown = [...select.options].slice(1).map((option) => option.value);
  if (shown.join("\n") === names.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...names.map((name) => el("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : "";
}

/** A bar that is filled to a share between 0 and 1. */
export function meter(share, level) {
  const bar = el("div", { class: "meter", "aria-hidden": "true" }, el("span"));
  setMeter(bar, share, level);
  return bar;
}

export function setMeter(bar, share, level = "") {
  bar.dataset.level = level;
  bar.firstElementChild.style.width = `${Math.min(100, Math.max(share > 0 ? 1 : 0, share * 100))}%`;
}

/** A little curve; values oldest first. The last one is of a step that is not over, and left out. */
export function setSpark(node, all) {
  const values = all?.slice(0, -1);
  const key = values ? values.join() : "";
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  const max = Math.max(...(values ?? []), 0);
  if (!values || values.length < 2 || max <= 0) return node.replaceChildren();
  const points = values.map((value, index) =>
    `${((index / (values.length - 1)) * 100).toFixed(1)} ${(23 - (value / max) * 21).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  node.replaceChildren(svg("path", { class: "area", d: `${line}L100 24L0 24Z` }), svg("path", { d: line }));
}

/** A short message at the edge of the page. */
export function toast(text) {
  const node = el("p", { class: "toast" }, text);
  $("toasts").append(node);
  setTimeout(() => node.remove(), 7000);
}
