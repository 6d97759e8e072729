"""Chromium as people have it on a phone, with a microphone that plays a file; and what a test looks at inside it."""

import array
import asyncio
import math
import shutil
import wave
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required")
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)  # five seconds, else, which a busy machine may take
MICROPHONE = "--use-fake-ui-for-media-stream"
"""Whoever is asked for the microphone gives it."""
WATCHED = """
window.askedFor = []; window.lines = [];
if (navigator.mediaDevices) {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (options) => { window.askedFor.push(options); return ask(options); };
}
const Native = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Native {
  constructor(...given) {
    super(...given);
    window.lines.push(this);
    this.addEventListener("track", (event) => { window.heard = new MediaStream([event.track]); });
  }
};
"""
LOUDEST = """async () => {
  const context = new AudioContext();
  await context.resume();
  const analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
  context.createMediaStreamSource(window.heard).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  let best = { level: -Infinity, hertz: 0 };
  for (let look = 0; look < 100 && best.level < -40; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    analyser.getFloatFrequencyData(bins);
    const bin = bins.indexOf(Math.max(...bins));
    best = { level: bins[bin], hertz: (bin * context.sampleRate) / analyser.fftSize };
  }
  await context.close();
  return best.level < -40 ? 0 : best.hertz;
}"""
"""The loudest frequency that is heard, as soon as anything is; 0 where nothing is."""
CONTRASTS = """() => {
  const part = (text) => { const all = text.match(/[\\d.]+/g).map(Number); return [...all.slice(0, 3), all[3] ?? 1]; };
  const over = (top, under) => top.slice(0, 3).map((one, at) => one * top[3] + under[at] * (1 - top[3]));
  const light = (color) => {
    const [red, green, blue] = color.map((one) => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (one) => {
    const layers = [];
    for (let at = one; at !== null; at = at.parentElement) layers.push(part(getComputedStyle(at).backgroundColor));
    const canvas = matchMedia("(prefers-color-scheme:dark)").matches ? [18, 18, 18] : [255, 255, 255];
    return layers.reverse().reduce((under, layer) => over(layer, under), canvas);
  };
  const hasWords = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
  return [...document.querySelectorAll("body *")].filter((one) => hasWords(one) && one.checkVisibility()).map((one) => {
    const back = behind(one), front = over(part(getComputedStyle(one).color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    return [(high + 0.05) / (low + 0.05), one.textContent.trim().slice(0, 60)];
  });
}"""
"""Of everything that is seen and has words: its contrast with what is behind it, as WCAG 2 has it, and the words."""


@asynccontextmanager
async def phone(*flags: str, **how: Any) -> AsyncGenerator[tuple[Page, list[str]]]:
    """A page of a small touch screen, and what the browser complained of or asked elsewhere."""
    small: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        context = await browser.new_context(**small | how)
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(WATCHED)
        page = await context.new_page()
        yield page, watched(page)
        await browser.close()


async def hears(page: Page, hertz: float) -> None:
    """Wait until nothing is louder than a tone of that frequency."""
    async with asyncio.timeout(60):
        while abs(await page.evaluate(LOUDEST) - hertz) >= 12:
            pass


def watched(page: Page) -> list[str]:
    """What the browser complains of from now on, and what it asks of another origin than its page's."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    origins = set[str]()

    def look(request: Any) -> None:
        origins.add("/".join(request.url.split("/")[:3]))
        if len(origins) > 1:
            complaints.append(f"asked elsewhere: {request.url}")

    page.on("request", look)
    return complaints


def microphone_file(path: Path, hertz: float) -> str:
    """The flag by which a browser's microphone hears a tone for ever."""
    rate = 48_000
    tone = array.array("h", (int(16_000 * math.sin(math.tau * hertz * at / rate)) for at in range(rate)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.tobytes())
    return f"--use-file-for-fake-audio-capture={path}"
