// The page of a call: what a person sees and presses. The other modules: the connection (call_wire), microphone and
// sound (call_sound), the transcript (call_lines), what is asked (call_asks), others' text (call_words).

import { Asks } from "./call_asks.js";
import { Lines } from "./call_lines.js";
import { Loudspeaker, Microphone, askForMicrophone } from "./call_sound.js";
import { Wire } from "./call_wire.js";
import { oneLine } from "./call_words.js";

const WORDS = {
  connecting: "Connecting",
  connected: "Connected",
  lost: "Connection lost, trying again",
  on_hold: "On hold: nobody is heard. Writing goes on",
  muted: "Connected. The other side is muted",
};
const STATES = {
  joining: "is joining",
  joined: "is here",
  away: "has lost the connection",
  left: "has left",
  invited: "is invited",
};
const OVER_HIDES = ["invitation", "door", "recording", "people", "asks", "writing", "microphone", "sound", "hangup"];
const SECRETS = "datamcp-call:";
const DAY_MS = 86_400_000;

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
const call = JSON.parse(page.call.textContent);
let secret = kept();
const loudspeaker = new Loudspeaker(page.sound);
let wire = null;
let microphone = null;
let hasSound = false;
let line = "new"; // of the connection: new, connecting, connected, lost, over
let desk = { status: "active", muted: false };

const send = (message) => wire !== null && wire.send(message);
const lines = new Lines({ box: page.log, list: page.lines, template: page.line, send });
const asks = new Asks({ place: page.asks, templates: { ask: page.ask, choice: page.choice }, send });

/** Each message of the desk. */
const TAKEN = {
  welcome(message) {
    message.lines.forEach((one) => lines.take(one));
    show({ ...message.call, muted: desk.muted, participants: message.participants });
    microphone?.tellAgain();
  },
  line: (message) => lines.take(message.line),
  state: show,
  ask: (message) => asks.take(message),
  asked: (message) => asks.over(message.id, message.outcome),
  error(message) {
    if (!asks.refused(message.about, message.text) && !lines.refused(message.about)) trouble(message.text);
    else if (!message.about?.startsWith("approval_")) trouble(message.text);
  },
};

async function join() {
  page.join.disabled = true;
  trouble("");
  const microphoneTold = call.media === "audio" ? await askForMicrophone() : { track: null, why: null };
  wire = new Wire(call, told, { name: page.name?.value.trim() || null, resume: secret });
  try {
    await wire.join(microphoneTold.track);
  } catch (error) {
    microphoneTold.track?.stop();
    if (line === "over") return; // and why has been said
    line = "new";
    page.join.disabled = false;
    words("Not connected");
    trouble(error.message);
    return;
  }
  if (!hasSound) microphoneTold.track?.stop();
  else if (microphoneTold.why) trouble(microphoneTold.why);
  else if (microphoneTold.track) useMicrophone(microphoneTold.track);
}

/** What the connection tells. */
const told = {
  state(word) {
    line = word;
    showState();
    if (word === "lost") {
      lines.lost();
      asks.lost();
    }
    if (word === "connected" && page.talking.hidden) enter();
  },
  message(message) {
    if (Object.hasOwn(TAKEN, message.type)) TAKEN[message.type](message);
  },
  heard: (stream) => loudspeaker.hear(stream),
  sound(isThere) {
    hasSound = isThere;
    if (isThere || call.media !== "audio") return;
    dropMicrophone();
    trouble("Another person speaks in this call, and only one can. You can write.");
  },
  resume: keep,
  over,
};

function enter() {
  page.door.hidden = true;
  page.facts.hidden = true;
  page.talking.hidden = false;
  // Where a keyboard would rise from the screen, it would hide what is said.
  (matchMedia("(hover: hover)").matches ? page.text : page.log).focus();
}

function useMicrophone(track) {
  microphone = new Microphone(track, send);
  page.microphone.hidden = false;
  track.addEventListener("ended", () => {
    dropMicrophone();
    trouble("Your microphone is gone. You can listen and write.");
  });
  microphone.tellAgain();
}

function dropMicrophone() {
  page.microphone.hidden = true;
  microphone?.stop();
  microphone = null;
}

function show(state) {
  desk = { ...desk, ...state };
  page.recording.hidden = !desk.recording;
  page.people.textContent = (desk.participants ?? [])
    .map((one) => `${oneLine(one.name)} ${STATES[one.state] ?? ""}`.trim())
    .join(", ");
  showState();
}

function showState() {
  if (line === "over") return;
  const isSilent = line === "connected" && (desk.status === "on_hold" ? "on_hold" : desk.muted && "muted");
  words(WORDS[isSilent || line] ?? "");
}

function over(reason) {
  line = "over";
  forget();
  loudspeaker.stop();
  dropMicrophone();
  for (const name of OVER_HIDES) page[name].hidden = true;
  trouble("");
  words("Ended");
  page.reason.textContent = oneLine(reason ?? "");
  page.outcomes.hidden = asks.outcomes.length === 0;
  for (const outcome of asks.outcomes) {
    const item = document.createElement("li");
    item.textContent = outcome;
    page.decided.append(item);
  }
  page.over.hidden = false;
  page.over.focus();
}

/** Say it where it is new: a screen reader reads out each change. */
function words(text) {
  if (page.state.textContent !== text) page.state.textContent = text;
}

function trouble(text) {
  page.trouble.textContent = oneLine(text);
  page.trouble.hidden = text === "";
}

// The secret by which this browser joins again. It outlives a browser that is killed, and not the call.

function kept() {
  try {
    for (const [name, value] of Object.entries(localStorage))
      if (name.startsWith(SECRETS) && Date.now() - JSON.parse(value).at > DAY_MS) localStorage.removeItem(name);
    return JSON.parse(localStorage.getItem(SECRETS + call.join))?.resume ?? null;
  } catch {
    return null;
  }
}

function keep(resume) {
  if (!resume) return;
  secret = resume;
  try {
    localStorage.setItem(SECRETS + call.join, JSON.stringify({ resume, at: Date.now() }));
  } catch {
    // A browser that keeps nothing: whoever loads the page again cannot join again.
  }
}

function forget() {
  secret = null;
  try {
    localStorage.removeItem(SECRETS + call.join);
  } catch {
    // Nothing was kept.
  }
}

// What is pressed.

function write(event) {
  event.preventDefault();
  const text = page.text.value.trim();
  if (text === "") return;
  lines.write(text);
  page.text.value = "";
  page.text.focus();
}

function hold(isHeld) {
  page.talk.setAttribute("aria-pressed", String(isHeld));
  microphone?.hold(isHeld);
}

function choose(event) {
  hold(false);
  page.talk.hidden = event.target.value !== "held";
  microphone?.choose(event.target.value);
}

function listen() {
  page.join.addEventListener("click", join);
  page.writing.addEventListener("submit", write);
  page.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) write(event);
  });
  page.microphone.addEventListener("change", choose);
  page.talk.addEventListener("pointerdown", (event) => {
    page.talk.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const name of ["pointerup", "pointercancel", "blur"]) page.talk.addEventListener(name, () => hold(false));
  page.talk.addEventListener("contextmenu", (event) => event.preventDefault());
  page.talk.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    hold(true);
  });
  page.talk.addEventListener("keyup", (event) => event.key === " " && hold(false));
  page.hangup.addEventListener("click", () => wire.hangUp());
}

function start() {
  listen();
  page.page.hidden = false;
  if (secret) page.join.textContent = "Join again";
  const isShut = call.is_used && !secret;
  page.used.hidden = !isShut;
  page.join.hidden = isShut;
  if (page.name) page.name.disabled = isShut || Boolean(secret);
  words(isShut ? "Not connected" : "Not connected yet");
  if (call.media === "audio" && !window.isSecureContext)
    trouble("This page does not come over https, so your browser keeps its microphone. You can listen and write.");
}

if (typeof RTCPeerConnection === "undefined") {
  page.page.hidden = false;
  page.door.hidden = true;
  words("This browser cannot take part in calls. Open the link in another one.");
} else start();
