// Times as people read them: UTC with a Z, and ages that do not flicker.
import { text } from '../text';

/** 14:02:11Z from a UNIX time in milliseconds. */
export function clock(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(11, 19) + 'Z';
}

/** 2026-11-21 from a UNIX time in milliseconds. */
export function day(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(0, 10);
}

/** 2026-11-21 14:02:11Z from an RFC 3339 time. */
export function instant(stamp: string): string {
  const unixMs = Date.parse(stamp);
  return Number.isFinite(unixMs) ? `${day(unixMs)} ${clock(unixMs)}` : text.unknown;
}

/** The clock alone when it was today, else the whole instant. */
export function instantToday(stamp: string, nowMs: number): string {
  const unixMs = Date.parse(stamp);
  if (!Number.isFinite(unixMs)) return text.unknown;
  return day(unixMs) === day(nowMs) ? clock(unixMs) : `${day(unixMs)} ${clock(unixMs)}`;
}

/** How long ago, in one unit; beyond two days the date says more (recordings are replayed years later). */
export function age(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  const hours = Math.floor(whole / 3600);
  return hours < 24 ? `${hours} h ${Math.floor((whole % 3600) / 60)} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** "12 s ago", or the date for what is older than two days. */
export function ago(stamp: string, nowMs: number): string {
  const unixMs = Date.parse(stamp);
  if (!Number.isFinite(unixMs)) return text.unknown;
  const seconds = (nowMs - unixMs) / 1000;
  if (seconds > 172_800) return `${day(unixMs)}`;
  if (seconds < 1) return text.justNow;
  return text.ago(age(seconds));
}
