// Times of day of a rule: minutes since midnight, over midnight too, in the rule's own zone.
export interface Hours {
  from: number;
  until: number;
}

/** 22:05 from minutes since midnight; 24:00 is the end of the day. */
export function hhmm(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}

/** Minutes from "22:05"; null for what is no time. */
export function minutes(shown: string): number | null {
  const match = /^(\d{1,2}):(\d{2})(?::\d{2})?$/.exec(shown.trim());
  if (!match) return null;
  const [hour, minute] = [Number(match[1]), Number(match[2])];
  return (hour < 24 && minute < 60) || (hour === 24 && minute === 0) ? hour * 60 + minute : null;
}

export function minuteOfDay(unixMs: number, utcOffsetMin: number): number {
  const day = 1440;
  return (((Math.floor(unixMs / 60_000) + utcOffsetMin) % day) + day) % day;
}

export function holds(hours: Hours, minute: number): boolean {
  return hours.from <= hours.until ? hours.from <= minute && minute < hours.until : minute >= hours.from || minute < hours.until;
}

/** Until when it is quiet now by these hours, as minutes of the day; null when it is not. */
export function quietUntil(quiet: readonly Hours[], unixMs: number, utcOffsetMin: number): number | null {
  const now = minuteOfDay(unixMs, utcOffsetMin);
  const now_holding = quiet.filter((one) => holds(one, now));
  const last = now_holding.sort((a, b) => ((b.until - now + 1440) % 1440) - ((a.until - now + 1440) % 1440))[0];
  return last ? last.until : null;
}

/** UTC+02:00 from minutes. */
export function offsetName(offsetMin: number): string {
  if (offsetMin === 0) return 'UTC';
  const size = Math.abs(offsetMin);
  return `UTC${offsetMin < 0 ? '\u2212' : '+'}${hhmm(size)}`;
}
