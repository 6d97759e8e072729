// The connection to the desk: offer and answer over HTTP, then a text channel beside the sound; its heartbeat, and
// joining again. It knows nothing of what is shown.

const SILENCE_MS_MAX = 5_000; // the desk says something every second
const PATIENCE_MS = 3_000; // a line that fell silent may come back by itself; one that ended does not
const AWAY_MS_MAX = 60_000; // so long the desk keeps a place
const GATHER_MS_MAX = 2_000; // a STUN or TURN server that is dead must not hold up the others
const ANSWER_MS_MAX = 20_000;
const OPEN_MS_MAX = 10_000;
const GOODBYE_MS_MAX = 1_000;
const LOOK_MS = 500;
const AGAIN_MS_MAX = 4_000;
const SOUNDING = ["sendrecv", "sendonly", "recvonly"];

/** Why the desk does not let somebody in. `isFinal`: asking again changes nothing. */
export class Refused extends Error {
  constructor(message, isFinal) {
    super(message);
    this.isFinal = isFinal;
  }
}

/**
 * One person's place in a call, over as many connections as it takes.
 *
 * `call` is what the page was told: {join, ice_servers, media}. `on` is told what happens: state(word) with connecting,
 * connected or lost; message(object); heard(stream); sound(whether there is any in this call for this person);
 * resume(secret); over(reason), once, at the end.
 */
export class Wire {
  #call;
  #on;
  #track = null;
  #name;
  #resume;
  #line = null;
  #channel = null;
  #heardAt = 0;
  #state = "new";
  #isTrying = false;
  #isLeaving = false;
  #looking = 0;

  constructor(call, on, { name = null, resume = null } = {}) {
    this.#call = call;
    this.#on = on;
    this.#name = name;
    this.#resume = resume;
  }

  /** Join, with the track of a microphone or none. Raises Refused, or whatever kept the offer from being made. */
  async join(track) {
    this.#track = track;
    this.#become("connecting");
    await this.#attempt();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Tell the desk; whether there was a line to tell it by. */
  send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  /** Hang up. */
  async hangUp() {
    this.#isLeaving = true;
    if (this.send({ type: "hangup" })) await within(GOODBYE_MS_MAX, happens(this.#channel, "close")).catch(() => {});
    this.#end();
  }

  async #attempt() {
    const line = new RTCPeerConnection({ iceServers: this.#call.ice_servers });
    try {
      const channel = line.createDataChannel("desk", { ordered: true });
      const opens = happens(channel, "open");
      channel.addEventListener("message", (event) => this.#take(channel, event.data));
      channel.addEventListener("close", () => this.#closed(channel));
      this.#offerSound(line);
      await line.setLocalDescription();
      await gathered(line);
      const answer = await this.#ask(line.localDescription);
      await line.setRemoteDescription(answer);
      await within(OPEN_MS_MAX, opens);
      if (this.#state === "over") throw new Refused("The call has ended.", true);
      this.#replace(line, channel);
    } catch (error) {
      line.close();
      throw error;
    }
  }

  #offerSound(line) {
    if (this.#call.media !== "audio") return;
    line.addEventListener("track", (event) => this.#on.heard(new MediaStream([event.track])));
    if (this.#track === null) line.addTransceiver("audio", { direction: "recvonly" });
    else line.addTrack(this.#track);
  }

  async #ask(offer) {
    const asked = { offer: { type: offer.type, sdp: offer.sdp }, audio: this.#call.media === "audio" };
    if (this.#name) asked.name = this.#name;
    if (this.#resume) asked.resume = this.#resume;
    const told = await post(this.#call.join, asked);
    this.#resume = told.resume ?? this.#resume;
    this.#on.resume(this.#resume);
    return told.answer;
  }

  #replace(line, channel) {
    const before = this.#line;
    this.#line = line;
    this.#channel = channel;
    this.#heardAt = performance.now();
    before?.close();
    this.#become("connected");
    this.#on.sound(line.getTransceivers().some((one) => SOUNDING.includes(one.currentDirection)));
  }

  #take(channel, data) {
    if (this.#state === "over") return;
    const message = JSON.parse(data);
    if (channel === this.#channel) {
      this.#heardAt = performance.now();
      if (this.#state === "lost" && !this.#isTrying) this.#become("connected");
    }
    if (message.type === "ping") channel.send(JSON.stringify({ type: "pong", n: message.n }));
    else if (message.type === "bye") this.#bye(channel, message.reason);
    else this.#on.message(message);
  }

  #bye(channel, reason) {
    // The desk says it to the old line when the new one is let in; whether the call has ended, the new one is told.
    if (!this.#isTrying || channel !== this.#channel) this.#end(reason);
  }

  #closed(channel) {
    if (channel === this.#channel && this.#state === "connected") this.#lose();
  }

  #look() {
    if (this.#state === "connected" && this.#silence() > SILENCE_MS_MAX) this.#lose();
  }

  #silence() {
    return performance.now() - this.#heardAt;
  }

  #lose() {
    this.#become("lost");
    this.#again().catch((error) => this.#end(error.message));
  }

  async #again() {
    const lostAt = performance.now();
    if (this.#channel.readyState === "open") await passes(PATIENCE_MS);
    for (let pause = LOOK_MS; this.#state === "lost"; pause = Math.min(2 * pause, AGAIN_MS_MAX)) {
      if (performance.now() - lostAt > AWAY_MS_MAX) throw new Error("The connection was lost and did not come back.");
      this.#isTrying = true;
      try {
        await this.#attempt();
      } catch (error) {
        if (error instanceof Refused && error.isFinal) throw error;
      }
      this.#isTrying = false;
      if (this.#state === "lost") await passes(pause);
    }
  }

  #become(state) {
    this.#state = state;
    this.#on.state(state);
  }

  #end(reason) {
    if (this.#isLeaving) reason = "You hung up.";
    if (this.#state === "over") return;
    this.#state = "over";
    clearInterval(this.#looking);
    this.#line?.close();
    this.#on.over(reason);
  }
}

async function post(address, asked) {
  let answered;
  try {
    answered = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(asked),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch {
    throw new Refused("The server does not answer.", false);
  }
  const told = await answered.json().catch(() => null);
  if (answered.ok && told !== null) return told;
  const isFinal = answered.status >= 400 && answered.status < 500 && answered.status !== 429;
  throw new Refused(told?.error?.message ?? `The server answered ${answered.status}.`, isFinal);
}

function gathered(line) {
  const done = new Promise((resolve) => {
    const look = () => line.iceGatheringState === "complete" && resolve();
    line.addEventListener("icegatheringstatechange", look);
    look();
  });
  return within(GATHER_MS_MAX, done).catch(() => {});
}

function happens(target, name) {
  return new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
}

function passes(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function within(ms, promise) {
  const late = passes(ms).then(() => {
    throw new Refused("The call does not connect.", false);
  });
  return Promise.race([promise, late]);
}
