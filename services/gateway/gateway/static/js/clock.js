// The school's clock, in the school's time zone, wherever the screen was set up.

import { english } from "./words.js";

const locale = english ? "en-GB" : "zh-CN";

export function timeNow(seconds = true) {
  const shape = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: document.body.dataset.zone };
  if (seconds) shape.second = "2-digit";
  return new Intl.DateTimeFormat("en-GB", shape).format(new Date());
}

export function startClock() {
  const [time, day] = [document.getElementById("clock_time"), document.getElementById("clock_day")];
  if (!time) return;
  const days = new Intl.DateTimeFormat(locale, { month: "long", day: "numeric", weekday: "long", timeZone: document.body.dataset.zone });
  const show = () => {
    time.textContent = timeNow(false);
    day.textContent = days.format(new Date());
    setTimeout(show, 1000 - (Date.now() % 1000));
  };
  show();
}
