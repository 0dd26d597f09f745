// A list of any length that holds only the rows that are seen; the server gives it page by page.

import { make } from "./api.js";

const HEIGHT = 44; // px of a row
const PAGE = 100; // rows fetched at once
const TALLEST = 8e6; // px: browsers do not make taller elements; longer lists scroll in steps

export class List {
  // box: the element; fetchPage(offset, limit) gives {total, items}; fill(row, item) shows an item;
  // key(item) names it; picked(item) is called when it becomes the active one.
  constructor(box, { fetchPage, fill, key, picked = () => {}, chosen = () => {} }) {
    Object.assign(this, { box, fetchPage, fill, key, picked, onChosen: chosen });
    this.space = box.appendChild(make("div", { className: "space" }));
    this.chosen = new Map();
    this.active = 0;
    this.rows = new Map();
    this.reset();
    box.addEventListener("scroll", () => this.draw());
    box.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  reset() {
    this.pages = new Map();
    this.total = 0;
    this.version = (this.version || 0) + 1;
  }

  // reload(place): fetch again what is seen; place: the row to go to, else where it was.
  async reload(place = null) {
    this.reset();
    if (place !== null) {
      this.active = place;
      this.box.scrollTop = 0;
    }
    const { version } = this;
    await this.page(Math.floor(Math.min(this.active, 1e9) / PAGE));
    if (version !== this.version) return; // another one is under way, which knows how long it is
    this.active = Math.max(0, Math.min(this.active, this.total - 1));
    this.draw();
  }

  async page(number) {
    if (this.pages.has(number)) return this.pages.get(number);
    const version = this.version;
    const wanted = this.fetchPage(number * PAGE, PAGE).catch(() => ({ total: this.total, items: [] }));
    this.pages.set(number, wanted);
    const found = await wanted;
    if (version !== this.version) return found;
    this.total = found.total;
    this.pages.set(number, found);
    this.space.style.height = `${this.tall()}px`;
    this.draw();
    return found;
  }

  tall() {
    return Math.min(this.total * HEIGHT, TALLEST);
  }

  // How far the whole list is scrolled, and the same in the shorter element that stands for it.
  stretch() {
    const view = this.box.clientHeight;
    return (this.total * HEIGHT - view) / Math.max(1, this.tall() - view) || 1;
  }

  item(index) {
    const page = this.pages.get(Math.floor(index / PAGE));
    return page && page.items ? page.items[index % PAGE] : undefined;
  }

  current() {
    return this.item(this.active);
  }

  draw() {
    const view = this.box.clientHeight;
    if (!view) return;
    const top = this.box.scrollTop * (this.total * HEIGHT > TALLEST ? this.stretch() : 1);
    const shift = this.box.scrollTop - top;
    const first = Math.max(0, Math.floor(top / HEIGHT) - 4);
    const last = Math.min(this.total - 1, Math.ceil((top + view) / HEIGHT) + 4);
    for (const [index, row] of this.rows) {
      if (index < first || index > last) {
        row.remove();
        this.rows.delete(index);
      }
    }
    for (let index = first; index <= last; index++) {
      const item = this.item(index);
      let row = this.rows.get(index);
      if (!row) {
        row = make("div", { className: "item", role: "option", id: `${this.box.id}-${index}` });
        row.setAttribute("role", "option");
        row.addEventListener("click", (event) => this.onClick(event, index));
        this.space.append(row);
        this.rows.set(index, row);
      }
      row.style.top = `${index * HEIGHT + shift}px`;
      if (item && row.shown !== item) {
        row.replaceChildren();
        this.fill(row, item);
        row.shown = item;
      } else if (!item) {
        row.textContent = "…";
        row.shown = null;
        this.page(Math.floor(index / PAGE));
      }
      row.classList.toggle("active", index === this.active);
      const chosen = Boolean(item) && this.chosen.has(this.key(item));
      row.classList.toggle("chosen", chosen);
      row.setAttribute("aria-selected", chosen || index === this.active);
    }
    this.box.setAttribute("aria-activedescendant", `${this.box.id}-${this.active}`);
  }

  async go(index) {
    if (!this.total) return;
    this.active = Math.max(0, Math.min(index, this.total - 1));
    const stretch = this.total * HEIGHT > TALLEST ? this.stretch() : 1;
    const top = this.active * HEIGHT;
    const seen = this.box.scrollTop * stretch;
    if (top < seen) this.box.scrollTop = top / stretch;
    if (top + HEIGHT > seen + this.box.clientHeight) {
      this.box.scrollTop = (top + HEIGHT - this.box.clientHeight) / stretch;
    }
    // What is there is shown at once, so that keys that follow quickly mean this row.
    if (!this.current()) await this.page(Math.floor(this.active / PAGE));
    this.draw();
    if (this.current()) this.picked(this.current());
  }

  choose(index) {
    const item = this.item(index);
    if (!item) return;
    const key = this.key(item);
    if (!this.chosen.delete(key)) this.chosen.set(key, item);
    this.draw();
    this.onChosen(this.chosen);
  }

  clear() {
    this.chosen.clear();
    this.draw();
    this.onChosen(this.chosen);
  }

  onClick(event, index) {
    if (event.shiftKey) {
      const [first, last] = [Math.min(index, this.active), Math.max(index, this.active)];
      for (let i = first; i <= last; i++) {
        const item = this.item(i);
        if (item) this.chosen.set(this.key(item), item);
      }
      this.draw();
      this.onChosen(this.chosen);
    } else if (event.ctrlKey || event.metaKey || event.target.type === "checkbox") {
      this.choose(index);
    } else {
      this.go(index);
    }
  }

  onKey(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / HEIGHT) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity,
      End: Infinity };
    if (event.key in steps) this.go(this.active + steps[event.key]);
    else if (event.key === "x" && !event.ctrlKey && !event.repeat) this.choose(this.active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
