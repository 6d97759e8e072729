// The person's microphone, and what is heard.

/** What a microphone gives, or why there is none: {track, why}, one of which is null. Asks the person. */
export async function askForMicrophone() {
  if (!window.isSecureContext || !navigator.mediaDevices)
    return without("Your browser gives its microphone only to pages over https. You can listen and write.");
  try {
    const options = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: options, video: false });
    return { track: stream.getAudioTracks()[0], why: null };
  } catch (error) {
    if (error.name === "NotFoundError") return without("No microphone was found. You can listen and write.");
    if (error.name === "NotAllowedError") return without("The microphone was not allowed. You can listen and write.");
    return without("The microphone cannot be used now. You can listen and write.");
  }
}

function without(why) {
  return { track: null, why };
}

/** Whether the person is heard: open, held (only while a button is held) or off. `tell` gets what the desk is told. */
export class Microphone {
  #track;
  #tell;
  #way = "open";
  #isHeld = false;

  constructor(track, tell) {
    this.#track = track;
    this.#tell = tell;
  }

  /** Choose open, held or off. */
  choose(way) {
    this.#way = way;
    this.#isHeld = false;
    this.tellAgain();
  }

  /** The button is held, or no longer. */
  hold(isHeld) {
    if (this.#way !== "held" || isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    this.#apply();
    this.#tell({ type: "talking", on: isHeld });
  }

  /** Say how it stands, to a desk that may not know. */
  tellAgain() {
    this.#apply();
    this.#tell({ type: "muted", on: this.#way === "off" });
  }

  /** Give it back. */
  stop() {
    this.#track.stop();
  }

  #apply() {
    this.#track.enabled = this.#way === "open" || (this.#way === "held" && this.#isHeld);
  }
}

/** Plays what is heard. Where the browser wants a press first, `ask` is shown until it got one. */
export class Loudspeaker {
  #element = new Audio();
  #ask;

  constructor(ask) {
    this.#ask = ask;
    this.#element.autoplay = true;
    ask.addEventListener("click", () => this.#play());
  }

  /** Play this from now on. */
  hear(stream) {
    this.#element.srcObject = stream;
    this.#play();
  }

  /** Play nothing more. */
  stop() {
    this.#element.srcObject = null;
  }

  #play() {
    this.#element.play().then(
      () => (this.#ask.hidden = true),
      (error) => (this.#ask.hidden = error.name !== "NotAllowedError"),
    );
  }
}
