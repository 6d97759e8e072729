// What a person is asked in a call: shown whole, answered once, bound to what was shown.

import { fenced, oneLine, printable } from "./call_words.js";

/** Cards of questions and approvals, one for each id. */
export class Asks {
  #place;
  #templates;
  #send;
  #cards = new Map();
  /** What was decided, in words, in the order in which it was. */
  outcomes = [];

  /** `templates` has ask and choice; `send` sends a message, and says whether it could. */
  constructor({ place, templates, send }) {
    this.#place = place;
    this.#templates = templates;
    this.#send = send;
  }

  /** Show it. What is asked anew in other words must be read anew. */
  take(ask) {
    const shown = this.#cards.get(ask.id);
    if (shown?.ask.action_hash === ask.action_hash && !shown.isOver) return this.#allow(shown, true);
    shown?.form.remove();
    const form = this.#templates.ask.content.cloneNode(true).querySelector("form");
    const card = { ask, form, isOver: false };
    this.#cards.set(ask.id, card);
    fill(form, ask, this.#templates.choice);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#answer(card, event.submitter?.value);
    });
    this.#place.append(form);
  }

  /** It has been answered, or can no longer be. */
  over(id, outcome) {
    const card = this.#cards.get(id);
    if (card === undefined || card.isOver) return;
    card.isOver = true;
    say(card, oneLine(outcome));
    this.#allow(card, false);
    for (const one of card.form.querySelectorAll(".choices, .free, .row")) one.remove();
    const title = oneLine(card.ask.title);
    this.outcomes.push(`${title}${/[.?!:…]$/.test(title) ? "" : ":"} ${oneLine(outcome)}`);
  }

  /** The answer did not count; whether the id is that of something asked here. */
  refused(id, why) {
    const card = this.#cards.get(id);
    if (card === undefined || card.isOver) return false;
    say(card, oneLine(why));
    this.#allow(card, true);
    return true;
  }

  /** The line was lost: nobody knows whether an answer under way has arrived. It counts once, however often given. */
  lost() {
    for (const card of this.#cards.values()) {
      if (card.isOver || !card.isSent) continue;
      say(card, "Your answer may not have arrived. Once you are connected again, you may give it again.");
      this.#allow(card, true);
    }
  }

  #answer(card, decision) {
    const answer = { type: "answer", id: card.ask.id, action_hash: card.ask.action_hash, decision };
    if (decision === "approve") {
      const missing = added(answer, card);
      if (missing) return say(card, missing);
    }
    if (!this.#send(answer)) return say(card, "There is no connection now, so nothing was sent.");
    say(card, "Your answer is under way.");
    card.isSent = true;
    this.#allow(card, false);
  }

  #allow(card, isAllowed) {
    if (isAllowed) card.isSent = false;
    for (const one of card.form.querySelectorAll("button, input, textarea")) one.disabled = !isAllowed;
  }
}

function fill(form, ask, choiceTemplate) {
  const choices = ask.choices ?? [];
  const isQuestion = choices.length > 0 || ask.free_text;
  const find = (selector) => form.querySelector(selector);
  find("h2").textContent = isQuestion ? "You are asked" : "May this happen?";
  // Where there is more than title and action, `details` is the whole question, in which the desk has marked all words
  // of others already.
  find("pre").textContent = ask.details ? printable(ask.details) : fenced(inWords(ask));
  find("pre").setAttribute("aria-label", "What is asked");
  find(".seal").textContent = `SHA-256 of this: ${oneLine(ask.action_hash).slice(0, 16)}.${until(ask.expires_at)}`;
  find(".yes").textContent = isQuestion ? "Answer" : "Approve";
  find(".no").textContent = isQuestion ? "Do not answer" : "Reject";
  find(".choices").hidden = choices.length === 0;
  for (const [number, choice] of choices.entries()) {
    const one = choiceTemplate.content.cloneNode(true);
    one.querySelector("input").value = number;
    one.querySelector("bdi").textContent = oneLine(choice);
    find(".choices").append(one);
  }
  find(".free").hidden = !ask.free_text;
  find(".free span").textContent = choices.length > 0 ? "Or your own answer" : "Your answer";
}

/** Title and action; the action alone where the title is but its beginning. */
function inWords({ title, action }) {
  return action.startsWith(title.replace(/…$/, "")) ? action : `${title}\n${action}`;
}

function until(at) {
  return at ? ` Open until ${at.slice(0, 10)}, ${at.slice(11, 16)} UTC.` : "";
}

/** Put what was chosen or written into the answer; what is missing, where something is. */
function added(answer, { ask, form }) {
  const choices = ask.choices ?? [];
  const text = ask.free_text ? form.querySelector(".free textarea").value.trim() : "";
  const chosen = form.querySelector("input:checked");
  if (text) answer.text = text;
  else if (chosen) answer.choice = choices[Number(chosen.value)];
  else if (choices.length > 0) return "Choose an answer first.";
  else if (ask.free_text) return "Write an answer first.";
  return null;
}

function say(card, words) {
  card.form.querySelector(".outcome").textContent = words;
}
