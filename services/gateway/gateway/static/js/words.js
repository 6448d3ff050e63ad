// The page's texts, in its language, and small pieces of text that are made from data.

const texts = JSON.parse(document.body.dataset.words);
export const english = document.documentElement.lang === "en";

export function say(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// Whichever of the server's two sentences this page reads.
export const pick = (spoken) => (english ? spoken.en : spoken.zh);

// "2026-01-01T08:01:22+08:00" or "08:01:22" → "08:01:22": the server's times are the school's already.
export const clockOf = (text) => (text ?? "").match(/\d{2}:\d{2}(:\d{2})?/)?.[0] ?? "";
export const minuteOf = (text) => clockOf(text).slice(0, 5);

// What stands in a round picture for somebody: 王小明 → 王, Jane → J.
export const initial = (name) => [...(name ?? "").trim()][0]?.toUpperCase() ?? "?";
