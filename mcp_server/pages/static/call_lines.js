// The transcript: lines of the desk by their number, and what was written here and has no number yet.

import { oneLine, printable } from "./call_words.js";

const VERBS = {
  said: "said",
  played: "played",
  text: "wrote",
  question: "asked",
  answer: "answered",
  note: "",
};

/** Lines in the order of their numbers, each once, however often they are told. */
export class Lines {
  #list;
  #box;
  #template;
  #send;
  #numbered = new Map();
  #waiting = new Map();

  /** `box` scrolls, `list` holds the lines, `template` is one; `send` sends a text, and says whether it could. */
  constructor({ box, list, template, send }) {
    this.#box = box;
    this.#list = list;
    this.#template = template;
    this.#send = send;
  }

  /** A line of the desk. One that was written here takes its place. */
  take(line) {
    this.#arrived(line.ref);
    if (this.#numbered.has(line.n)) return;
    const kind = Object.hasOwn(VERBS, line.kind) ? line.kind : "text";
    const item = this.#made(kind, line.who, VERBS[kind], line.text);
    const time = item.querySelector("time");
    time.dateTime = line.at;
    time.textContent = clock(line.at);
    this.#numbered.set(line.n, item);
    this.#keepingPlace(() => this.#list.insertBefore(item, this.#after(line.n)));
  }

  /** Write something: it stands at the end until the desk has numbered it. */
  write(text) {
    const ref = crypto.getRandomValues(new Uint32Array(2)).join("-");
    const item = this.#made("text", "You", "write", text);
    this.#waiting.set(ref, { item, text });
    this.#keepingPlace(() => this.#list.append(item));
    this.#box.scrollTop = this.#box.scrollHeight;
    if (!this.#send({ type: "text", text, ref })) this.#notSent(ref);
  }

  /** The line was lost: nobody knows whether what was under way has arrived. */
  lost() {
    for (const ref of this.#waiting.keys()) this.#notSent(ref);
  }

  /** The desk did not take it; whether it was something written here. */
  refused(ref) {
    if (!this.#waiting.has(ref)) return false;
    this.#notSent(ref, "It was not taken");
    return true;
  }

  #notSent(ref, why = "It may not have arrived") {
    const { item, text } = this.#waiting.get(ref);
    item.querySelector("time").textContent = why;
    const again = item.querySelector(".again");
    again.hidden = false;
    again.onclick = () => {
      this.#arrived(ref);
      this.write(text);
    };
  }

  #arrived(ref) {
    this.#waiting.get(ref)?.item.remove();
    this.#waiting.delete(ref);
  }

  #made(kind, who, verb, text) {
    const item = this.#template.content.cloneNode(true).querySelector("li");
    item.className = kind;
    item.querySelector(".who").textContent = oneLine(who);
    item.querySelector(".verb").textContent = verb;
    item.querySelector(".words").textContent = printable(text);
    return item;
  }

  #after(n) {
    const later = [...this.#numbered.keys()].filter((number) => number > n);
    if (later.length > 0) return this.#numbered.get(Math.min(...later));
    return [...this.#waiting.values()][0]?.item ?? null;
  }

  /** Who reads further up is left there; who reads the end sees what is new. */
  #keepingPlace(change) {
    const box = this.#box;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    change();
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }
}

function clock(at) {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? "" : time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
