// Text of others as it is shown: what cannot be seen is shown escaped, as kernel/lines.py does it for other channels.

const FILLERS =
  "\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u2800\\u3164\\uffa0\\u180b-\\u180f\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}";
const UNSEEN = new RegExp(`[\\p{C}\\p{Zl}\\p{Zp}${FILLERS}]`, "gu");
const LINE_END = /\r\n|\r|\n/;

/** One printable line. */
export function oneLine(text) {
  return String(text).replace(UNSEEN, (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`);
}

/** Text of several lines, each printable. */
export function printable(text) {
  return lines(text).join("\n");
}

/** Text each line of which is marked as another's, so that none can stand for a line of the page's own. */
export function fenced(text) {
  return lines(text)
    .map((line) => `> ${line}`)
    .join("\n");
}

function lines(text) {
  return String(text)
    .split(LINE_END)
    .map((line) => oneLine(line.replaceAll("\t", "    ")));
}
